"""The report of a small made-up study: complete, self-contained, escaped, and true to its tables."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from waferbench.artifacts import write_h5, write_json, write_table
from waferbench.report import read_study, render_page
from waferbench.report.background import cost, duration
from waferbench.report.figures import examples_that_fit, gain_figure, sample_rows, samples_figure
from waferbench.report.making import binned, borderline, closest_pairs, training_curves
from waferbench.report.summary import gain_text, summarise, weak_classes
from waferbench.report.synthesis import agreement, corruptions, filter_agreement, quality, shape_reasons
from waferbench.report.tables import confusion, table1, table1_frame
from waferbench.wafers import WaferStore, write_store

ROOT = Path(__file__).parents[2]
CLASSES = ["Center", "Edge-Ring", "<b>Loc</b> & $x$"]
LABELS = ["center", "edge-ring", "b-loc-b-x"]
BACKBONES = ["mobilenetv2_100.ra_in1k", "tiny_vit_21m_224.dist_in22k_ft_in1k", "tf_efficientnet_lite0"]
CONDITIONS = {
    "real": {"source": "none", "augment": False},
    "real_aug": {"source": "none", "augment": True},
    "gan": {"source": "gan", "augment": True},
    "lora": {"source": "lora", "augment": True},
}
IDS = {"protocol": "cv5", "seed": 42}
LEVEL = {"real": 0.80, "real_aug": 0.83, "gan": 0.84, "lora": 0.86}


def settings(conditions=CONDITIONS, classes=CLASSES, source="npz", train_on="fold", examples=4, **changes):
    base = {
        "study": "<script>alert(1)</script>",
        "dataset": {"source": source, "classes": classes},
        "conditions": list(conditions),
        "backbones": BACKBONES,
        "baseline": "real_aug",
        "generators": {"train_on": train_on},
        "pool": {"n_accepted": 14},
        "shape_filter": {"decide": "both"},
        "quality": {"max_real": 2000},
        "render": {"size": 32, "levels": [0, 128, 255], "resize": "bilinear", "snap": False},
        "report": {"examples": examples},
        "define": {"conditions": conditions},
    }
    return {**base, **changes}


def disc(rng, label):
    y, x = np.mgrid[:24, :24] - 11.5
    radius = np.hypot(x, y) / 12
    wafer = np.where(radius <= 1, 1, 0).astype(np.uint8)
    hit = {"center": radius < 0.4, "edge-ring": (radius > 0.8) & (radius <= 1), "b-loc-b-x": np.hypot(x - 4, y) < 4}
    wafer[hit[label] & (rng.random(wafer.shape) < 0.7)] = 2
    return wafer


def make_scores(rng, conditions, folds):
    scores, per_class, predictions, comparisons = [], [], [], []
    for b, backbone in enumerate(BACKBONES):
        for head in ("ecoc_svm", "softmax"):
            for condition in conditions:
                for fold in folds:
                    value = LEVEL[condition] + 0.03 * b + 0.002 * fold - (head == "softmax") * 0.01
                    cell = {**IDS, "fold": fold, "backbone": backbone, "condition": condition, "head": head}
                    count = {"n_train_real": 60, "n_train_synthetic": 0, "n_train_repeated": 0, "n_test": 20}
                    scores.append({**cell, "macro_f1": value, "accuracy": value + 0.02, **count})
                    for label in LABELS:
                        f1 = value + 0.05 * (label == "center")
                        per_class.append(
                            {**cell, "label": label, "precision": f1, "recall": f1, "f1": f1, "support": 7}
                        )
                        for i in range(7):
                            wrong = rng.random() > value
                            called = LABELS[0] if wrong else label
                            wafer = f"w{fold}-{label}-{i}"
                            predictions.append({**cell, "wafer_id": wafer, "y_true": label, "y_pred": called})
                for reference in {"real", "real_aug"} & set(conditions) - {condition}:
                    gap = LEVEL[condition] - LEVEL[reference]
                    one = len(folds) == 1
                    for metric, factor in (("macro_f1", 1), ("accuracy", 50)):
                        comparisons.append(
                            {
                                **{"protocol": "cv5", "backbone": backbone, "head": head, "condition": condition},
                                **{"reference": reference, "metric": metric, "mean_difference": gap * factor},
                                **{"ci_low": np.nan if one else gap - 0.02, "ci_high": np.nan if one else gap + 0.02},
                                **{"p_value": 0.04, "n_folds": len(folds), "confidence": 0.95},
                            }
                        )
    return scores, per_class, predictions, comparisons


def make_synthesis(rng, folder, fold_names):
    shape, judged, measured, samples = [], [], [], []
    reasons = ["iou", "off_disc", "cnn", "novel_reason"]
    for fold in fold_names:
        for source in ("gan", "lora"):
            for label in LABELS:
                for i in range(16):
                    fails = rng.random() < 0.3
                    row = {**IDS, "fold": fold, "source": source, "label": label, "index": i}
                    kept = source == "gan" or not fails
                    verdict = {"passes": not fails, "kept": kept, "in_pool": kept and i < 14}
                    verdict |= {"margin": i / 10 if fails else -i / 10, "passes_cnn": i % 2 == 0}
                    verdict |= {"passes_geometric": not fails, "reason": reasons[i % 4] if fails else ""}
                    shape.append({**row, **verdict})
                    confused = source == "gan" and label == "center" and i % 4
                    judge = {"y_judge": "edge-ring" if confused else label, "p_intended": 0.5}
                    judged.append({**row, **judge, "in_pool": verdict["in_pool"]})
            for label in [*LABELS, "all"]:
                for stage in ("raw", "kept"):
                    for reference in ("test", "train"):
                        row = {**IDS, "fold": fold, "source": source, "label": label, "stage": stage}
                        row |= {"reference": reference, "n": 14, "n_real": 20, "network": "tf_efficientnet_lite0"}
                        for metric in ("frechet", "frechet_matched", "floor_frechet", "kid", "floor_kid"):
                            value = 30 + 10 * (stage == "raw") if "frechet" in metric else 0.02
                            measured.append({**row, "metric": metric, "value": value, "low": 0.01, "high": 0.03})
                        for metric in ("precision", "recall", "density", "coverage", "floor_precision", "copy_rate"):
                            measured.append({**row, "metric": metric, "value": 0.7, "low": None, "high": None})
    for source in ("gan", "lora"):
        for label in LABELS:
            path = folder / fold_names_scope(fold_names[0]) / "sources" / source / "raw" / f"{label}.h5"
            grey = np.array([0, 128, 255], np.uint8)
            double = np.ones((2, 2), np.uint8)
            images = np.stack([np.kron(grey[disc(rng, label)], double)[8:40, 8:40] for _ in range(16)])
            write_h5(path, {"images": images})
            samples.append(path)
    return shape, judged, measured, samples


def make_histories(sources):
    """Losses of a GAN, of a diffusion base and its adapters."""
    steps = np.arange(1, 301)
    gan = pd.DataFrame({"stage": "stage1", "label": "", "iteration": steps, "loss_d": 1.0, "loss_g": 0.0})
    gan = pd.concat([gan, *(gan.head(50).assign(stage="stage2", label=label) for label in LABELS)])
    gan = gan.assign(d_real=0.5, d_fake=-0.5)
    base = pd.concat([pd.DataFrame({"stage": s, "step": steps, "loss": 1 / steps}) for s in ("vae", "unet")])
    adapters = pd.concat([pd.DataFrame({"label": label, "step": steps, "loss": 1 / steps}) for label in LABELS])
    paths = {"gan/history": gan, "lora/base_history": base, "lora/adapters_history": adapters}
    for name, frame in paths.items():
        write_table(sources / f"{name}.parquet", frame)
    return [sources / f"{name}.parquet" for name in paths]


def fold_names_scope(fold):
    return "pooled" if fold == -1 else f"fold{fold}"


def make_inputs(folder, conditions=CONDITIONS, folds=(0, 1, 2, 3, 4), pooled=False):
    rng = np.random.default_rng(0)
    inputs = {"published": ROOT / "resources/published.yaml", "template": ROOT / "workflow/report/report.html.j2"}
    maps = [disc(rng, label) for label in LABELS for _ in range(20)]
    write_store(folder / "store.h5", WaferStore.of(maps))
    ids = [f"w{i}" for i in range(60)]
    selected = pd.DataFrame({"wafer_id": ids, "row": range(60), "label": np.repeat(LABELS, 20)})
    split = [
        {**IDS, "wafer_id": w, "fold": f, "split": "test" if i % 5 == f else "train"}
        for i, w in enumerate(ids)
        for f in range(5)
    ]
    audit = [
        {**IDS, "check": "exact_duplicates", "label": label, "fold": -1, "split": "", "value": 3, "detail": ""}
        for label in ["", *LABELS]
    ]
    audit += [
        {**IDS, "check": "crossing_exact", "label": "", "fold": f, "split": "test", "value": f, "detail": ""}
        for f in folds
    ]
    frames = dict(
        zip(("scores", "per_class", "predictions", "comparisons"), make_scores(rng, conditions, folds), strict=True)
    )
    frames |= {"selected": selected, "folds": pd.DataFrame(split), "audit": audit}
    frames |= {"quality": [], "shape_filter": [], "agreement": [], "closest": []}
    inputs |= {"store": folder / "store.h5", "samples": [], "thresholds": [], "facts": [], "histories": []}
    if "gan" in conditions:
        made = make_synthesis(rng, folder / "cv5/seed42", [-1] if pooled else list(folds))
        frames["shape_filter"], frames["agreement"], frames["quality"], inputs["samples"] = made
        path = folder / "cv5/seed42" / ("pooled" if pooled else "fold0") / "shape/thresholds.json"
        write_json(
            path,
            {
                "pass_rate_train": 0.99,
                "pass_rate_val": 0.98,
                "rejection_rate": {"cut_rim": 0.8, "spill": 1.0, "all": 0.9},
            },
        )
        inputs["thresholds"] = [path]
        inputs["histories"] = make_histories(path.parents[1] / "sources")
        frames["closest"] = [
            {"source": source, "label": label, "index": i, "row": 20 * k + i, "hamming": 0.1 + 0.01 * i + 0.001 * k}
            for source in ("gan", "lora")
            for k, label in enumerate(LABELS)
            for i in range(5)
        ]
    for name, frame in frames.items():
        inputs[name] = folder / f"{name}.parquet"
        provenance = {"rule": f"make_{name}", "code": "abc123", "settings": {"x": 1}}
        write_table(inputs[name], pd.DataFrame(frame), provenance)
    (folder / "runs").mkdir()
    for i, seconds in enumerate((5.0, 7.5)):
        record = {
            "rule": "train_gan",
            "seconds": seconds,
            "cpu_seconds": seconds,
            "peak_mb": 100 * (i + 1),
            "device": "cpu",
        }
        (folder / "runs" / f"train_gan-{i}.json").write_text(json.dumps(record))
    (folder / "runs" / "torn.json").write_text("{")
    return inputs


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return read_study(make_inputs(folder), settings(), folder)


VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Open tags, addresses and ids of a page."""

    def __init__(self):
        super().__init__()
        self.stack, self.links, self.ids, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.links += [attrs[k] for k in ("src", "href", "xlink:href") if k in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def render(study, tmp_path):
    render_page(study, ROOT / "workflow/report/report.html.j2", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.stack == []
    return text, page


def test_page_is_whole_escaped_and_needs_nothing_else(study, tmp_path):
    text, page = render(study, tmp_path)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"@import|url\(\s*['\"]?https?:", text)
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


def test_samples_belong_to_their_source_and_scope(study, tmp_path):
    assert {source for source, _ in study.samples} == {"gan", "lora"} and study.sample_fold == 0
    rows = sample_rows(study, "center", 4)
    t = study.shape_filter
    kept = t[(t["fold"] == 0) & (t["source"] == "lora") & (t["label"] == "center")]["kept"].sum()
    assert [(title, kind, total) for title, kind, _, total in rows] == [
        ("real", "real", 16),  # training wafers of fold 0: no test wafer is shown
        ("gan", "kept", 16),
        ("lora", "kept", kept),
        ("lora", "rejected", 16 - kept),
    ]


def test_curves_show_every_training_and_pairs_the_closest(study):
    text = training_curves(study)
    for title in (
        "gan: discriminator",
        "stage 2",
        "lora: autoencoder",
        "denoising, all classes",
        "denoising, adapters",
    ):
        assert title in text
    steps, means = binned(np.arange(1000.0))
    assert len(steps) == 120 and steps[-1] == 1000 and means[0] == pytest.approx(4)
    assert [list(a) for a in binned(np.array([2.0, 4.0]))] == [[1, 2], [2.0, 4.0]]
    pairs = closest_pairs(study)
    assert list(pairs) == ["gan", "lora"]
    samples, wafers = pairs["gan"]
    assert samples["image"].startswith("data:image/png") and samples["image"] != wafers["image"]
    assert samples["note"] == "pixels that differ: 10.0%, 10.1%, 10.2%, 11.0%", "the four nearest of all classes"


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
    short = dataclasses.replace(study, settings={**study.settings, "pool": {"n_accepted": 90}})
    assert {row[0].text: row for row in shape_reasons(short).rows}["lora · Center"][4].note == "cap reached"
    assert lora.value <= 70


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


def test_a_diverged_gan_is_a_caution(tmp_path):
    inputs = make_inputs(tmp_path)
    good, bad = {"converged": True, "reason": ""}, {"converged": False, "reason": "collapse"}
    facts = tmp_path / "cv5/seed42/fold2/sources/gan/facts.json"
    write_json(facts, {"stage1": good, "labels": {"center": good, "edge-ring": bad}})
    told = summarise(read_study({**inputs, "facts": [facts]}, settings(), tmp_path)).cautions
    assert any("training of gan diverged (Edge-Ring, fold2: collapse)" in caution for caution in told)
    write_json(facts, {"stage1": good, "labels": {"center": good}})
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


def test_cost_sums_runs(study):
    table = cost(study)
    assert table.rows[0][0].text == "train gan" and table.totals[0][2].text == "12 s"
    assert table.totals[0][5].value == 200
    assert [duration(s) for s in (0.21, 59, 61, 3725)] == ["0.2 s", "59 s", "1 min 1 s", "1 h 2 min"]


def test_files_for_snakemakes_report_repeat(study, tmp_path):
    for make, name in ((gain_figure, "gain.png"), (samples_figure, "samples.png"), (gain_figure, "gain.svg")):
        make(study, tmp_path / name)
        first = (tmp_path / name).read_bytes()
        make(study, tmp_path / name)
        assert first == (tmp_path / name).read_bytes() and len(first) > 2000


def test_many_classes_get_fewer_examples(tmp_path):
    inputs = make_inputs(tmp_path)
    many = settings(classes=[f"class {i}" for i in range(38)], examples=64)
    assert examples_that_fit(read_study(inputs, many, None)) < 64


def test_gain_text_without_an_interval():
    row = pd.Series({"difference": -0.012, "low": np.nan, "high": np.nan})
    assert gain_text(row, 0.95) == "−1.2 points (one fold: no interval)"


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
