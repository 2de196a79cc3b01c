"""A small made-up study: all tables that the report reads, with labels that must be escaped."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from waferbench.base.artifacts import write_json, write_table
from waferbench.config.synthesis.stages import MakeReport
from waferbench.images.store import write_images
from waferbench.wafers.store import WaferStore, write_store

ROOT = Path(__file__).parents[2]
HOSTILE = "<script>alert(1)</script>"
CLASSES = ["Center", "Edge-Ring", "<b>Loc</b> & $x$"]
LABELS = ["center", "edge-ring", "b-loc-b-x"]
BACKBONES = ["mobilenetv2_100.ra_in1k", "tiny_vit_21m_224.dist_in22k_ft_in1k", "tf_efficientnet_lite0"]
CONDITIONS = {
    "real": {"source": "none", "augment": False},
    "real_aug": {"source": "none", "augment": True},
    "gan": {"source": "gan", "augment": True},
    "lora": {"source": "lora", "augment": True},
}
IDS = {"protocol": "cv5", "seed": 42, "replicate": 0}
LEVEL = {"real": 0.80, "real_aug": 0.83, "gan": 0.84, "lora": 0.86}


def settings(conditions=CONDITIONS, classes=CLASSES, source="npz", train_on="fold", examples=4, **changes):
    made = MakeReport(
        **{
            "dataset": {"source": source, "classes": classes},
            "conditions": list(conditions),
            "backbones": BACKBONES,
            "generators": {"train_on": train_on},
            "pool": {"n_accepted": 14},
            "report": {"examples": examples},
            "define": {"conditions": conditions},
            **changes,
        }
    )
    return made.model_copy(update={"study": HOSTILE})  # which no study may be called


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


def make_synthesis(rng, folder, folds):
    shape, judged, measured, samples = [], [], [], []
    reasons = ["iou", "off_disc", "cnn", "novel_reason"]
    for fold in folds:
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
                        for metric in ("frechet", "frechet_matched", "floor_frechet", "kid_x1000", "floor_kid_x1000"):
                            value = 30 + 10 * (stage == "raw") if "frechet" in metric else 20
                            measured.append({**row, "metric": metric, "value": value, "low": 10, "high": 30})
                        for metric in ("precision", "recall", "density", "coverage", "floor_precision", "copy_rate"):
                            measured.append({**row, "metric": metric, "value": 0.7, "low": None, "high": None})
    for source in ("gan", "lora"):
        for label in LABELS:
            path = folder / "sources" / source / "raw" / f"{label}.h5"
            grey = np.array([0, 128, 255], np.uint8)
            double = np.ones((2, 2), np.uint8)
            images = np.stack([np.kron(grey[disc(rng, label)], double)[8:40, 8:40] for _ in range(16)])
            write_images(path, images, made_for(folder, source=source))
            samples.append(path)
    return shape, judged, measured, samples


def made_for(folder, **more):
    """What an artifact in ``<protocol>/seed<seed>/<scope>`` says of its making."""
    protocol, seed, scope = folder.parts[-3:]
    return {"wildcards": {"protocol": protocol, "seed": seed.removeprefix("seed"), "scope": scope, **more}}


def make_histories(folder):
    """Losses of a GAN, of a diffusion base and its adapters."""
    steps = np.arange(1, 301)
    gan = pd.DataFrame({"stage": "stage1", "label": "", "iteration": steps, "loss_d": 1.0, "loss_g": 0.0})
    gan = pd.concat([gan, *(gan.head(50).assign(stage="stage2", label=label) for label in LABELS)])
    gan = gan.assign(d_real=0.5, d_fake=-0.5)
    base = pd.DataFrame({"stage": "unet", "step": steps, "loss": 1 / steps})
    adapters = pd.concat([pd.DataFrame({"label": label, "step": steps, "loss": 1 / steps}) for label in LABELS])
    paths = []
    for source, name, frame in (
        ("gan", "history", gan),
        ("lora", "base_history", base),
        ("lora", "adapters_history", adapters),
    ):
        paths.append(folder / "sources" / source / f"{name}.parquet")
        write_table(paths[-1], frame, made_for(folder, source=source))
    return paths


def make_inputs(folder, conditions=CONDITIONS, folds=(0, 1, 2, 3, 4), pooled=False):
    rng = np.random.default_rng(0)
    inputs = {"published": ROOT / "resources/published.yaml"}
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
        run = folder / ("pooled/seed42/pooled" if pooled else "cv5/seed42/fold0")
        made = make_synthesis(rng, run, [-1] if pooled else list(folds))
        frames["shape_filter"], frames["agreement"], frames["quality"], inputs["samples"] = made
        facts = {"pass_rate_train": 0.99, "pass_rate_val": 0.98}
        facts["rejection_rate"] = {"cut_rim": 0.8, "spill": 1.0, "all": 0.9}
        inputs["thresholds"] = [run / "shape/thresholds.json"]
        write_json(inputs["thresholds"][0], facts, made_for(run))
        inputs["histories"] = make_histories(run)
        inputs["priors"] = [run / "sources/lora/base_samples.h5"]
        write_images(inputs["priors"][0], np.full((16, 32, 32), 128, np.uint8), made_for(run, source="lora"))
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
