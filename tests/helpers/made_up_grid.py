"""The made-up study's tables of the whole grid: statistics, calibration, doubtful labels, explanations, costs."""

import json

import numpy as np
import pandas as pd

from helpers.made_up_study import BACKBONES, CONDITIONS, IDS, LABELS, LEVEL
from waferbench.base.artifacts import read_table, write_h5, write_table

COSTS = dict(zip(BACKBONES, ((3.5e6, 0.3e9), (21.2e6, 4.3e9), (4.7e6, 0.4e9)), strict=True))
CHAIN = [("augmentation", "real_aug", "real"), *(("synthesis", c, "real_aug") for c in ("gan", "lora"))]
RANKS = {"lora": 1.2, "gan": 2.0, "real_aug": 2.9, "real": 3.9}
TOO_FEW = "3 backbones are too few: five are needed"


def heads_table():
    keys = [(b, c) for b in BACKBONES for c in CONDITIONS]
    gain = {"difference": 0.01, "low": 0.002, "high": 0.018, "p_value": 0.03, "n_folds": 5, "confidence": 0.95}
    return [{"protocol": "cv5", "backbone": b, "condition": c, **gain} for b, c in keys]


def ranks_tables(tested):
    test = {"n_backbones": 8, "statistic": 18.2, "p_value": 0.0004, "critical_difference": 1.66, "verdict": ""}
    test["n_blocks"] = 5
    none = dict.fromkeys(("statistic", "p_value", "critical_difference"), np.nan)
    test = test if tested else {"n_backbones": 3, **none, "verdict": TOO_FEW}
    ids = {"protocol": "cv5", "head": "ecoc_svm"}
    ranks = [{**ids, "condition": c, "mean_rank": rank, **test} for c, rank in RANKS.items()]
    names = list(RANKS)
    pairs = [
        {**ids, "condition": a, "reference": b, "p_value": 0.5 if abs(RANKS[a] - RANKS[b]) < 1.66 else 0.01}
        for i, a in enumerate(names)
        for b in names[:i]
    ]
    return ranks, pairs if tested else []


def gains_tables():
    ids = {"protocol": "cv5", "head": "ecoc_svm"}
    steps = [
        {**ids, "backbone": b, "step": step, "condition": c, "reference": r, "difference": LEVEL[c] - LEVEL[r]}
        | {"low": LEVEL[c] - LEVEL[r] - 0.015, "high": LEVEL[c] - LEVEL[r] + 0.015, "p_value": 0.1, "n_folds": 5}
        for b in BACKBONES
        for step, c, r in CHAIN
    ]
    numbers = {"rho": -0.8, "p_value": 0.02, "slope": -0.021, "slope_low": -0.03, "slope_high": -0.01}
    trends = [
        {**ids, "condition": c, "against": against, **numbers, "n_backbones": 8, "verdict": ""}
        for c in ("gan", "lora")
        for against in ("parameters", "real_score")
    ]
    return steps, trends


def trust_tables():
    calibration, reliability, rare = [], [], []
    errors = {"ece_before": 0.12, "ece_after": 0.04, "nll_before": 0.5, "nll_after": 0.4, "n_val": 20, "n_test": 20}
    for b in BACKBONES:
        for c in CONDITIONS:
            ids = {"protocol": "cv5", "backbone": b, "condition": c}
            calibration += [{**IDS, **ids, "fold": f, "temperature": 1.6, **errors} for f in range(5)]
            for stage, loss in (("before", 0.12), ("after", 0.03)):
                for k in range(5, 15):
                    mid = (k + 0.5) / 15
                    bins = {"stage": stage, "bin_low": k / 15, "bin_high": (k + 1) / 15, "n": 10}
                    reliability.append({**ids, **bins, "confidence": mid, "accuracy": max(0.0, mid - loss)})
            for label in LABELS[:2]:
                reached = not (c == "real" and label == LABELS[0])
                found = (
                    {"recall": 0.6, "low": 0.5, "high": 0.7} if reached else dict.fromkeys(("recall", "low", "high"), 0)
                )
                held = {"precision_reached": 0.85, "precision_low": 0.7, "precision_high": 0.95}
                found |= held if reached else dict.fromkeys(held, np.nan)
                gain = {"gain": 0.1, "gain_low": 0.02, "gain_high": 0.2}
                found |= gain if c != "real_aug" else dict.fromkeys(gain, np.nan)
                counts = {"n_positive": 35, "n_cells": 5, "n_reached": 4 * reached}
                rare.append({**ids, "label": label, "precision": 0.9, **found, **counts})
    return calibration, reliability, rare


