"""How many labels of a source are wrong, by a judge that errs itself."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

REAL = "real"  # source of the rows that hold the judge's calls of held-out wafers


def shares(agreement: pd.DataFrame, keys: Sequence[str] = ("source", "label")) -> pd.DataFrame:
    """How many of the samples in the pool the judge takes for their class.

    Args:
        agreement: table of that name; held-out wafers stand under `REAL`.
        keys: columns whose values are counted apart; what they leave out, such as folds, is put together.

    Returns:
        Indexed by the keys: share, n.
    """
    pool = agreement[agreement["in_pool"].astype(bool)]
    right = pool["y_judge"] == pool["label"]
    return right.groupby([pool[key] for key in keys]).agg(share="mean", n="size")


@dataclass(frozen=True)
class Labels:
    """Of a source: share taken for its class, and that of held-out wafers (NaN where unknown), means over classes;
    wrong: share of its labels; worst: the label that falls furthest short, "" where none does, its share and floor;
    n: samples."""

    carried: float
    floor: float
    wrong: float
    worst: str
    share: float
    worst_floor: float
    n: int


def labels_of(called: pd.DataFrame, source: str) -> Labels | None:
    """What the judge says of a source's labels; None where it called none of its samples.

    A class whose samples are taken for it less often than held-out wafers holds wrong ones; one that does better does
    not make up for it: wrong = sum over classes of max(0, floor - share) / sum of floors. Without held-out wafers all
    of the judge's own errors count, floor = 1. The share of wrong ones so taken for right is not known; it would make
    the figure larger. Noise of few samples makes it larger as well: hold it against that of an oracle.

    Args:
        called: by `shares`, of sources and labels.
    """
    sources = called.index.get_level_values("source")
    if source not in sources:
        return None
    mine = called.loc[source]
    floors = called.loc[REAL, "share"] if REAL in sources else None
    if floors is not None:
        mine = mine[mine.index.isin(floors.index)]
    floor = pd.Series(1.0, mine.index) if floors is None else floors[mine.index]
    if not len(mine) or not floor.sum():
        return None
    short = (floor - mine["share"]).clip(lower=0.0)
    worst = str(short.idxmax()) if short.max() > 0 else ""
    share, worst_floor = (float(mine["share"][worst]), float(floor[worst])) if worst else (math.nan, math.nan)
    known = math.nan if floors is None else float(floor.mean())
    wrong = float(short.sum() / floor.sum())
    return Labels(float(mine["share"].mean()), known, wrong, worst, share, worst_floor, int(mine["n"].sum()))


def usual(called: pd.DataFrame, oracles: Collection[str]) -> float:
    """The share of wrong labels of further real wafers, by the same count; 0 where none were judged."""
    found = [labels_of(called, oracle) for oracle in oracles]
    return max((one.wrong for one in found if one), default=0.0)
