"""Predictions for one's own wafers: which cell, what it needs, what it says, and the page that shows it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
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
from waferbench.base.artifacts import read_h5, read_json, read_table, read_weights, write_h5, write_table, write_weights
from waferbench.base.errors import InputError
from waferbench.base.tables import probabilities
from waferbench.classification.predict import table as module
from waferbench.classification.predict.gallery import write_gallery
from waferbench.classification.predict.model import Classifier, read_neighbours, temperature_of
from waferbench.classification.predict.table import accuracy, predict_wafers
from waferbench.classification.train import Normaliser
from waferbench.classification.trained import load_classifier
from waferbench.config.classification import PredictWafers
from waferbench.config.stages import NetworkWeights, WeightSearch
from waferbench.config.study import PredictSettings
from waferbench.config.synthesis.stages import ChooseModel
from waferbench.wafers.store import WaferStore, read_store
from waferbench.wafers.table import WaferSet

NAMES = list(LABELS.values())
TEMPLATE = Path(__file__).parents[3] / "workflow/report/gallery.html.j2"
SETTINGS = PredictWafers.of(
    PredictSettings(),
    render=DRAWN,
    classifier=CLASSIFIER,
    drawn=DRAWN,
    weights=NetworkWeights(),
    memory_gb=1.0,
    pass_bins=["1"],
    wafers="",
    wafers_stat="",
)


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return make_cell(tmp_path_factory.mktemp("cell"))


def load(checkpoint, backbone=TINY, labels=NAMES):
    return load_classifier(checkpoint, backbone, labels, CLASSIFIER, DRAWN.levels, WeightSearch())


def judge(cell, given, temperature=1.0, bins=None, network=None, head="softmax"):
    model, normalise = network or load(cell["checkpoint"])
    training = read_table(cell["wafers"]).iloc[:45]
    neighbours = read_neighbours(cell["features"], cell["svm"], NAMES, training["wafer_id"])
    classifier = Classifier(LABELS, model, normalise, neighbours, temperature, head)
    return predict_wafers(given, bins or [""] * len(given.ids), classifier, SETTINGS, CPU, training)


def test_a_study_s_own_test_wafers_get_the_same_probabilities_again(cell):
    ours, known = wafers(), read_table(cell["softmax"])
    part = WaferSet(WaferStore.of(ours.store.take(range(105, 150))), *([""] * 45 for _ in range(2)), ours.ids[105:])
    found = judge(cell, part)
    columns = probabilities(NAMES)
    np.testing.assert_allclose(found[columns], known[columns], atol=1e-5)
    assert (found["called"] == known["y_pred"]).all() and (found["label"] == "").all()
    svm_h5 = read_neighbours(cell["features"], cell["svm"], NAMES, ours.ids).svm
    by_svm = np.array(NAMES)[svm_h5.predict(read_h5(cell["features"])["test_features"])]
    assert (found["called_svm"] == by_svm).all()
    assert (found["heads_agree"] == (found["called"] == by_svm)).all()
    assert not found["in_training"].any() and not found["unseen_grid"].any()
    other = judge(cell, part, head="ecoc_svm")
    assert (other["called"] == by_svm).all() and (other["called_softmax"] == found["called"]).all()
    rows = np.arange(len(other))
    p = other[probabilities(NAMES)].to_numpy()[rows, [NAMES.index(name) for name in other["called"]]]
    np.testing.assert_array_equal(other["probability"], p)


def test_calibration_softens_but_calls_the_same(cell):
    sharp, soft = judge(cell, wafers()), judge(cell, wafers(), 5.0)
    assert (sharp["called"] == soft["called"]).all()
    assert (soft["entropy"] > sharp["entropy"]).all()
    p = soft[probabilities(NAMES)].to_numpy()
    np.testing.assert_allclose(p.sum(1), 1)
    np.testing.assert_allclose(soft["entropy"], -(p * np.log(p)).sum(1))
    np.testing.assert_allclose(soft["probability"], p.max(1))


def test_training_wafers_find_themselves_and_do_not_count_as_right(cell):
    found = judge(cell, wafers())
    train = found.iloc[:45]
    assert (train["nearest_1"] == train["wafer_id"]).all() and train["in_training"].all()
    assert train["distance_1"].max() < 0.1 < train["distance_2"].min()
    assert not found["in_training"].iloc[45:].any()
    right, known = accuracy(found)
    assert known == 105 and right == int((found["label"] == found["called"]).iloc[45:].sum())
    assert set(found["nearest_3"]) <= set(found["wafer_id"].iloc[:45])
    assert found["unusual"].iloc[45:].mean() <= 0.05


def test_what_training_never_saw_is_flagged(cell):
    disc, stripes = wafers().store[0], np.tile([[1], [2]], (9, 33)).astype(np.uint8)
    given = WaferSet(WaferStore.of([disc, stripes]), ["edge_b ring b", "Mystery"], ["L", ""], ["a", "b"])
    found = judge(cell, given, bins=["", "7 X"])
    assert found["unseen_grid"].tolist() == [False, True] and found["unusual"].tolist() == [False, True]
    assert found["failing_bins"].tolist() == ["", "7 X"] and found["lot"].tolist() == ["L", ""]
    assert found["label"].tolist() == ["edge-b-ring-b", ""]
    assert found.loc[1, ["rows", "columns", "dies", "failing_dies"]].tolist() == [18, 33, 594, 297]


def test_pieces_give_what_the_whole_gives(cell, monkeypatch):
    whole = judge(cell, wafers(20))
    monkeypatch.setattr(module, "MOST", 7)
    pd.testing.assert_frame_equal(judge(cell, wafers(20)), whole, rtol=1e-4, atol=1e-5)


def test_ten_thousand_shapes(cell, tmp_path):
    maps = [np.full((1 + i % 100, 1 + i // 100), 1 + i % 2, np.uint8) for i in range(10_000)]
    given = WaferSet(WaferStore.of(maps), *([""] * 10_000 for _ in range(2)), [str(i) for i in range(10_000)])
    width = read_h5(cell["features"], ["train_features"])["train_features"].shape[1]
    assert width == 96
    found = judge(cell, given, network=(Blocks(), Normaliser((0.5,) * 3, (0.5,) * 3, 16)))
    assert len(found) == 10_000 and found["unseen_grid"].sum() == 9_998  # 20 x 20 and 21 x 21 are known
    assert not found.isna().any().any()


def test_outputs_that_are_not_finite(cell):
    network = load(cell["checkpoint"])
    network[0].get_classifier().weight.data[0, 0] = torch.nan
    with pytest.raises(InputError, match="wafer 0 of the file, counted from 0: the network's outputs are not finite"):
        judge(cell, wafers(3), network=network)


def test_a_checkpoint_of_something_else(cell, tmp_path):
    with pytest.raises(InputError, match=rf"safetensors: weights of '{re.escape(TINY)}', expected 'test_vit"):
        load(cell["checkpoint"], "test_vit.r160_in1k")
    with pytest.raises(
        InputError, match=r"tensor 'fc\.weight' has the shape \(3, 96\), expected \(4, 96\) .* 4 classes"
    ):
        load(cell["checkpoint"], labels=[*NAMES, "more"])
    tensors, path = read_weights(cell["checkpoint"]), tmp_path / "short.safetensors"
    write_weights(path, {name: tensor for name, tensor in tensors.items() if name != "fc.bias"}, {"cell": CELL})
    with pytest.raises(InputError, match=r"short\.safetensors: no tensor 'fc\.bias'; 1 missing and 0 too many"):
        load(path)
    write_weights(path, {**tensors, "odd": torch.zeros(1)})
    with pytest.raises(InputError, match="the tensor 'odd'; 0 missing and 1 too many"):
        load(path)
    path.write_bytes(cell["checkpoint"].read_bytes()[:5000])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load(path)


def test_tables_of_other_classes(cell, tmp_path):
    assert 0.05 <= temperature_of(cell["validation"], NAMES) <= 20
    with pytest.raises(InputError, match=r"validation\.parquet: 3 classes, expected the 4 classes"):
        temperature_of(cell["validation"], [*NAMES, "more"])
    with pytest.raises(InputError, match="class 'center', expected the 3 classes centre"):
        temperature_of(cell["validation"], ["centre", *NAMES[1:]])
    renamed = read_table(cell["validation"]).rename(columns={"p_center": "p_middle"})
    write_table(tmp_path / "v.parquet", renamed)
    with pytest.raises(InputError, match="class 'middle', expected the 3 classes center"):
        temperature_of(tmp_path / "v.parquet", NAMES)
    with pytest.raises(InputError, match=r"features\.h5: classes center, .* expected random"):
        read_neighbours(cell["features"], cell["svm"], NAMES[::-1], ["w000"])
    with pytest.raises(InputError, match="none of its training wafers is in the wafer table"):
        read_neighbours(cell["features"], cell["svm"], NAMES, ["strange"])
    data = read_h5(cell["features"])
    names = [name for name in data if name.endswith("_features")]
    write_h5(tmp_path / "f.h5", {**data, **{name: data[name][:, :7] for name in names}})
    with pytest.raises(InputError, match=r"svm\.h5: 96 features and 3 classes, expected 7 and 3"):
        read_neighbours(tmp_path / "f.h5", cell["svm"], NAMES, ["w000"])


FACTS = {
    **{"study": "mine", "file": "<i>x</i>.csv", "protocol": "cv5", "backbone": TINY, "condition": "gan", "fold": 1},
    **{"head": "softmax", "macro_f1": 0.9, "n_recipes": 20, "leaky": False, "neighbours": 3},
}


def gallery(cell, path, found, given, most, **facts):
    training = read_table(cell["wafers"]).iloc[:45]
    store = read_store(cell["store"])
    facts = {**FACTS, **facts, "total": len(found)}
    write_gallery(path, TEMPLATE, found, given.store, training, store, LABELS, DRAWN, most, facts)
    return path.read_text()


def test_gallery(cell, tmp_path):
    given = wafers(30, seed=1)
    given.ids[4] = '"><script>alert(1)</script>'
    found = judge(cell, given)
    page = gallery(cell, tmp_path / "a.html", found, given, 10)
    shown = re.findall(r'<article data-called="([^"]+)"', page)
    expected = found.sort_values("entropy", ascending=False, kind="stable")
    assert shown == expected["called"].head(10).tolist()
    assert "Shown: the 10 most uncertain of 30;" in page and "Shown: all 30;" in gallery(
        cell, tmp_path / "b.html", found, given, 200
    )
    assert page.count("<img ") == 40  # each wafer and three neighbours
    page = (tmp_path / "b.html").read_text()
    assert "alert(1)" in page and "<script>alert" not in page and "<i>x" not in page and "<b>Ring" not in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page) and "http" not in page
    right, known = accuracy(found)
    assert f"<b>{right / known:.1%}</b>" in page
    chosen = "chosen on validation wafers among 20 recipes"
    assert chosen in page and "chosen on" not in gallery(cell, tmp_path / "c.html", found, given, 1, n_recipes=1)
    tied = gallery(cell, tmp_path / "d.html", found, given, 1, tied=[{}, {}, {}])
    assert "simplest of 3 that validation does not tell apart" in tied and "simplest of" not in page


def test_scripts_from_scores_to_gallery(cell, tmp_path, capsys):
    inputs = {"scores": str(cell["scores"]), "validation": [str(cell["validation"])]}
    recipes = {"backbones": [TINY], "conditions": ["real_aug"]}
    settings = ChooseModel(protocols=["cv5"], leaky=[], classes={"cv5": CLASSES}, **recipes)
    run(tmp_path, "choose_model", settings, inputs, {"model": tmp_path / "model.json"})
    chosen = read_json(tmp_path / "model.json")
    assert {name: chosen[name] for name in CELL} == CELL and not chosen["leaky"] and chosen["classes"] == CLASSES

    given = wafers(12, seed=5)
    lines = ["wafer,x,y,bin,class"]
    for name, label, dies in zip(given.ids, given.classes, given.store, strict=True):
        lines += [f"{name},{x},{y},{dies[y, x] * 5 - 4},{label}" for y, x in np.argwhere(dies)]
    (tmp_path / "own.csv").write_text("\n".join(lines))
    files = {name: str(cell[name]) for name in ("checkpoint", "features", "svm", "validation", "store", "wafers")}
    files |= {"model": str(tmp_path / "model.json"), "template": str(TEMPLATE)}
    own = {"neighbours": 2, "gallery": 5, "wafers": str(tmp_path / "own.csv")}
    settings = SETTINGS.model_copy(update=own)
    outputs = {"predictions": tmp_path / "p.parquet", "gallery": tmp_path / "g.html"}
    run(tmp_path, "predict_wafers", settings, files, outputs)
    found = read_table(tmp_path / "p.parquet")
    assert found["wafer_id"].tolist() == given.ids and found["failing_bins"].eq("6").all()
    boxes = [dies[np.ix_(dies.any(1), dies.any(0))] for dies in given.store]  # a die list knows no empty border
    given = given._replace(store=WaferStore.of(boxes))
    expected = judge(cell, given, temperature_of(cell["validation"], NAMES))
    np.testing.assert_allclose(found["entropy"], expected["entropy"], atol=1e-5)
    assert "nearest_2" in found and "nearest_3" not in found
    assert f"{(found['label'] == found['called']).sum()} of 12 wafers" in capsys.readouterr().err
    page = (tmp_path / "g.html").read_text()
    assert "Shown: the 5 most uncertain of 12;" in page and "Bins counted as failing: 6.</p>" in page

    (tmp_path / "own.csv").write_text("wafer,x,y,bin\n")
    with pytest.raises(SystemExit):
        run(tmp_path, "predict_wafers", settings, files, outputs)
    assert "no dies under the header" in capsys.readouterr().err


def test_only_leaky_protocols_are_used_with_a_warning(cell, tmp_path, capsys):
    inputs = {"scores": str(tmp_path / "s.parquet"), "validation": [str(tmp_path / "v.parquet")]}
    for name, source in (("s", "scores"), ("v", "validation")):
        write_table(tmp_path / f"{name}.parquet", read_table(cell[source]).assign(protocol="leaky_80_20"))
    leaky = ["leaky_80_20"]
    recipes = {"backbones": [TINY], "conditions": ["real_aug"]}
    settings = ChooseModel(protocols=leaky, leaky=leaky, classes={"leaky_80_20": CLASSES}, **recipes)
    run(tmp_path, "choose_model", settings, inputs, {"model": tmp_path / "model.json"})
    assert read_json(tmp_path / "model.json")["leaky"]
    assert "leaks test wafers into training" in capsys.readouterr().err
