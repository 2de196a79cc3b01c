"""On a CUDA GPU: trainings that are killed and resumed end where unbroken ones do, within rounding."""

import numpy as np
import pytest
import test_die_flow
import test_diffusion
import test_gan
import torch

from waferbench.learning import runtime, training
from waferbench.learning.runtime import Checkpoint
from waferbench.synthesis.dieflow.train import train_die_flow
from waferbench.synthesis.diffusion.base import build_base
from waferbench.synthesis.diffusion.lora import train_adapters
from waferbench.synthesis.diffusion.pretrain import pretrain_base
from waferbench.synthesis.gan import train as gan

pytestmark = pytest.mark.gpu
TOLERANCE = {"rtol": 1e-2, "atol": 1e-3}  # a GPU sums in no fixed order, and a few steps of Adam spread it


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def cuda():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")
    return torch.device("cuda")


@pytest.fixture
def resumed(monkeypatch, tmp_path):
    """Call with a training that takes a folder: killed after its second saved state and started again."""
    monkeypatch.setattr(training, "CHECK_EVERY", 2)
    monkeypatch.setattr(gan, "CHECK_EVERY", 2)
    monkeypatch.setattr(runtime, "SAVE_EVERY", 0)
    save, left = Checkpoint.save, [2]

    def dying(self, state):
        save(self, state)
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def run(fit):
        monkeypatch.setattr(Checkpoint, "save", dying)
        with pytest.raises(Killed):
            fit(tmp_path)
        monkeypatch.setattr(Checkpoint, "save", save)
        return fit(tmp_path)

    return run


def assert_close(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_the_gan_resumes(cuda, resumed, precision):
    images, labels = test_gan.wafers()
    settings = test_gan.small(precision=precision)

    def fit(folder=None):
        return gan.train_gan(images, labels, test_gan.CLASSES, settings, 1, cuda, folder)

    expected, found = fit(), resumed(fit)
    for label in test_gan.CLASSES:
        assert_close(found.generators[label], expected.generators[label])
    assert np.isfinite(found.history[["loss_d", "loss_g"]]).all(axis=None)


def test_the_die_flow_resumes(cuda, resumed):
    maps, labels = test_die_flow.wafers()

    def fit(folder=None):
        return train_die_flow(maps, labels, test_die_flow.CLASSES, test_die_flow.SMALL, 1, cuda, folder)

    expected = fit()[0]
    assert_close(resumed(fit)[0], expected)


def test_the_base_resumes(cuda, resumed):
    def fit(folder=None):
        return pretrain_base(test_diffusion.wafers(), test_diffusion.SMALL, 1, cuda, folder)

    expected = fit()[0].unet.state_dict()
    assert_close(resumed(fit)[0].unet.state_dict(), expected)


def test_the_adapters_resume(cuda, resumed):
    def fit(folder=None):
        torch.manual_seed(0)
        base = build_base(test_diffusion.SMALL.native, test_diffusion.SMALL.size)
        for module in (base.vae, base.unet, base.text_encoder):
            module.to(cuda)
        labels = (test_diffusion.LABELS, ["donut", "edge-ring"])
        return train_adapters(base, test_diffusion.wafers(), *labels, test_diffusion.SMALL, 1, folder)

    expected, found = fit().tensors, resumed(fit).tensors
    for label, tensors in expected.items():
        assert_close(found[label], tensors)
