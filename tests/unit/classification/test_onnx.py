"""The ONNX file says what the network says, in onnxruntime and for any number of wafers."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from helpers.small_cell import (
    CELL,
    CLASSES,
    CLASSIFIER,
    CPU,
    DRAWN,
    LABELS,
    TINY,
    Blocks,
    make_cell,
    run,
    wafers,
)
from waferbench.base.artifacts import read_table, write_json
from waferbench.base.errors import InputError
from waferbench.classification.predict.export import check_parity, export_onnx
from waferbench.classification.predict.model import Exported, temperature_of
from waferbench.classification.train import Normaliser, predict
from waferbench.classification.trained import load_classifier
from waferbench.config.classification import ExportOnnx
from waferbench.config.stages import NetworkWeights, WeightSearch
from waferbench.statistics.calibration import scale
from waferbench.wafers.render import render

NAMES = list(LABELS.values())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The files of a cell and of the script's export of it."""
    folder = tmp_path_factory.mktemp("onnx")
    cell = make_cell(folder)
    cell["model"] = folder / "model.json"
    write_json(cell["model"], {**CELL, "classes": CLASSES, "leaky": False})
    settings = ExportOnnx.of(classifier=CLASSIFIER, drawn=DRAWN, weights=NetworkWeights())
    inputs = {name: str(path) for name, path in cell.items()}
    run(folder, "export_onnx", settings, inputs, {"onnx": folder / "model.onnx"})
    return {**cell, "onnx": folder / "model.onnx"}


def network(cell):
    return load_classifier(cell["checkpoint"], TINY, NAMES, CLASSIFIER, DRAWN.levels, WeightSearch())


def test_onnxruntime_gives_the_calibrated_probabilities_and_features(exported):
    session = onnxruntime.InferenceSession(exported["onnx"], providers=["CPUExecutionProvider"])
    images = render(wafers(11, seed=9).store, DRAWN)
    features, raw = predict(*network(exported), images, CPU, CLASSIFIER.precision)
    temperature = temperature_of(exported["validation"], NAMES)
    assert abs(temperature - 1) > 0.05  # else the comparison would not see it
    for n in (11, 1):  # any number of wafers
        got = session.run(["probabilities", "features"], {"grey": images[:n].astype(np.float32)})
        np.testing.assert_allclose(got[0], scale(raw, temperature)[:n], atol=2e-5)
        np.testing.assert_allclose(got[1], features[:n], rtol=1e-3, atol=1e-3)


def test_the_file_says_what_it_is_and_not_where_it_was_made(exported):
    model = onnx.load(exported["onnx"])
    facts = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert facts["classes"] == CLASSES and facts["levels"] == list(DRAWN.levels) and facts["cell"]["fold"] == 1
    assert facts["temperature"] == temperature_of(exported["validation"], NAMES)
    assert facts["waferbench"]["rule"] == "export_onnx"
    assert [value.name for value in model.graph.input] == ["grey"]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param and [d.dim_value for d in shape[1:]] == [32, 32]
    assert b"site-packages" not in exported["onnx"].read_bytes() and b".py" not in exported["onnx"].read_bytes()


@pytest.mark.parametrize(("kind", "size", "drawn"), [("one_hot", 48, 32), ("nearest", 48, 64), ("bilinear", 32, 64)])
def test_every_kind_of_input(tmp_path, kind, size, drawn):
    module = Exported(Blocks(), Normaliser((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), size, kind, (0, 128, 255)), 2.0)
    images = np.random.default_rng(0).choice(np.array([0, 128, 255], np.uint8), (5, drawn, drawn))
    export_onnx(module, drawn, tmp_path / "a", {}, {})
    assert check_parity(tmp_path / "a", module, images) < 1e-4


def test_equal_bytes(tmp_path):
    module = Exported(Blocks(), Normaliser((0.5,) * 3, (0.2,) * 3, 32), 1.0)
    for name in ("a", "b"):
        export_onnx(module, 32, tmp_path / name, {"classes": CLASSES}, {"rule": "x"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_of_another_network_is_refused(exported):
    model, normalise = network(exported)
    with torch.no_grad():
        model.get_classifier().bias += torch.tensor([0.0, 1.0, 0.0])
    ids = read_table(exported["validation"])["wafer_id"]
    images = render(wafers().store.take(range(len(ids))), DRAWN)
    with pytest.raises(InputError, match=r"model\.onnx: onnxruntime and torch differ by"):
        check_parity(exported["onnx"], Exported(model, normalise, 1.0), images)