def doubtful_labels():
    rows = []
    for i in range(60):
        label = LABELS[i // 20]
        wrong = i % 7 == 0
        suggested = LABELS[(i // 20 + 1) % 3] if wrong else label
        p = 0.05 if wrong else 0.9
        rows.append(
            {"protocol": "cv5", "wafer_id": f"w{i}", "label": label, "suggested": suggested, "quality": p}
            | {"p_label": p, "p_suggested": 0.9, "is_issue": wrong, "condition": "real_aug", "n_models": 3}
        )
    table = pd.DataFrame(rows).sort_values("quality", kind="stable", ignore_index=True)
    return table.assign(rank=np.arange(1, 61))


def write_explanations(folder, backbone, wrong=5):
    """So many wafers called something else, surest first."""
    images = np.zeros((wrong, 48, 48), np.uint8)
    images[:, 8:40, 8:40] = 128
    images[:, 20:28, 20:28] = 255
    maps = np.zeros((wrong, 48, 48), np.uint8)
    maps[:, 16:32, 16:32] = np.linspace(0, 255, 256, dtype=np.uint8).reshape(16, 16)
    ids = np.array([f"w{i}" for i in range(wrong)], dtype=object).astype(str)
    arrays = {"images": images, "maps": maps, "ids": ids, "called": np.ones(wrong, int)}
    arrays |= {"true": np.zeros(wrong, int), "probability": np.linspace(0.99, 0.5, wrong, dtype=np.float32)}
    path = folder / "explanations" / f"{backbone}.h5"
    write_h5(path, {**arrays, "classes": np.array(LABELS)}, {"wildcards": {"backbone": backbone}})
    return path


def with_protocols(inputs):
    """The scores again under a nine-class and under a leaky protocol, and the first with a second seed."""
    for name in ("scores", "per_class", "predictions", "comparisons"):
        table = read_table(inputs[name])
        nine, leaky = table.assign(protocol="nine_class_70_30"), table.assign(protocol="leaky_80_20")
        parts = [leaky, nine, table]
        if name == "per_class":
            parts.append(nine[nine["label"] == LABELS[0]].assign(label="none"))
        if name == "comparisons":
            parts = [nine, table]  # a leaky protocol has none
        else:
            parts.append(table.assign(seed=43))
        if name == "scores":
            leaky["macro_f1"] += 0.05
        write_table(inputs[name], pd.concat(parts, ignore_index=True))
    return {"protocols": ["cv5", "nine_class_70_30", "leaky_80_20"]}


def add_grid(folder, inputs, tested=True):
    """Write all tables of the grid beside those of `make_inputs`; the inputs with them."""
    steps, trends = gains_tables()
    ranks, pairs = ranks_tables(tested)
    calibration, reliability, rare = trust_tables()
    costs = [{"backbone": b, "parameters": p, "macs": m, "image_size": 48} for b, (p, m) in COSTS.items()]
    frames = {"heads": heads_table(), "ranks": ranks, "rank_pairs": pairs, "decomposition": steps}
    frames |= {"saturation": trends, "calibration": calibration, "reliability": reliability, "rare_recall": rare}
    frames |= {"label_noise": doubtful_labels(), "backbones": costs}
    for name, frame in frames.items():
        write_table(folder / f"{name}.parquet", pd.DataFrame(frame))
    comparisons = read_table(inputs["comparisons"])
    more = {"p_holm": 0.08, "effect": 1.1, "effect_low": 0.2, "effect_high": 2.0, "n_seeds": 1}
    write_table(inputs["comparisons"], comparisons.assign(**more))
    for backbone in BACKBONES:
        record = {"rule": "measure_backbone", "wildcards": {"backbone": backbone}, "seconds": 1.0}
        record |= {"latency_ms": 12.5, "images_per_second": 240.0, "device": "cpu", "threads": 2}
        (folder / "runs" / f"measure_backbone-{backbone}.json").write_text(json.dumps(record))
    explanations = [write_explanations(folder, b, wrong=0 if i == 1 else 5) for i, b in enumerate(BACKBONES)]
    return {**inputs, **{name: folder / f"{name}.parquet" for name in frames}, "explanations": explanations}
