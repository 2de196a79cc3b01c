"""Whether added wafers are told from real ones, and what their origin says on the label."""

import numpy as np
import pandas as pd
import pytest

from helpers.scripts import run_script
from waferbench.base.artifacts import read_table, write_table
from waferbench.base.tables import TABLES
from waferbench.config.study import Drawing, Drawn
from waferbench.config.synthesis.stages import MeasureTexture
from waferbench.images.store import write_images
from waferbench.synthesis.texture import matched, origin_tells, separability
from waferbench.wafers.render import render
from waferbench.wafers.simulate.dataset import simulate
from waferbench.wafers.store import WaferStore, write_store

COUNTS = {"Center": 60, "Edge-Ring": 60, "Scratch": 60}


def noisy(images, rng):
    """Greys between the levels, as a network draws them."""
    return np.clip(images + rng.normal(0, 5, images.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def drawn():
    """Two halves of one simulated set of wafers: images, labels."""
    maps, names, _ = simulate(COUNTS, seed=3, duplicates=0)
    labels = np.array([name.lower() for name in names])
    return [(render(maps[half::2], Drawing(size=32)), labels[half::2]) for half in (0, 1)]


def test_wafers_of_one_kind_are_not_told_apart_and_noisy_ones_are(drawn):
    (real, real_labels), (fresh, labels) = drawn
    ours, theirs = matched(real_labels, labels, 100, np.random.default_rng(0))
    real, fresh = real[ours], fresh[theirs]
    same, other = separability(real, fresh, 0), separability(real, noisy(fresh, np.random.default_rng(0)), 0)
    assert 0.3 < same < 0.7 and other > 0.95
    assert other == separability(real, noisy(fresh, np.random.default_rng(0)), 0)


def test_a_mirrored_wafer_is_no_other_texture(drawn):
    (real, _), _ = drawn
    assert separability(real, real[:, :, ::-1], 0) < 0.55


def test_too_few_wafers_say_nothing(drawn):
    (real, _), (fresh, _) = drawn
    assert np.isnan(separability(real, fresh[:19], 0)) and np.isnan(separability(real[:0], fresh[:0], 0))


def test_classes_are_matched_so_that_they_tell_no_origin():
    real, added = np.array(["a"] * 9 + ["b"] * 3), np.array(["b"] * 8 + ["a"] * 5 + ["c"])
    ours, theirs = matched(real, added, 4, np.random.default_rng(0))
    assert sorted(real[ours]) == sorted(added[theirs]) == ["a"] * 4 + ["b"] * 3
    assert len(set(theirs)) == 7
    none = matched(real, added[:0], 4, np.random.default_rng(0))
    assert [len(side) for side in none] == [0, 0]


def test_what_origin_says_on_the_label():
    alike = origin_tells({"a": 30, "b": 10}, {"a": 15, "b": 5})
    assert alike["bits"] == pytest.approx(0, abs=1e-12)
    assert alike["accuracy_by_origin"] == alike["accuracy_majority"] == pytest.approx(0.75)
    told = origin_tells({"a": 30}, {"b": 30})
    assert told == pytest.approx({"bits": 1, "accuracy_by_origin": 1, "accuracy_majority": 0.5})
    rare = origin_tells({"a": 90, "b": 10}, {"b": 80})
    assert rare["bits"] > 0.4 and rare["accuracy_by_origin"] > rare["accuracy_majority"]


def test_the_script_measures_one_condition_of_a_fold(drawn, tmp_path):
    maps, names, _ = simulate(COUNTS, seed=3, duplicates=0)
    ids, labels = [f"w{i}" for i in range(len(maps))], [name.lower() for name in names]
    write_store(tmp_path / "wafers.h5", WaferStore.of(maps))
    selected = pd.DataFrame({"wafer_id": ids, "label": labels, "row": range(len(ids)), "sha256": ids})
    write_table(tmp_path / "selected.parquet", selected)
    folds = pd.DataFrame({"wafer_id": ids, "fold": 2, "split": ["train", "train", "val"] * (len(ids) // 3)})
    write_table(tmp_path / "folds.parquet", folds)
    _, (fresh, fresh_labels) = drawn
    files = [tmp_path / f"sources/gan/raw/{label}.h5" for label in sorted(set(labels))]
    for path in files:
        write_images(path, noisy(fresh[fresh_labels == path.stem], np.random.default_rng(1)))
    rows = [("gan", path.stem, i, "", "train") for path in files for i in range(2, 22)]
    rows.append(("gan", files[0].stem, 0, "", "val"))
    table = pd.DataFrame(rows, columns=["source", "label", "index", "wafer_id", "split"])
    write_table(tmp_path / "injection.parquet", table)
    run_script(
        "synthesis/measure_texture",
        tmp_path,
        MeasureTexture(protocol="replicates3", seed=42, drawn=Drawn(size=32), classes=list(COUNTS)),
        inputs={
            **{name: tmp_path / f"{name}.parquet" for name in ("selected", "folds", "injection")},
            **{"store": tmp_path / "wafers.h5", "samples": files},
        },
        outputs={"texture": tmp_path / "texture.parquet"},
        wildcards={"protocol": "replicates3", "seed": "42", "fold": "2", "condition": "gan_judged"},
    )
    found = read_table(tmp_path / "texture.parquet")
    assert tuple(found.columns) == TABLES["texture"] and len(found) == 1
    row = found.iloc[0]
    assert (row["source"], row["condition"], row["n_added"], row["replicate"]) == ("gan", "gan_judged", 60, 2)
    assert row["auc"] > 0.9 and 0 <= row["bits"] < 0.05
