"""The made-up study with an oracle, repeated wafers and what is said of them: findings, ceiling, texture, agreement."""

import numpy as np
import pandas as pd

from helpers.made_up_study import BACKBONES, CONDITIONS, IDS, LABELS, made_for, make_inputs
from waferbench.base.artifacts import read_table, write_table
from waferbench.images.store import read_images, write_images

FAIR = {
    "real_aug": CONDITIONS["real_aug"],
    "oversample": {"source": "repeat"},
    "oracle": {"source": "oracle"},
    "gan": CONDITIONS["gan"],
    "lora": CONDITIONS["lora"],
}
GAIN = {"oversample": 0.01, "oracle": 0.04, "gan": 0.01, "lora": 0.02}
FLOOR = {"center": 1.0, "edge-ring": 0.9, "b-loc-b-x": 0.4}
HEADLINE = "Perfect synthesis adds 4.0 points here (2.0 to 6.0); the best generator (lora) reaches 50% of that."
SEEN = {"simulated_wafers": 4000, "variant": "elsewhere", "simulator_tuned_on": "die grids"}
STEPS = dict.fromkeys(FAIR, 60)


def _scores(folds, steps):
    rows = []
    for backbone in BACKBONES:
        for head in ("ecoc_svm", "softmax"):
            for condition in FAIR:
                for fold in folds:
                    cell = {**IDS, "fold": fold, "backbone": backbone, "condition": condition, "head": head}
                    counts = {"n_train_real": 60, "n_added": 90 * (condition != "real_aug"), "steps": steps[condition]}
                    value = 0.8 + GAIN.get(condition, 0) + 0.002 * fold
                    spread = 0.012 * (head == "ecoc_svm")
                    score = {"macro_f1": value, "accuracy": value, "n_test": 20, "code_spread": spread}
                    rows.append({**cell, **score, **counts})
    return rows


def _comparisons(folds):
    rows = []
    for backbone in BACKBONES:
        for head in ("ecoc_svm", "softmax"):
            for reference in ("real_aug", "oversample"):
                for condition in [c for c in FAIR if c != reference]:
                    gain = GAIN.get(condition, 0) - GAIN.get(reference, 0)
                    one = len(folds) == 1
                    low, high = (np.nan, np.nan) if one else (gain - 0.02, gain + 0.02)
                    row = {"protocol": "cv5", "backbone": backbone, "head": head, "condition": condition}
                    row |= {"reference": reference, "metric": "macro_f1", "mean_difference": gain, "p_value": 0.04}
                    row |= {"ci_low": low, "ci_high": high, "n_folds": len(folds)}
                    rows.append({**row, "power_effect": np.nan if one else 0.025})
    return rows


def _ceiling(determined):
    rows = []
    for backbone in BACKBONES:
        for condition, gain in GAIN.items():
            row = {"protocol": "cv5", "head": "ecoc_svm", "backbone": backbone, "condition": condition, "gain": gain}
            row |= {"gain_low": gain - 0.02, "gain_high": gain + 0.02, "ceiling": 0.04, "n_folds": 5}
            row |= {"ceiling_low": 0.02 if determined else -0.01, "ceiling_high": 0.06}
            share = {"share": gain / 0.04, "low": 0.1, "high": 0.9, "verdict": ""}
            none = {"share": np.nan, "low": np.nan, "high": np.nan, "verdict": "not determined"}
            row |= share if determined and condition != "oracle" else none
            row |= {"verdict": "the ceiling itself"} if condition == "oracle" else {}
            over = gain - GAIN["oversample"]
            fair = {"reference": "oversample", "over_reference": over, "over_low": over - 0.015}
            fair |= {"over_high": over + 0.015, "over_power_effect": 0.021}
            rows.append({**row, **(fair if condition != "oversample" else {"reference": ""})})
    return rows


