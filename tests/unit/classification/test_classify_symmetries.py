"""Features over the wafer's eight symmetries."""

import numpy as np
import pytest
import torch

from helpers.small_cell import CELL, CLASSIFIER, CPU, DRAWN, LABELS, TINY, make_cell, wafers
from waferbench.base.artifacts import read_provenance
from waferbench.classification.predict.export import check_parity, export_onnx
from waferbench.classification.predict.model import Exported
from waferbench.classification.symmetries import Symmetric
from waferbench.classification.train import predict
from waferbench.classification.trained import load_classifier
from waferbench.config.classification import ClassifierInput
from waferbench.config.stages import WeightSearch
from waferbench.learning.backbones import create_backbone
from waferbench.wafers.render import render
from waferbench.wafers.symmetries import COUNT, under_symmetry

NAMES = list(LABELS.values())


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return make_cell(tmp_path_factory.mktemp("cell"))


def load(cell, classifier):
    return load_classifier(cell["checkpoint"], TINY, NAMES, classifier, DRAWN.levels, WeightSearch())


def test_a_wafer_gets_one_answer_in_all_orientations_the_mean_of_the_bare_network_s(cell):
    bare, normalise = load(cell, CLASSIFIER)
    whole, _ = load(cell, CLASSIFIER.model_copy(update={"symmetries": True}))
    assert read_provenance(cell["checkpoint"])["cell"]["fold"] == CELL["fold"]
    image = render(wafers(1, seed=4).store, DRAWN)[0]
    turned = np.stack([under_symmetry(image, k) for k in range(COUNT)])
    assert len({part.tobytes() for part in turned}) == 8
    single, _ = predict(bare, normalise, turned, CPU, "float32")
    features, chances = predict(whole, normalise, turned, CPU, "float32")
    np.testing.assert_allclose(features, np.tile(single.mean(0), (8, 1)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(chances, np.tile(chances[0], (8, 1)), rtol=1e-4, atol=1e-6)
    with torch.inference_mode():
        logits = torch.stack([bare(normalise(torch.from_numpy(part[None]).float()))[0] for part in turned]).mean(0)
    np.testing.assert_allclose(chances[0], logits.softmax(0), rtol=1e-4, atol=1e-6)
    assert np.abs(single[0] - features[0]).max() > 0.001


def test_who_only_wants_the_network_gets_it_bare(cell):
    bare, _ = load(cell, ClassifierInput(image_size=CLASSIFIER.image_size))
    assert not isinstance(bare, Symmetric)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv3_large_100", "vit_tiny_patch16_224"])
def test_the_head_is_linear_in_the_features(name):
    model, _, _ = create_backbone(name, 3, False, image_size=32)
    whole, images = Symmetric(model).eval(), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        each = [model(part.rot90(k, (2, 3))) for part in (images, images.flip(3)) for k in range(4)]
        torch.testing.assert_close(whole(images), torch.stack(each).mean(0), rtol=1e-4, atol=1e-4)


def test_onnx(cell, tmp_path):
    module = Exported(*load(cell, CLASSIFIER.model_copy(update={"symmetries": True})), 2.0)
    images = render(wafers(5, seed=2).store, DRAWN)
    export_onnx(module, DRAWN.size, tmp_path / "model.onnx", {}, {})
    assert check_parity(tmp_path / "model.onnx", module, images) < 1e-3
