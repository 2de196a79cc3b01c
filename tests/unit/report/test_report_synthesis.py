"""The report's parts about generators, samples, shape filter and quality, of a small made-up study."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.made_up_study import CONDITIONS, make_inputs, settings
from waferbench.base.errors import InputError
from waferbench.base.scope import Fold
from waferbench.images.store import write_images
from waferbench.report.synthesis import read_study
from waferbench.report.synthesis.figures import examples_that_fit, sample_rows
from waferbench.report.synthesis.generators import corruptions, filter_agreement, quality, shape_reasons
from waferbench.report.synthesis.judged import agreement
from waferbench.report.synthesis.making import binned, borderline, closest_pairs, priors, training_curves
from waferbench.report.synthesis.reading import tidy, with_wafer_intervals
from waferbench.wafers.store import WaferStore, write_store


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return read_study(make_inputs(folder), settings(), folder)


def test_samples_belong_to_their_source_and_scope(study, tmp_path):
    assert {source for source, _ in study.samples} == {"gan", "lora"} and study.sample_scope == Fold(0)
    rows = sample_rows(study, "center", 4)
    t = study.shape_filter
    kept = t[(t["fold"] == 0) & (t["source"] == "lora") & (t["label"] == "center")]["kept"].sum()
    assert [(title, kind, total) for title, kind, _, total in rows] == [
        ("real", "real", 16),  # training wafers of fold 0: no test wafer is shown
        ("gan", "kept", 16),
        ("lora", "kept", kept),
        ("lora", "rejected", 16 - kept),
    ]


def test_an_artifact_says_which_of_several_it_is_and_its_place_does_not(tmp_path):
    inputs = make_inputs(tmp_path)
    moved = []
    for path in map(Path, inputs["samples"]):
        moved.append(tmp_path / "elsewhere" / path.parents[1].name / path.name)
        moved[-1].parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved[-1])
    found = read_study({**inputs, "samples": moved}, settings(), tmp_path)
    assert found.sample_scope == Fold(0) and {source for source, _ in found.samples} == {"gan", "lora"}
    write_images(moved[0], np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(InputError, match="does not say which of several it is"):
        read_study({**inputs, "samples": moved}, settings(), tmp_path)


def test_tables_may_lack_columns_and_comparisons_are_called_by_short_names():
    one = {"backbone": "b", "head": "softmax", "condition": "gan", "reference": "real"}
    told = tidy("comparisons", [pd.DataFrame([{**one, "mean_difference": 0.1, "ci_low": 0.0, "ci_high": 0.2}])])
    assert told.loc[0, ["against", "difference", "low", "high"]].tolist() == ["real", 0.1, 0.0, 0.2]
    assert told["p_holm"].isna().all() and "reference" not in told
    both = [{**one, "metric": metric, "mean_difference": 0.1} for metric in ("macro_f1", "accuracy")]
    assert len(tidy("comparisons", [pd.DataFrame(both)])) == 1
    over = tidy("intervals", [pd.DataFrame([{**one, "low": -0.1, "high": 0.3}])])
    joined = with_wafer_intervals(told, over, "against")
    assert joined.loc[0, ["wafer_low", "wafer_high"]].tolist() == [-0.1, 0.3], "neither names a protocol"
    assert with_wafer_intervals(told, tidy("intervals", []), "against")["wafer_low"].isna().all()


def test_curves_show_every_training_and_pairs_the_closest(study, tmp_path):
    text = training_curves(study)
    for title in ("gan: discriminator", "stage 2", "lora: frozen base", "lora: adapters"):
        assert title in text
    steps, means = binned(np.arange(1000.0))
    assert len(steps) == 120 and steps[-1] == 1000 and means[0] == pytest.approx(4)
    assert [list(a) for a in binned(np.array([2.0, 4.0]))] == [[1, 2], [2.0, 4.0]]
    (alone,) = priors(study)
    assert alone["title"] == "lora" and alone["image"].startswith("data:image/png")
    write_store(tmp_path / "maps.h5", WaferStore.of([np.full((5, 7), 2, np.uint8), np.ones((9, 4), np.uint8)]))
    defined = {"conditions": CONDITIONS, "sources": {"die_lora": {"kind": "die_lora"}}}
    maps, again = (
        priors(dataclasses.replace(study, priors={"die_lora": tmp_path / "maps.h5"}, settings=made))
        for made in (settings(define=defined, render={"size": size}) for size in (32, 64))
    )
    assert maps[0]["title"] == "die_lora" and maps[0]["image"] != again[0]["image"], "drawn as the study draws wafers"
    pairs = closest_pairs(study)
    assert list(pairs) == ["gan", "lora"]
    samples, wafers = pairs["gan"]
    assert samples["image"].startswith("data:image/png") and samples["image"] != wafers["image"]
    assert samples["note"] == "10.0% to 11.0% of pixels differ", "the four nearest of all classes"


def test_the_filter_shows_its_limit_its_agreement_and_what_it_catches(study):
    t = study.shape_filter[study.shape_filter["source"] == "lora"]
    row = next(row for row in filter_agreement(study).rows if row[0].text == "lora")
    assert row[1].value == pytest.approx(100 * (t["passes_geometric"] & t["passes_cnn"]).mean())
    assert sum(cell.value for cell in row[1:]) == pytest.approx(100)
    table = corruptions(study)
    assert table.head == ["Rejected", "cut rim", "spill"] and [c.text for c in table.rows[0][1:]] == ["80.0", "100.0"]
    assert [strip["title"] for strip in borderline(study)] == ["just accepted", "just rejected"]


def test_a_pool_that_met_its_cap_is_marked(study):
    rows = {row[0].text: row for row in shape_reasons(study).rows}
    gan, lora = rows["gan · Center"][4], rows["lora · Center"][4]
    assert gan.note == "" and gan.text == "70"
    short = dataclasses.replace(study, settings=settings(pool={"n_accepted": 90, "max_raw": 90}))
    assert {row[0].text: row for row in shape_reasons(short).rows}["lora · Center"][4].note == "cap reached"
    assert lora.value <= 70


def test_agreement_flags_below_sixty_percent_of_the_pool(study):
    rows = {row[0].text: row for row in agreement(study).rows}
    gan, lora = rows["Center"][1:]
    assert gan.tone == "bad" and gan.text == "⚑ 29%" and "Edge-Ring" in gan.note  # 4 of the 14 in the pool
    assert lora.text == "100%" and lora.tone == ""


def test_shape_table_counts_reasons_unknown_ones_too(study):
    table = shape_reasons(study)
    assert "novel_reason" in table.head
    row = next(r for r in table.rows if r[0].text == "lora · all classes")
    drawn, kept = int(row[1].value), int(row[3].value)
    assert drawn == 5 * 3 * 16 and drawn - kept == sum(int(cell.value) for cell in row[5:])


def test_quality_sets_kept_beside_raw_and_floor(study):
    row = quality(study, "test").rows[0]
    assert [cell.text for cell in row[2:6]] == ["40.0", "30.0", "30.0", "30.0"]
    assert row[7].note == "10.0 to 30.0"


def test_many_classes_get_fewer_examples(tmp_path):
    inputs = make_inputs(tmp_path)
    many = settings(classes=[f"class {i}" for i in range(38)], examples=32)
    assert examples_that_fit(read_study(inputs, many, None)) < 32