def _judged(folds):
    rows = []
    for fold in folds:
        for label in LABELS:
            for source, share in (("real", FLOOR[label]), ("oracle", FLOOR[label]), ("lora", 0.5)):
                for i in range(20):
                    called = label if i < 20 * share else next(other for other in LABELS if other != label)
                    row = {**IDS, "fold": fold, "source": source, "label": label, "index": i}
                    rows.append({**row, "in_pool": True, "y_judge": called, "p_intended": 0.5})
    return rows


def answered(folder, folds=(0, 1, 2, 3, 4), determined=True, pooled=False, steps=STEPS):
    """The inputs of a study whose tables are all there."""
    run = folder / ("pooled/seed42/pooled" if pooled else "cv5/seed42/fold0")
    inputs = make_inputs(folder, CONDITIONS, folds, pooled)
    for name in ("predictions", "per_class"):
        table = read_table(inputs[name])
        extra = [table[table["condition"] == "real"].assign(condition=c) for c in ("oversample", "oracle")]
        write_table(inputs[name], pd.concat([table[table["condition"] != "real"], *extra], ignore_index=True))
    texture = [
        {**IDS, "fold": fold, "condition": c, "source": c, "n_added": 90, "auc": auc, "bits": bits}
        | {"accuracy_by_origin": 0.5, "accuracy_majority": 0.4}
        for fold in folds
        for c, auc, bits in (("oracle", 0.51, 0.3), ("gan", 0.99, 0.3), ("lora", 0.97, 0.01))
    ]
    rebuilt = [
        {**IDS, "fold": fold, "source": "lora", "label": label, "n": 20, "agreement": 0.35, "error": 4.0}
        | {"agreement_original": FLOOR[label]}
        for fold in folds
        for label in LABELS
    ]
    budget = [
        {**IDS, "fold": fold, "source": source, "label": label, "real": 16, "wanted": 30, "available": 14}
        for fold in folds
        for source in ("oracle", "gan", "lora")
        for label in LABELS
    ]
    effects = {"reference": "real_aug", "effect": 0.02, "low": -0.01, "high": 0.05, "p_value": 0.1, "verdict": ""}
    effects |= {"std_backbone": 0.01, "std_fold": 0.01, "std_rest": 0.02, "n_backbones": 4, "n_folds": 5}
    intervals = [
        {"protocol": "cv5", "head": "ecoc_svm", "backbone": b, "condition": c, "reference": "", "value": 0.8}
        | {"low": 0.78, "high": 0.82, "pooled": 0.81, "pooled_low": 0.79, "pooled_high": 0.83, "n_wafers": 100}
        | {"accuracy": 1.0, "accuracy_low": 1.0, "accuracy_high": 1.0, "n_folds": len(folds)}
        for b in BACKBONES
        for c in FAIR
    ]
    findings = [
        {"finding": "headline", "subject": "lora", "text": HEADLINE, "value": 0.04, "low": 0.02, "high": 0.06, "n": 5},
        {"finding": "power", "subject": "lora", "text": "This study finds -2.5 points & more.", "value": 0.025, "n": 5},
    ]
    agreement = [*_judged(folds), *read_table(inputs["agreement"]).query("source == 'gan'").to_dict("records")]
    mixed = [{"protocol": "cv5", "head": "ecoc_svm", "condition": c, **effects} for c in GAIN]
    frames = {"scores": _scores(folds, steps), "comparisons": _comparisons(folds), "ceiling": _ceiling(determined)}
    frames |= {"agreement": agreement, "texture": texture, "reconstruction": rebuilt, "budget": budget}
    frames |= {"mixed_model": mixed, "intervals": intervals, "findings": findings}
    for name, frame in frames.items():
        inputs[name] = folder / f"{name}.parquet"
        write_table(inputs[name], pd.DataFrame(frame), {"rule": f"make_{name}", "code": "abc"})
    (prior,) = inputs["priors"]
    write_images(prior, read_images(prior).images, {**made_for(run, source="lora"), "pretrained_on": SEEN})
    for path in [path for path in inputs["samples"] if path.parents[1].name == "gan"]:
        other = run / "sources/oracle/raw" / path.name
        write_images(other, read_images(path).images, made_for(run, source="oracle"))
        inputs["samples"].append(other)
    return inputs
