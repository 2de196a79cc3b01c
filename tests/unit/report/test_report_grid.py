"""The report's parts about the whole grid: statistics, calibration, costs, doubtful labels, mistakes, protocols."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from helpers.made_up_grid import TOO_FEW, add_grid, with_protocols, write_explanations
from helpers.made_up_study import BACKBONES, CLASSES, CONDITIONS, LABELS, make_inputs, settings
from waferbench.base.artifacts import read_table, write_table
from waferbench.report.synthesis import grid, mistakes, read_study, render_page, statistics, trust
from waferbench.report.synthesis.dossiers import dossiers
from waferbench.report.synthesis.figures import gain_figure
from waferbench.report.synthesis.reading import with_wafer_intervals
from waferbench.report.synthesis.summary import summarise
from waferbench.report.synthesis.tables import confusion, per_class, table1, table1_frame

MOBILE, TINY, LITE = BACKBONES
SECTIONS = {"worth", "steps", "ranks", "saturation", "rare", "trust", "labels", "backbones"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return read_study(add_grid(folder, make_inputs(folder)), settings(), folder)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    inputs = add_grid(folder, make_inputs(folder))
    return read_study(inputs, settings(folds=with_protocols(inputs)), folder)


def write(study, folder):
    render_page(study, folder / "report.html")
    return (folder / "report.html").read_text()


def test_the_page_has_every_section_and_stays_small(study, tmp_path):
    text = write(study, tmp_path)
    assert all(f'id="{name}"' in text and f'href="#{name}"' in text for name in SECTIONS)
    assert (
        "chosen on each network’s validation wafers" in text and "Intervals are not corrected for their number" in text
    )
    assert 'id="protocols"' not in text and 'class="warning"' not in text
    assert "<b>Loc</b>" not in text and len(text) < 5_000_000


def test_empty_tables_leave_their_sections_out(tmp_path):
    inputs = add_grid(tmp_path, make_inputs(tmp_path))
    for name in ("heads", "ranks", "rank_pairs", "decomposition", "saturation", "calibration", "reliability"):
        write_table(inputs[name], pd.DataFrame())
    for name in ("rare_recall", "label_noise", "backbones"):
        write_table(inputs[name], pd.DataFrame())
    text = write(read_study({**inputs, "explanations": []}, settings(), None), tmp_path)
    kept = {name for name in SECTIONS if f'id="{name}"' in text}
    assert kept == {"backbones", "saturation"}, "gains against the real score are drawn from the scores alone"
    assert all(f'href="#{name}"' not in text for name in SECTIONS - kept)
    assert "Does the SVM head pay" not in text and "Grad-CAM" not in text


def test_table1_says_what_an_image_costs(study):
    table = table1(study)
    assert list(table.head[-3:]) == ["Parameters, M", "GMACs", "Latency, ms"]
    assert [cell.text for cell in table.rows[1][-3:]] == ["21.2", "4.3", "12.5"]
    assert study.timed_on == "CPU, 2 threads"
    assert sum(span for _, span in table.groups) == len(table.head) == len(table.rows[0])
    assert grid.heads(study).rows[0][1].note == "+0.2 to +1.8" and grid.heads(study).rows[0][1].tone == "good"


def test_the_cheap_backbone_is_set_against_the_best(study):
    assert grid.cheap_sentence(study).startswith("The best backbone of all is a cheap one: tf_efficientnet_lite0")
    scores = study.scores.assign(macro_f1=study.scores["macro_f1"] + 0.2 * (study.scores["backbone"] == TINY))
    other = dataclasses.replace(study, tables={**study.tables, "scores": scores})
    told = grid.cheap_sentence(other)
    assert "tf_efficientnet_lite0 (0.4 GMACs, lora): 0.9240, 17.0 points below TinyViT-21M (4.3 GMACs, lora)" in told
    dear = study.tables["backbones"].assign(macs=4e9)
    alike = dataclasses.replace(study, tables={**study.tables, "backbones": dear})
    assert "No backbone of this study needs a fifth" in grid.cheap_sentence(alike)
    assert grid.cost_figure(study).count("MobileNetV2") == 1


def test_the_steps_follow_the_chain(study):
    assert [step[:2] for step in statistics.steps(study)] == [
        ("augmentation", "real_aug"),
        ("synthesis", "gan"),
        ("synthesis", "lora"),
    ]
    row = statistics.decomposition(study).rows[0]
    assert [cell.text for cell in row[2:]] == ["+3.0", "+1.0", "+3.0"] and row[3].tone == "" and row[4].tone == "good"
    figure = statistics.decomposition_figure(study)
    one_fold = study.decomposition.assign(low=None, high=None, p_value=None, wafer_low=-0.02, wafer_high=0.01)
    single = dataclasses.replace(study, tables={**study.tables, "decomposition": one_fold})
    nothing = with_wafer_intervals(
        study.decomposition[:0].drop(columns="protocol"), study.tables["intervals"], "reference"
    )
    assert not len(nothing) and {"wafer_low", "wafer_high"} <= set(nothing)
    assert statistics.decomposition(single).rows[0][3].note == "test wafers alone −2.0 to +1.0"
    assert "stroke-dasharray" in statistics.decomposition_figure(single) and "stroke-dasharray" not in figure
    assert all(text in figure for text in ("augmentation", "lora − real_aug", "TinyViT-21M"))


def test_ranks_are_drawn_where_they_were_tested(study, tmp_path):
    figure = statistics.rank_figure(study)
    assert "lora (1.2)" in figure and "(3.9) real" in figure and "1.66" in figure
    assert [row[3].tone for row in statistics.rank_pairs(study).rows].count("good") == 3
    pairs = study.rank_pairs.assign(p_value=0.03)
    strict = {**study.tables, "rank_pairs": pairs}
    sure = settings(statistics={"confidence": 0.99})
    strict = dataclasses.replace(study, tables=strict, settings=sure)
    assert {row[3].tone for row in statistics.rank_pairs(strict).rows} == {""}, "0.03 is not below 1 - 0.99"
    alike = dataclasses.replace(study, tables={**study.tables, "rank_pairs": pairs})
    assert statistics.rank_figure(strict) != statistics.rank_figure(alike), "the bar joins what 99% cannot tell apart"
    untested = read_study(add_grid(tmp_path, make_inputs(tmp_path), tested=False), settings(), tmp_path)
    assert statistics.rank_figure(untested) is None and statistics.rank_pairs(untested) is None
    assert len(statistics.ranks(untested).head) == 4, "no column of a test that was not made"
    none = dict.fromkeys(("rho", "p_value", "slope", "slope_low", "slope_high"), np.nan)
    trends = untested.saturation.assign(**none, verdict=TOO_FEW)
    untested = dataclasses.replace(untested, tables={**untested.tables, "saturation": trends})
    assert statistics.saturation(untested) is None
    assert write(untested, tmp_path).count(f"<b>{TOO_FEW}.</b>") == 2, "of ranks and of saturation"


def test_saturation_slopes_are_in_points(study):
    rows = {row[2].text: row for row in statistics.saturation(study).rows if row[0].text == "lora"}
    assert rows["parameters"][5].text == "−2.10" and "points per tenfold, −3.00 to −1.00" in rows["parameters"][5].note
    assert rows["macro-F1 on real wafers alone"][5].text == "−0.02"
    assert "parameters, millions" in statistics.saturation_figure(study)


def test_rare_defects_say_where_the_precision_is_out_of_reach(study):
    table = trust.rare_recall(study)
    center = {row[2].text: row for row in table.rows if row[0].text == "Center" and row[1].text == "MobileNetV2"}
    assert [cell.text for cell in center["real"][4:6]] == ["not reached", "–"] and center["real"][7].text == "0 of 5"
    assert [cell.text for cell in center["gan"][4:]] == ["60.0%", "85.0%", "+10.0", "4 of 5"]
    assert [cell.note for cell in center["gan"][4:7]] == ["50% to 70%", "70% to 95%", "+2.0 to +20.0"]
    assert center["real_aug"][6].text == "–" and center["gan"][6].tone == "good"
    figure = trust.rare_figure(study, LITE)
    assert trust.precision(study) == "90%" and "not reached" in figure and "at 85%" in figure
    assert trust.rare_figure(study, "unknown") is None


def test_calibration_is_the_mean_over_folds(study):
    row = trust.calibration(study).rows[0]
    assert [cell.text for cell in row[2:]] == ["1.60", "12.0", "4.0", "0.500", "0.400"] and row[4].tone == "good"
    assert "MobileNetV2, gan" in trust.reliability_figure(study, {MOBILE: "gan"})
    assert trust.reliability_figure(study, {MOBILE: "unknown"}) is None


def test_doubtful_labels_are_shown_worst_first(study):
    found = mistakes.suspects(study)
    assert len(found) == 20 and [s["flagged"] for s in found] == [True] * 9 + [False] * 11
    assert found[0]["given"] == "Center" and found[0]["suggested"] == "Edge-Ring" and found[0]["p_given"] == "5%"
    assert all(s["image"].startswith("data:image/png") for s in found)
    assert [row[2].value for row in mistakes.label_counts(study).rows] == [3, 3, 3]
    assert mistakes.label_models(study) == "3 networks trained on real_aug"
    noise = study.label_noise.assign(wafer_id="not in the store")
    lost = dataclasses.replace(study, tables={**study.tables, "label_noise": noise})
    assert {s["image"] for s in mistakes.suspects(lost)} == {""}


def test_mistakes_are_those_of_the_file(study, monkeypatch):
    found = mistakes.looked_at(study, MOBILE)
    assert found["shown"] == 5 and [p["wafer"] for p in found["pictures"]] == ["w0", "w1", "w2", "w3", "w4"]
    first = found["pictures"][0]
    assert (first["true"], first["called"], first["probability"]) == ("Center", "Edge-Ring", "99%")
    monkeypatch.setattr(mistakes, "PICTURES", 8)
    cut = mistakes.looked_at(study, MOBILE)
    assert cut["shown"] == 2 and cut["pictures"] == found["pictures"][:2], "three backbones share eight pictures"
    assert mistakes.looked_at(study, "unknown") is None


def test_a_backbone_without_mistakes_keeps_its_section(study, tmp_path):
    assert mistakes.looked_at(study, TINY) == {"shown": 0, "pictures": []}
    text = write(study, tmp_path)
    assert text.count("Misclassified wafers, and what the network looked at") == len(BACKBONES)
    assert text.count("No test wafer of the first fold is called wrongly.") == 1, "of one of three backbones"


def test_heat_covers_what_it_weighs_and_nothing_else():
    grey, heat = np.full((8, 8), 128, np.uint8), np.zeros((8, 8), np.uint8)
    grey[:, :2], heat[:, 4:] = 0, 255
    pixels = np.asarray(mistakes.overlay(grey, heat, (0, 128, 255)).convert("RGBA")).astype(int)
    assert (pixels[:, :2, 3] == 0).all() and (pixels[:, 2:, 3] > 250).all()
    assert np.ptp(pixels[:, 3, :3]) < 30, "a passing die without heat stays grey"
    assert (pixels[:, 6, 0] - pixels[:, 6, 2] > 80).all(), "the hottest is yellow"


def test_large_explanations_are_shrunk(study, tmp_path):
    path = write_explanations(tmp_path, MOBILE)
    assert mistakes._shrunk(np.zeros((224, 224), np.uint8)).shape == (mistakes.THUMB, mistakes.THUMB)
    assert len(mistakes.looked_at(dataclasses.replace(study, explanations={MOBILE: path}), MOBILE)["pictures"]) == 5


def test_every_backbone_has_its_own_part(study):
    found = dossiers(study)
    assert [d["title"] for d in found] == ["MobileNetV2", "TinyViT-21M", "tf_efficientnet_lite0"]
    first = found[0]
    assert list(first["confusions"]) == ["real_aug", "lora"] and first["mistakes"]["shown"] == 5
    assert ("Latency", "12.5 ms", "240 a second in batches; CPU, 2 threads", "") in first["tiles"]
    lora = next(row for row in first["recipes"].rows if row[0].text == "lora")
    assert [cell.text for cell in lora[1:]] == ["0.8640", "0.8540", "+6.0", "+3.0", "0.9344"]
    assert "p 0.080 (Holm)" in lora[4].note


def test_the_main_tables_speak_of_the_first_protocol_only(several):
    main = several.main
    assert several.protocols == ["cv5", "nine_class_70_30", "leaky_80_20"] and main.protocols == ["cv5"]
    assert table1(main).rows[0][2].text == "0.8040" and "mean over 5 folds and 2 seeds" in table1(main).rows[0][2].title
    counts = np.array([[cell.value for cell in row[1:]] for row in confusion(main, MOBILE, "gan").rows])
    assert counts.sum() == 2 * 5 * 3 * 7, "two seeds"
    assert per_class(main).rows[0][1].text == "35", "a wafer counts once, whatever the seeds"
    assert "each with 2 random seeds" in summarise(main).sentences[0]


def test_other_protocols_are_listed_and_leaky_ones_marked(several, tmp_path):
    table = grid.protocols(several)
    assert len(table.rows) == 9
    for row in table.rows:
        leaky = row[0].text == "leaky_80_20"
        assert (row[0].note == "leaky") == leaky and all((cell.tone == "bad") == leaky for cell in row[2:6])
    own = [row for row in grid.table2(several).rows if row[0].text.startswith("This study")]
    assert [row[1].text for row in own] == ["3", "4", "3"], "the class `none` counts under its protocol"
    assert [("leaky" in row[2].note, row[3].tone == "bad") for row in own] == [(False, False)] * 2 + [(True, True)]
    assert [leaky for _, leaky in grid.protocol_verdicts(several)] == [False, False, True]
    frame = table1_frame(several)
    assert frame.groupby("protocol")["leaky"].first().to_dict() == {p: p.startswith("leaky") for p in several.protocols}
    assert frame.loc[frame["leaky"], "paper_macro_f1"].isna().all()
    text = write(several, tmp_path)
    assert 'id="protocols"' in text and "Under a leaky protocol each condition is tested on other wafers" in text


def test_a_leaky_main_protocol_is_marked_everywhere(several, tmp_path):
    order = {"protocols": ["leaky_80_20", "cv5"]}
    leaky = dataclasses.replace(several, settings=settings(folds=order))
    text = write(leaky, tmp_path)
    tables, marks = text.count("<table"), text.count('<p class="warning">')
    plain = 5  # earlier work and protocols mark their rows; cost, artifacts and versions hold no score
    assert marks >= tables - plain and "(leaky)" in text
    assert "leaky" in summarise(leaky.main).cautions[0]
    assert "There are no comparisons, ranks or intervals of differences" in text and 'id="gains"' not in text
    assert statistics.saturation_figure(leaky.main) is None
    gain_figure(leaky.main, tmp_path / "gain.svg")
    gain_figure(several.main, tmp_path / "other.svg")
    assert (tmp_path / "gain.svg").read_bytes() != (tmp_path / "other.svg").read_bytes()


def test_a_class_of_another_protocol_is_called_by_its_label(several):
    nine = several.of("nine_class_70_30")
    assert nine.names == {**dict(zip(LABELS, CLASSES, strict=True)), "none": "none"}
    assert [row[0].text for row in per_class(nine).rows] == [*CLASSES, "none"]
    odd = nine.predictions.assign(y_pred="novel")
    table = confusion(dataclasses.replace(nine, tables={**nine.tables, "predictions": odd}), MOBILE, "gan")
    assert table.head[-1] == "novel" and table.rows[0][-1].value == 35


def test_seeds_share_the_splits(tmp_path):
    inputs = make_inputs(tmp_path)
    for name in ("folds", "audit", "shape_filter", "agreement"):
        table = read_table(inputs[name])
        write_table(inputs[name], pd.concat([table, table.assign(seed=43)], ignore_index=True))
    both = read_study(inputs, settings(), tmp_path)
    alone = make_inputs_of_one_seed(tmp_path / "alone")
    for name in ("folds", "audit", "shape_filter", "agreement"):
        assert len(both.main.tables[name]) == len(alone.tables[name]) == len(both.tables[name]) / 2


def make_inputs_of_one_seed(folder):
    folder.mkdir()
    return read_study(make_inputs(folder), settings(conditions=CONDITIONS), folder)
