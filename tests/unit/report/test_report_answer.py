"""What the report says of a study with a ceiling: the answer first, and what it rests on."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from helpers.made_up_answer import FAIR, HEADLINE, STEPS, answered
from helpers.made_up_study import settings
from helpers.pages import parsed
from waferbench.base.artifacts import write_table
from waferbench.report.kit.tables import gap
from waferbench.report.kit.words import reach
from waferbench.report.synthesis import judged, making, read_study, render_page, statistics, worth
from waferbench.report.synthesis.figures import gain_figure, hollow, sample_rows
from waferbench.report.synthesis.generators import quality
from waferbench.report.synthesis.summary import summarise
from waferbench.report.synthesis.tables import comparisons, per_class, table1_frame


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answered")
    return read_study(answered(folder), settings(FAIR), folder)


def changed(study, **tables):
    return dataclasses.replace(study, tables={**study.tables, **tables})


def write(study, folder):
    render_page(study, folder / "report.html")
    return (folder / "report.html").read_text()


def test_the_answer_comes_first_and_the_other_findings_follow(study, tmp_path):
    text = write(study, tmp_path)
    first = text.index(HEADLINE)
    assert first < text.index("This study finds −2.5 points &amp; more.") < text.index("This study trained")
    page = parsed(text)
    assert {"ceiling", "judge", "texture", "samples", "gains"} <= set(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert "against real<" not in text and 'class="alarm"' not in text, "the study has no condition `real`"
    assert len(summarise(changed(study, findings=study.findings[:0])).sentences) == 3


def test_nothing_is_flagged_that_real_wafers_would_be_flagged_for(study):
    table = judged.agreement(study)
    assert list(table.head) == [
        *("Class", "real wafers, held out", "oracle (ceiling)", "gan", "lora"),
        "real wafers through lora’s autoencoder",
    ]
    rows = {row[0].text: row for row in table.rows}
    loc = rows["<b>Loc</b> & $x$"]
    assert [cell.text for cell in loc[1:]] == ["40%", "40%", "100%", "50%", "35%"], "real ones are below 60%, too"
    assert [cell.tone for cell in loc[1:]] == ["muted", "", "", "", "muted"] and "100% of real" in loc[2].note
    center = rows["Center"]
    assert (
        center[4].text == "⚑ 50%" and center[4].note.startswith("50% of real") and center[5].note.startswith("100% as")
    )
    assert [cell.text for cell in table.totals[0][1:3]] == ["77%", "77%"]
    assert judged.weak_classes(study) == ["gan Center", "lora Center", "lora Edge-Ring"]
    figure = judged.agreement_figure(study)
    assert all(f">{source}<" in figure for source in ("oracle", "gan", "lora"))


def test_gains_stand_beside_the_ceiling_and_what_could_be_seen(study, tmp_path):
    table = worth.worth(study)
    assert list(table.head[-3:]) == ["Gain over real_aug", "Gain over oversample", "Share of the ceiling"]
    lora = next(row for row in table.rows if row[0].text == "lora")
    assert [cell.text for cell in lora[2:]] == ["60", "90", "+2.0", "+1.0", "50%"]
    assert [cell.note for cell in lora[4:]] == ["+0.0 to +4.0; sees 2.5", "−0.5 to +2.5; sees 2.1", "10% to 90%"]
    unsure = read_study(answered(tmp_path, determined=False), settings(FAIR), tmp_path)
    rows = {row[0].text: row[-1] for row in worth.worth(unsure).rows}
    assert rows["lora"].text == "not determined" and "−1.0 to +6.0" in rows["lora"].note
    assert rows["oracle"].text == "the ceiling itself" and rows["oracle"].note == ""
    both = comparisons(study)
    assert both.rows[0][list(both.head).index("Smallest effect seen")].text == "2.5"
    assert hollow(study) == "oversample" and study.references == ["real_aug", "oversample"]
    gain_figure(study, tmp_path / "gain.svg")
    assert per_class(study).rows[0][3].note, "differences from the baseline, as there is no condition `real`"


def test_conditions_say_what_they_add_and_how_long_they_train(study, tmp_path):
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in worth.training(study).rows}
    assert rows["real_aug"] == ["nothing", "60", "0", "60"] and rows["oracle"][0] == "further real wafers"
    assert rows["gan"] == ["samples of gan", "60", "90", "60"] and rows["oversample"][0] == "real wafers again"
    assert [cell.text for cell in worth.budget(study).rows[0]] == ["Center", "16", "30", "14", "14", "14"]
    assert worth.budget(study).rows[0][3].tone == "bad", "fewer than are to be added"
    frame = table1_frame(study).set_index(["backbone", "head", "condition"])
    assert set(frame["steps"]) == {60} and set(frame["n_added"]) == {0, 90}
    published = settings(FAIR, classifier={"epochs": 2}, budget={"equal": False})
    longer = answered(tmp_path, steps={**STEPS, "gan": 90})
    alarmed = read_study(longer, published, tmp_path)
    told = summarise(alarmed)
    assert "real_aug 60, gan 90" in told.alarms[0] and "unequal numbers" in told.alarms[1]
    assert "optimiser steps" in told.cautions[0] and write(alarmed, tmp_path).count('class="alarm"') >= 4


def test_intervals_say_what_they_hold_and_have_a_width(study):
    row = worth.pooled(study).rows[0]
    assert [cell.text for cell in row[4:]] == ["0.780 to 0.820", "0.8100", "1.0000", "100", "0.0120"]
    assert row[5].note == "0.790 to 0.830" and row[6].note == "", "no resample differed"
    assert reach(0.1, 0.1) == reach(None, 1) == reach(0.501, 0.504) == "" and reach(-0.5, 1, ".1f") == "−0.5 to 1.0"
    assert gap(0.0, 0.0, 0.0).note == "" and gap(0.01, 0.01, 0.01).tone == ""
    assert worth.code_books(study) == ""
    several = dataclasses.replace(study, settings=settings(FAIR, svm={"code_seeds": 3}))
    assert "3 code books; each by itself, their macro-F1 differ by 1.2 points" in worth.code_books(several)
    assert [cell.text for cell in worth.mixed(study).rows[0][1:4]] == ["ECOC-SVM", "+2.0", "0.100"]


def test_texture_is_bad_where_it_tells_the_class(study):
    rows = {row[0].text: row[-1] for row in judged.texture(study).rows}
    assert [(rows[c].tone, rows[c].text.split(",")[0]) for c in ("oracle", "gan", "lora")] == [
        ("muted", "further real wafers"),
        ("bad", "looks synthetic"),
        ("", "looks synthetic"),
    ]
    alike = study.texture.assign(auc=study.texture["auc"].where(study.texture["condition"] != "oracle", 0.985))
    assert judged.texture(changed(study, texture=alike)).rows[2][-1].text == "told no better than further real wafers"
    few = judged.texture(changed(study, texture=study.texture.assign(auc=np.nan)))
    assert few.rows[1][-1].text == "too few added wafers to tell"


def test_samples_start_with_real_ones_and_say_how_they_were_drawn(study):
    assert [(title, kind) for title, kind, _, _ in sample_rows(study, "center", 4)][:3] == [
        ("real", "real"),
        ("oracle", "oracle"),
        ("gan", "kept"),
    ]
    (told,) = making.bases(study)
    assert "4,000 simulated wafers" in told and "tuned on die grids" in told, "in a study of real wafers"
    simulated = dataclasses.replace(study, settings=settings(FAIR, source="simulated"))
    assert "the study’s simulator with other parameters" in making.bases(simulated)[0]

    def guided(**entry):
        sources = {"oracle": {"kind": "oracle"}, "gan": {"kind": "ts_hinge_gan"}}
        sources["lora"] = {"kind": "db_sd_lora", **entry}
        chosen = settings(FAIR, define={"conditions": FAIR, "sources": sources})
        return dataclasses.replace(study, settings=chosen, bases={})

    assert "some/base" in making.bases(guided(base="some/base"))[0]
    entry = {"rank": 8, "alpha": 4, "steps": 16, "guidance": 2, "guidance_interval": [0.0, 1.0]}
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in making.drawing(guided(**entry)).rows}
    assert list(rows) == ["gan", "lora"] and rows["gan"][-1] == "–"
    assert rows["lora"][1] == "rank 8, alpha 4, 16 steps a class" and rows["lora"][-1] == "2 against the frozen base"
    entry |= {"guidance_against": "prompt", "guidance_interval": [0.2, 0.8]}
    found = making.drawing(guided(**entry)).rows[-1][-1].text
    assert found == "2 against the empty prompt, noise 0.2 to 0.8 of the schedule"
    assert making.drawing(guided(guidance=1)).rows[-1][-1].text == "none"


def test_ranks_hold_for_these_generators_where_blocks_are_too_few(study, tmp_path):
    names = {"protocol": "cv5", "head": "ecoc_svm"}
    test = {"n_backbones": 5, "statistic": 9.0, "p_value": 0.01, "critical_difference": 1.5, "n_blocks": 1}
    alone = "for these generators alone: 1 fold is too few to tell their draws from the conditions"
    ranks = pd.DataFrame(
        [{**names, "condition": c, "mean_rank": i + 1.0, **test, "verdict": alone} for i, c in enumerate(FAIR)]
    )
    pairs = pd.DataFrame([{**names, "condition": "gan", "reference": "lora", "p_value": 0.01}])
    found = changed(study, ranks=ranks, rank_pairs=pairs)
    assert statistics.ranks(found).rows[0][5].note == "for these generators alone"
    text = write(found, tmp_path)
    assert "For these generators alone: 1 fold" in text and "given without a test" not in text
    by_fold = changed(study, ranks=ranks.assign(verdict="", n_blocks=5), rank_pairs=pairs)
    assert statistics.ranks(by_fold).rows[0][5].note == "orders permuted in 5 blocks"


def test_replicates_are_called_replicates(study, tmp_path):
    def under(table):
        return table.assign(protocol="replicates5") if "protocol" in table else table

    tables = {name: under(table) for name, table in study.tables.items()}
    chosen = settings(FAIR, source="simulated", folds={"protocols": ["replicates5"]})
    replicated = dataclasses.replace(study, tables=tables, settings=chosen)
    text = write(replicated, tmp_path)
    assert "5 replicates, each with training and test wafers of its own" in text and "between replicates" in text
    assert "by the plain paired t" in text and "Nadeau" not in text and "Measured in the first replicate alone" in text
    assert "Nadeau" in write(study, tmp_path)


@pytest.mark.parametrize("lacking", ["oracle", "sources", "folds", "pooled"])
def test_every_page_makes_sense_without(lacking, tmp_path):
    folds = (0,) if lacking == "folds" else (0, 1, 2, 3, 4)
    inputs = answered(tmp_path, folds, pooled=lacking == "pooled", determined=lacking != "folds")
    kept = FAIR
    if lacking in ("oracle", "sources"):
        skip = {"oracle"} if lacking == "oracle" else {"oracle", "gan", "lora"}
        kept = {name: value for name, value in FAIR.items() if name not in skip}
        for name in ("scores", "predictions", "per_class", "comparisons", "ceiling", "intervals", "texture"):
            table = pd.read_parquet(inputs[name])
            write_table(inputs[name], table[table["condition"].isin(list(kept))])
        if lacking == "sources":
            empty = ("agreement", "quality", "shape_filter", "reconstruction", "texture", "budget", "closest")
            inputs = {name: path for name, path in inputs.items() if name not in empty} | {"samples": []}
            inputs |= {"histories": [], "priors": [], "thresholds": []}
    more = {"train_on": "pooled"} if lacking == "pooled" else {}
    study = read_study(inputs, settings(kept, **more), tmp_path)
    text = write(study, tmp_path)
    assert HEADLINE in text and "None" not in text and " nan" not in text
    page = parsed(text)
    assert ("judge" in page.ids) == (lacking != "sources")
    assert all(tile[0] != "Gain against real" for tile in summarise(study).tiles)
    if lacking == "folds":
        assert "no interval" in text and "sees" not in worth.worth(study).rows[0][4].note


def test_a_floor_with_fewer_wafers_stands_beside_as_many_samples(study):
    row = quality(study, "test").rows[0]
    assert row[5].note == "" and row[9].note == "real 0.70"
    t = study.quality
    floors = t["metric"].str.startswith("floor_")
    matched = t[t["metric"] == "precision"].assign(metric="precision_matched", value=0.6, n=7)
    fewer = pd.concat([t.assign(n=t["n"].where(~floors, 7)), matched], ignore_index=True)
    row = quality(changed(study, quality=fewer), "test").rows[0]
    assert row[5].note == "n 7" and row[9].note == "of 7: 0.60, real 0.70"
