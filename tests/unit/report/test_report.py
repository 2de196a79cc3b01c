"""The report of a small made-up study: complete, self-contained, escaped, and true to its tables."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from helpers.made_up_study import BACKBONES, CONDITIONS, made_for, make_inputs, settings
from helpers.pages import parsed
from waferbench.base.artifacts import write_json, write_table
from waferbench.report.kit.origins import cost
from waferbench.report.synthesis import read_study, render_page
from waferbench.report.synthesis.figures import gain_figure, samples_figure
from waferbench.report.synthesis.generators import quality, shape_reasons
from waferbench.report.synthesis.judged import agreement, weak_classes
from waferbench.report.synthesis.summary import gain_text, summarise
from waferbench.report.synthesis.tables import confusion, table1, table1_frame


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return read_study(make_inputs(folder), settings(), folder)


def render(study, tmp_path):
    render_page(study, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    return text, parsed(text)


def test_page_is_whole_escaped_and_needs_nothing_else(study, tmp_path):
    text, page = render(study, tmp_path)
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert "<b>Loc</b>" not in text and "&lt;b&gt;Loc&lt;/b&gt; &amp; $x$" in text
    assert page.tags.count("script") == 1
    sections = {"scores", "gains", "classes", "mistakes", "samples", "training", "quality", "judge", "shape"}
    assert sections | {"audit", "cost"} <= set(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(text) < 5_000_000
    assert (
        "nan"
        not in re.sub(r"<script.*?</script>|data:image[^\"]*|<style.*?</style>", "", text, flags=re.S).lower().split()
    )


def test_sentences_name_the_best_cell_and_its_gains(study):
    summary = summarise(study)
    assert len(summary.sentences) == 3
    assert (summary.backbone, summary.condition) == ("tf_efficientnet_lite0", "lora")
    ran, won, trust = summary.sentences
    assert "5 of 5" in ran and "60 real wafers" in ran and "60 classifiers" in ran
    assert "0.9240 ± 0.0032" in won
    assert "+6.0 points (95% interval +4.0 to +8.0) against real" in won
    assert "+3.0 points (95% interval +1.0 to +5.0) against real_aug" in won
    assert trust.startswith("Trust it as far as 5 folds")
    assert weak_classes(study) == ["gan Center"]


def test_pooled_generators_simulated_wafers_and_few_folds_are_said(tmp_path):
    inputs = make_inputs(tmp_path, folds=(0,), pooled=True)
    study = read_study(inputs, settings(train_on="pooled"), tmp_path)
    summary = summarise(study)
    assert "one fold: no interval" in summary.sentences[1]
    assert any("trained on all wafers" in c for c in summary.cautions)
    assert "flattered" in summary.sentences[2]
    render(study, tmp_path)
    simulated = summarise(read_study(inputs, settings(source="simulated"), tmp_path))
    assert simulated.sentences[2].startswith("Read it as a rehearsal")
    suspects = pd.DataFrame({"is_issue": [True]})
    for source, told in (("lswmd", True), ("simulated", False)):  # the labels of simulated wafers are right
        wafers = read_study(inputs, settings(source=source), tmp_path)
        found = summarise(dataclasses.replace(wafers, tables={**wafers.tables, "label_noise": suspects})).cautions
        assert any("look wrong" in caution for caution in found) is told


def test_a_diverged_gan_is_a_caution(tmp_path):
    inputs = make_inputs(tmp_path)
    good, bad = {"converged": True, "reason": ""}, {"converged": False, "reason": "collapse"}
    facts, run = tmp_path / "facts.json", made_for(tmp_path / "cv5/seed42/fold2", source="gan")
    write_json(facts, {"stage1": good, "labels": {"center": good, "edge-ring": bad}}, run)
    told = summarise(read_study({**inputs, "facts": [facts]}, settings(), tmp_path)).cautions
    assert any("training of gan diverged (Edge-Ring, fold2: collapse)" in caution for caution in told)
    write_json(facts, {"stage1": good, "labels": {"center": good}}, run)
    told = summarise(read_study({**inputs, "facts": [facts]}, settings(), tmp_path)).cautions
    assert not any("diverged" in caution for caution in told)


def test_without_synthesis(tmp_path):
    conditions = {name: CONDITIONS[name] for name in ("real", "real_aug")}
    inputs = make_inputs(tmp_path, conditions)
    study = read_study(inputs, settings(conditions), tmp_path)
    _, page = render(study, tmp_path)
    assert not {"samples", "training", "quality", "judge", "shape"} & set(page.ids)
    assert (quality(study, "test"), agreement(study), shape_reasons(study)) == (None, None, None)
    samples_figure(study, tmp_path / "samples.png")
    assert (tmp_path / "samples.png").stat().st_size


def test_without_comparisons_runs_or_audit(tmp_path):
    inputs = make_inputs(tmp_path, {"real": CONDITIONS["real"]})
    for name in ("comparisons", "audit"):
        write_table(inputs[name], pd.DataFrame())
    study = read_study(inputs, settings({"real": CONDITIONS["real"]}, baseline="real"), None)
    _, page = render(study, tmp_path)
    assert not {"gains", "audit", "cost"} & set(page.ids)
    gain_figure(study, tmp_path / "gain.png")


def test_table1_holds_means_bold_best_and_the_paper(study):
    table = table1(study)
    rows = {(row[0].text, row[1].text): row for row in table.rows}
    tiny = rows["TinyViT-21M", "ECOC-SVM"]
    assert [cell.text for cell in tiny[2:]] == ["0.8340", "0.8640", "0.8740", "0.8940", "0.9378", "0.9457", "0.9459"]
    assert tiny[5].tone == "best" and tiny[2].tone == "" and tiny[8].note == "± 0.0074"
    assert rows["TinyViT-21M", "softmax"][6].text == "–"
    assert rows["tf_efficientnet_lite0", "ECOC-SVM"][6].text == "0.9229"  # of the paper's nearest, named beside it
    assert "EfficientNet-B0" in rows["tf_efficientnet_lite0", "ECOC-SVM"][0].note
    frame = table1_frame(study).set_index(["backbone", "head", "condition"])
    assert frame.loc[("mobilenetv2_100.ra_in1k", "ecoc_svm", "lora"), "paper_macro_f1"] == 0.9344
    assert frame.loc[("mobilenetv2_100.ra_in1k", "softmax", "lora"), "paper_macro_f1"] != 0.9344


def test_confusion_counts_every_prediction_once(study):
    table = confusion(study, BACKBONES[0], "gan")
    counts = np.array([[cell.value for cell in row[1:]] for row in table.rows])
    assert counts.sum() == 5 * 3 * 7 and (counts.sum(1) == 35).all()
    assert table.rows[0][1].tone == "right" and table.rows[1][1].tone == "wrong"


def test_cost_sums_runs(study):
    table = cost(study.runs)
    assert table.rows[0][0].text == "train gan" and table.totals[0][2].text == "12 s"
    assert table.totals[0][5].value == 200


def test_files_for_snakemakes_report_repeat(study, tmp_path):
    for make, name in ((gain_figure, "gain.png"), (samples_figure, "samples.png"), (gain_figure, "gain.svg")):
        make(study, tmp_path / name)
        first = (tmp_path / name).read_bytes()
        make(study, tmp_path / name)
        assert first == (tmp_path / name).read_bytes() and len(first) > 2000


def test_gain_text_without_an_interval():
    row = pd.Series({"difference": -0.012, "low": np.nan, "high": np.nan, "wafer_low": np.nan, "wafer_high": np.nan})
    assert gain_text(row, 0.95) == "−1.2 points (one fold: no interval)"
    row = row.fillna({"wafer_low": -0.02, "wafer_high": 0.003})
    assert gain_text(row, 0.95) == "−1.2 points (one fold; over its test wafers alone 95% −2.0 to +0.3)"


def test_published_numbers_are_the_papers(study):
    published = study.published
    rows = published["table1"]["rows"]
    assert len(rows) == 8 and set(published["backbones"].values()) == {row["backbone"] for row in rows}
    assert round(sum(row["lora"] for row in rows), 4) == 7.5177
    assert sum(row["lora"] > row["gan"] for row in rows) == 5  # section 4.2
    assert published["fid"]["lora"] == 51.0 and published["shape_filter"]["retained"] == 27927


def test_backbones_are_called_as_people_call_them(study):
    assert [study.short(name) for name in BACKBONES] == ["MobileNetV2", "TinyViT-21M", "tf_efficientnet_lite0"]
    twins = ["mobilenetv2_100.ra_in1k", "mobilenetv2_100.other"]
    scores = pd.concat([study.scores.assign(backbone=name) for name in twins])
    both = dataclasses.replace(study, tables={**study.tables, "scores": scores})
    assert [both.short(name) for name in twins] == twins
