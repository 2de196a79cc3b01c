"""What the judge says of samples and of held-out wafers."""

import numpy as np
import pandas as pd
import pytest

from helpers.scripts import run_script
from helpers.small_cell import CLASSES, CLASSIFIER, DRAWN, TINY, make_cell
from waferbench.base.artifacts import read_table, write_table
from waferbench.base.errors import InputError
from waferbench.base.tables import TABLES
from waferbench.config.stages import NetworkWeights
from waferbench.config.synthesis.stages import JudgeSamples
from waferbench.images.store import write_images
from waferbench.synthesis.agreement import of_predictions, verdicts
from waferbench.wafers.render import render
from waferbench.wafers.store import read_store

LABELS = ["center", "edge-b-ring-b", "random"]


def test_each_sample_has_the_judges_class_and_its_own_probability():
    scores = pd.DataFrame({"label": ["a", "a", "b"], "index": [0, 1, 0], "in_pool": [True, False, True], "iou": 1.0})
    chances = {"a": np.array([[0.9, 0.1], [0.2, 0.8]]), "b": np.array([[0.3, 0.7]])}
    table = verdicts(scores, chances, ["a", "b"])
    assert table.to_numpy().tolist() == [
        ["a", 0, True, "a", 0.9],
        ["a", 1, False, "b", 0.2],
        ["b", 0, True, "b", 0.7],
    ]
    with pytest.raises(InputError, match="class 'b': found 1 images and 0 shape scores"):
        verdicts(scores[:2], chances, ["a", "b"])


def test_held_out_wafers_are_rows_like_samples():
    said = {"y_true": ["b", "a"], "y_pred": ["a", "a"], "p_a": [0.6, 0.9], "p_b": [0.4, 0.1]}
    table = of_predictions(pd.DataFrame(said, index=[7, 9]))
    assert table["label"].tolist() == ["b", "a"] and table["y_judge"].tolist() == ["a", "a"]
    assert table["index"].tolist() == [0, 1] and table["in_pool"].all()
    assert table["p_intended"].tolist() == pytest.approx([0.4, 0.9])


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The script on the test wafers of a small cell: drawn again as samples of a source, and as the part `real`."""
    folder = tmp_path_factory.mktemp("judge")
    files = make_cell(folder)
    predictions = read_table(files["softmax"])
    test = render(read_store(files["store"]).take(np.arange(105, 150)), DRAWN)
    samples = [folder / f"{label}.h5" for label in LABELS]
    scores = []
    for path in samples:
        mine = test[(predictions["y_true"] == path.stem).to_numpy()]
        write_images(path, mine)
        scores.append(pd.DataFrame({"label": path.stem, "index": range(len(mine)), "in_pool": True}))
    write_table(folder / "shape.parquet", pd.concat(scores))
    settings = JudgeSamples(
        protocol="replicates4",
        seed=42,
        backbone=TINY,
        weights=NetworkWeights(),
        classifier=CLASSIFIER,
        drawn=DRAWN,
        classes=CLASSES,
    )

    def run(source, scored):
        run_script(
            "synthesis/judge_samples",
            folder,
            settings,
            inputs={"samples": samples, "scores": scored, "checkpoint": files["checkpoint"]},
            outputs={"judged": folder / f"{source}_judged.parquet"},
            wildcards={"protocol": "replicates4", "seed": "42", "fold": "1", "source": source},
        )
        return read_table(folder / f"{source}_judged.parquet")

    return run("gan", folder / "shape.parquet"), run("real", files["softmax"])


def test_real_wafers_drawn_as_samples_are_judged_as_in_their_own_predictions(judged):
    samples, floor = judged
    assert tuple(samples.columns) == tuple(floor.columns) == TABLES["agreement"]
    right = [(table["y_judge"] == table["label"]).groupby(table["label"]).mean().to_dict() for table in judged]
    assert right[0] == right[1], "the floor and the sources are measured alike"
    sums = [table.groupby("label")["p_intended"].sum() for table in judged]
    assert np.allclose(*sums, rtol=1e-3)


def test_parts_say_what_they_are_of(judged):
    for name, table in zip(("gan", "real"), judged, strict=True):
        assert set(table["source"]) == {name} and set(table["replicate"]) == {1} and len(table) == 45
