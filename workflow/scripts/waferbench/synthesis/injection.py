"""What enters training beside the real wafers: the budget, and the selection that spends it.

The paper (section on balancing): "target 5,000 per class, capped at 3x real; Edge-Ring zero". Its text allows
several readings; `budget_counts` has each by name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from waferbench.base.errors import InputError
from waferbench.base.names import slug
from waferbench.base.seeds import derive_seed
from waferbench.base.tables import INJECTION
from waferbench.config.synthesis.settings import Budget
from waferbench.wafers.splitting import assign_split


def budget_counts(
    train: Mapping[str, int],
    full: Mapping[str, int],
    budget: Budget,
    available: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Samples wanted per class.

    Args:
        train, full: real wafers per label in the fold's training split, and in all folds.
        budget: how the sentence is read: ``topup_train``: up to the target, at most cap times real, on training
            counts; ``topup_full``: the same on full counts; ``min_full``: min(target, cap x full count); ``all``:
            everything available.
        available: samples per label that there are; needed by ``all``.

    Returns:
        Label -> samples, for every label of ``train``; zero for excluded ones.
    """
    reading, target, cap = budget.reading, budget.target, budget.cap
    excluded = {slug(name) for name in budget.exclude}
    wanted = {}
    for label in train:
        if label in excluded:
            wanted[label] = 0
        elif reading == "all":
            wanted[label] = int((available or {}).get(label, 0))
        elif reading == "min_full":
            wanted[label] = min(target, int(cap * full[label]))
        else:
            real = train[label] if reading == "topup_train" else full[label]
            wanted[label] = min(max(0, target - real), int(cap * real))
    return wanted


def unfiltered(labels: Sequence[str], n: int) -> pd.DataFrame:
    """The pool of a source that the shape filter is not applied to: its first ``n`` samples of each label.

    Returns:
        ``label, index, in_pool``, as a filtered source's scores have them.
    """
    rows = [(label, index, True) for label in labels for index in range(n)]
    return pd.DataFrame(rows, columns=["label", "index", "in_pool"])


def inject(
    source: str,
    selected: pd.DataFrame,
    train: pd.DataFrame,
    budget: Budget | None,
    labels: Sequence[str],
    seed: int,
    scores: pd.DataFrame | None = None,
    shares: tuple[float, float] | None = None,
) -> tuple[pd.DataFrame, dict[str, dict[str, int]]]:
    """Choose the samples of one condition.

    Args:
        source: a synthesizer's name, ``repeat`` (real training wafers again) or ``none``.
        selected, train: wafer tables, all wafers and the fold's training wafers.
        budget: see `budget_counts`; None, as of the source ``none``, adds nothing.
        labels: slugs of the classes.
        seed: of the choice.
        scores: the source's filter scores (``label, index, in_pool``); only rows in the pool are chosen.
        shares: test and validation shares of what is added, as a leaky protocol splits it; None = all of it trains.

    Returns:
        Table ``source, label, index, wafer_id, split`` (index -1 for repeated wafers, wafer_id '' for synthetic
        samples), and per label what was wanted and what was there to take.
    """
    if source == "none" or budget is None:
        return _table([]), {}
    if source != "repeat" and scores is None:
        raise InputError(f"source {source!r}: its filter scores are missing; they say which samples may be injected")
    real, full = _counts(train, labels), _counts(selected, labels)
    if source == "repeat":
        pool = {label: train.loc[train["label"] == label, "wafer_id"].to_numpy() for label in labels}
        if budget.reading == "all":  # repeats know no "all": the default reading stands in
            budget = budget.model_copy(update={"reading": "topup_train"})
            print("budget.reading all: real wafers are repeated to the counts of topup_train", file=sys.stderr)
    else:
        eligible = scores[scores["in_pool"].astype(bool)]
        pool = {label: np.sort(eligible.loc[eligible["label"] == label, "index"].to_numpy()) for label in labels}
    wanted = budget_counts(real, full, budget, {label: len(items) for label, items in pool.items()})
    rows, report = [], {}
    for label in labels:
        generator = np.random.default_rng(derive_seed(seed, "injection", source, label))
        if source == "repeat":
            taken = _cycle(pool[label], wanted[label], generator)
            rows += [(source, label, -1, str(wafer), "train") for wafer in taken]
        else:
            taken = np.sort(generator.permutation(pool[label])[: wanted[label]])
            rows += [(source, label, int(index), "", "train") for index in taken]
        report[label] = {"real": real[label], "wanted": wanted[label], "taken": len(taken)}
        if len(taken) < wanted[label]:
            print(
                f"{source}, {label}: the budget asks for {wanted[label]}, the pool holds {len(taken)}: all taken "
                "(raise pool.n_accepted and pool.max_raw for more)",
                file=sys.stderr,
            )
    table = _table(rows)
    if shares is not None and len(table):
        rng = np.random.default_rng(derive_seed(seed, "leaky-split", source))
        table["split"] = assign_split(table["label"].to_numpy(), *shares, rng)
    return table, report


def _counts(wafers: pd.DataFrame, labels: Sequence[str]) -> dict[str, int]:
    found = wafers["label"].value_counts()
    return {label: int(found.get(label, 0)) for label in labels}


def _cycle(items: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """``count`` items, each as often as any other to within one, in whole shuffled rounds."""
    if not len(items) or not count:
        return items[:0]
    rounds = -(-count // len(items))
    return np.sort(np.concatenate([generator.permutation(items) for _ in range(rounds)])[:count])


def _table(rows: list[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(INJECTION))
    return frame.astype({"source": str, "label": str, "index": "int64", "wafer_id": str, "split": str})
