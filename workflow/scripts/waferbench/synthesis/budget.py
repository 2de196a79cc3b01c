"""How many wafers are added to each class: one plan a fold, the same for every condition, and whether it can be kept.

The paper (section on balancing): "target 5,000 per class, capped at 3x real; Edge-Ring zero". Its text allows
several readings; `wanted_counts` has each by name.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence

import pandas as pd

from waferbench.base.errors import InputError
from waferbench.base.names import slug
from waferbench.base.scope import Fold
from waferbench.base.tables import TABLES
from waferbench.config.synthesis.settings import Budget
from waferbench.config.synthesis.stages import BudgetedSource
from waferbench.wafers.folds import SPLITS, wafers_of

PLAN = ("label", "real", "reserved", "wanted")  # columns of a fold's plan


def wanted_counts(train: Mapping[str, int], full: Mapping[str, int], budget: Budget) -> dict[str, int]:
    """Wafers to be added per class.

    Args:
        train, full: real wafers per label in the fold's training split, and in all of its splits.
        budget: how the sentence is read: ``topup_train``: up to the target, at most cap times real, on training
            counts; ``topup_full``: the same on full counts; ``min_full``: min(target, cap x full count); ``all``:
            whatever a source has, so that `topup_train` is left for what repeats real wafers. ``everywhere`` lifts
            each class to that share of its training wafers, but for excluded ones.

    Returns:
        Label -> wafers, for every label of ``train``; zero for excluded ones.
    """
    target, cap = budget.target, budget.cap
    excluded = {slug(name) for name in budget.exclude}
    wanted = {}
    for label, real in train.items():
        if label in excluded:
            wanted[label] = 0
            continue
        if budget.reading == "min_full":
            count = min(target, int(cap * full[label]))
        else:
            of = full[label] if budget.reading == "topup_full" else real
            count = min(max(0, target - of), int(cap * of))
        wanted[label] = max(count, math.ceil(round(budget.everywhere * real, 6)))
    return wanted


def plan(
    selected: pd.DataFrame,
    folds: pd.DataFrame,
    fold: int,
    budget: Budget,
    labels: Sequence[str],
    leaky: bool = False,
) -> pd.DataFrame:
    """The wanted counts of one fold.

    Args:
        selected, folds: wafer table and fold table.
        labels: slugs of the classes that samples are drawn of.
        leaky: wafers are added before the split, to all wafers.

    Returns:
        Table `PLAN`: per label the real training wafers, those in reserve for the oracle, and what is to be added.
    """
    splits = {split: _counts(wafers_of(selected, folds, Fold(fold), split), labels) for split in SPLITS}
    full = {label: sum(counts[label] for counts in splits.values()) for label in labels}
    train = full if leaky else splits["train"]
    reserved = _counts(wafers_of(selected, folds, Fold(fold), "reserve"), labels)
    wanted = wanted_counts(train, full, budget)
    rows = [(label, train[label], reserved[label], wanted[label]) for label in labels]
    return pd.DataFrame(rows, columns=list(PLAN))


def available(plan: pd.DataFrame, source: BudgetedSource) -> pd.Series:
    """Samples that a source has for each row of a plan: as many as it draws, or as are in reserve."""
    drawn = pd.Series(source.n_accepted, plan.index)
    return drawn.clip(upper=plan["reserved"]) if source.reserved else drawn


def require_wafers(plans: pd.DataFrame, sources: Sequence[BudgetedSource]) -> None:
    """`InputError` where a class has fewer training wafers than a source needs, naming the smallest.

    Args:
        plans: as for `room`.
    """
    least = plans.loc[plans["real"].idxmin()] if len(plans) else None
    for source in sources:
        if least is not None and least["real"] < source.fewest:
            reserve = "lower oracle.reserve, " if least["reserved"] else ""
            raise InputError(
                f"define.sources.{source.name}: {least['protocol']}, seed {least['seed']}, fold {least['fold']}: class "
                f"{least['label']!r} has {least['real']} training wafers, but an adapter needs {source.fewest}; "
                f"{reserve}add wafers of it (dataset.simulated.counts for simulated ones), drop it from "
                f"dataset.classes, or leave what adds samples of {source.name} out of conditions"
            )


def room(plans: pd.DataFrame, sources: Sequence[BudgetedSource], budget: Budget) -> pd.DataFrame:
    """What each source has for each class of each fold, before anything is drawn.

    Args:
        plans: those of all folds, with the columns `waferbench.base.tables.RUN` and ``fold``.

    Returns:
        Table of the study, ``budget``, one row a fold, source and label.
    """
    parts = []
    for source in sources:
        has = available(plans, source)
        wanted = has.where(plans["wanted"] > 0, 0) if budget.reading == "all" else plans["wanted"]
        parts.append(plans.assign(source=source.name, available=has, wanted=wanted))
    columns = list(TABLES["budget"])
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def require_room(table: pd.DataFrame, sources: Sequence[BudgetedSource], budget: Budget) -> None:
    """`InputError` where a source cannot give what every other condition adds, naming the largest gap.

    Args:
        table: of `room`.
        budget: without ``equal`` nothing is refused, and the gaps are printed.
    """
    for source in sources:
        mine = table[table["source"] == source.name]
        short = mine[mine["available"] < mine["wanted"]]
        if short.empty:
            continue
        worst = short.loc[(short["wanted"] - short["available"]).idxmax()]
        said = (
            f"budget: {worst['protocol']}, seed {worst['seed']}, fold {worst['fold']}, class {worst['label']!r}: "
            f"{worst['wanted']} wafers are to be added to its {worst['real']} real ones, but source {source.name!r} "
            f"has {worst['available']}{f', the largest of {len(short)} gaps' if len(short) > 1 else ''}; "
        )
        if not budget.equal:
            print(f"{said}all of them are added", file=sys.stderr)
            continue
        raise InputError(f"{said}{_advice(source, mine, budget)}, or set budget.equal to false: each adds what it has")


def _advice(source: BudgetedSource, mine: pd.DataFrame, budget: Budget) -> str:
    """What makes room; ``mine``: the rows of that source."""
    most = int(mine["wanted"].max())
    if source.n_accepted < most:
        return f"raise pool.n_accepted to {most} (and pool.max_raw above it)"
    counted = mine[(mine["real"] > 0) & (mine["wanted"] > 0)]
    share = math.floor(100 * (counted["available"] / counted["real"]).min()) / 100
    lower = (
        f"lower budget.cap and budget.everywhere to {share}"
        if budget.reading == "topup_train"
        else "lower budget.target or budget.cap"
    )
    return f"raise oracle.reserve, or {lower}"


def _counts(wafers: pd.DataFrame, labels: Sequence[str]) -> dict[str, int]:
    found = wafers["label"].value_counts()
    return {label: int(found.get(label, 0)) for label in labels}
