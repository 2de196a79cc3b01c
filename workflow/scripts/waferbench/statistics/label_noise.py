"""Which labels look wrong: confident learning on predictions of networks that never saw the wafer.

Northcutt et al., "Confident learning: estimating uncertainty in dataset labels", 2021, by cleanlab.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from waferbench.base.tables import TABLES
from waferbench.statistics.probabilities import labels_for, softmax_of


def audit_labels(cells: Iterable[pd.DataFrame], labels: Mapping[str, Sequence[str]], condition: str) -> pd.DataFrame:
    """Every test wafer of a protocol, the most suspicious label first.

    Probabilities are the mean over backbones and seeds of the condition's out-of-fold softmax.

    Args:
        cells: softmax tables by `waferbench.classification.predictions.prediction_table`; those of other conditions
            are passed over.
        labels: slugs of the classes of each protocol.
        condition: one that trains on real wafers alone, so that no generator vouches for a label.

    Returns:
        The table label_noise. suggested: the most probable class, which may be the label itself; quality: 0-1,
        (p_label - greatest p of another class + 1) / 2; is_issue: flagged by confident learning (prune by noise
        rate); rank 1 = lowest quality, per protocol; n_models: networks that the mean is over.
    """
    parts: dict[str, list[pd.DataFrame]] = {}
    for table in cells:
        if len(table) and table["condition"].iloc[0] == condition:
            names = labels_for(table, labels)
            p, y = softmax_of(table, names)
            frame = pd.DataFrame(p).assign(wafer_id=table["wafer_id"].to_numpy(), y=y)
            parts.setdefault(table["protocol"].iloc[0], []).append(frame)
    tables = []
    for protocol, frames in sorted(parts.items()):
        groups = pd.concat(frames).groupby("wafer_id", sort=True)
        means = groups.mean()
        audited = audit(means.drop(columns="y").to_numpy(), means["y"].to_numpy(np.int64), labels[protocol])
        wafers = pd.DataFrame({"protocol": protocol, "wafer_id": means.index, "condition": condition})
        tables.append(pd.concat([wafers, audited], axis=1).assign(n_models=groups.size().to_numpy()))
    columns = list(TABLES["label_noise"])
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables).sort_values(["protocol", "rank"], ignore_index=True)[columns]


def audit(p: np.ndarray, y: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """The audit of one protocol's wafers: label, suggested, quality, p_label, p_suggested, is_issue, rank.

    Args:
        p: float (N, K), out-of-fold probabilities.
        y: int (N,), given labels; classes without a wafer cannot be judged and are left out of the judgement.
    """
    present = np.unique(y)
    kept, given = p[:, present], np.searchsorted(present, y)
    kept = kept / np.maximum(kept.sum(1, keepdims=True), np.finfo(float).tiny)
    if len(present) > 1:
        quality = get_label_quality_scores(given, kept, method="normalized_margin")
        issues = find_label_issues(given, kept, filter_by="prune_by_noise_rate", n_jobs=1)
    else:
        quality, issues = np.ones(len(y)), np.zeros(len(y), bool)
    names = np.asarray(labels, dtype=object)[present]
    return pd.DataFrame(
        {
            "label": names[given],
            "suggested": names[kept.argmax(1)],
            "quality": quality,
            "p_label": kept[np.arange(len(y)), given],
            "p_suggested": kept.max(1),
            "is_issue": issues,
            "rank": pd.Series(quality).rank(method="first").astype(int).to_numpy(),
        }
    )
