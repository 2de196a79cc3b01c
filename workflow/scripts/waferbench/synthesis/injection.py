"""What enters training beside the real wafers: the selection that spends a fold's budget."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.base.tables import INJECTION
from waferbench.wafers.splitting import assign_split


def unfiltered(counts: Mapping[str, int]) -> pd.DataFrame:
    """The pool of a source that the shape filter is not applied to: its first so many samples of each label.

    Returns:
        ``label, index, in_pool``, as a filtered source's scores have them.
    """
    rows = [(label, index, True) for label, count in counts.items() for index in range(count)]
    return pd.DataFrame(rows, columns=["label", "index", "in_pool"])


def judged_pool(verdicts: pd.DataFrame, scores: pd.DataFrame | None = None) -> pd.DataFrame:
    """What a judge chooses among: all samples that were drawn, or all that the shape filter keeps.

    Args:
        verdicts: of the judge, ``label, index, in_pool, y_judge``.
        scores: of the shape filter, ``label, index, kept``; None where it is not applied.
    """
    table = verdicts[["label", "index", "in_pool", "y_judge"]]
    if scores is None:
        return table
    return table.merge(scores.loc[scores["kept"].astype(bool), ["label", "index"]])


def everything(pool: pd.DataFrame, wanted: Mapping[str, int]) -> dict[str, int]:
    """Label -> all samples in the pool, for labels of which any are wanted."""
    held = pool.loc[pool["in_pool"].astype(bool), "label"].value_counts()
    return {label: int(held.get(label, 0)) if count else 0 for label, count in wanted.items()}


def inject(source: str, pool: pd.DataFrame, wanted: Mapping[str, int], seed: int) -> pd.DataFrame:
    """Choose the samples of one condition, without replacement: fewer where the pool holds fewer.

    Args:
        source: a synthesizer's name.
        pool: ``label, index, in_pool``; only rows in the pool are chosen. With a column ``y_judge``, see `judged_pool`,
            those that the judge finds in their own class: first the ones that the condition without it takes, then
            others of the pool, then further ones.
        wanted: label -> samples.
        seed: of the choice, by a hash of each sample's index: how many others there are changes no order.

    Returns:
        Table ``source, label, index, wafer_id, split``, all of them training, wafer_id ''.
    """
    rows = []
    for label, count in wanted.items():
        mine = pool[pool["label"] == label]
        mine = mine[mine["y_judge"] == label] if "y_judge" in mine else mine[mine["in_pool"].astype(bool)]
        order = [derive_seed(seed, "injection", source, label, index) for index in mine["index"]]
        mine = mine.assign(further=~mine["in_pool"].astype(bool), order=order)
        mine = mine.sort_values(["further", "order", "index"])
        rows += [(source, label, int(i), "", "train") for i in np.sort(mine["index"].to_numpy()[:count])]
    return _table(rows)


def repeat(train: pd.DataFrame, wanted: Mapping[str, int], seed: int) -> pd.DataFrame:
    """Real training wafers once more, each as often as any other of its class to within one.

    Args:
        train: rows of the wafer table, the fold's training wafers.
        wanted: label -> repeats; a class without wafers gets none.

    Returns:
        As `inject`, with the source ``repeat``, index -1 and the wafer's own id.
    """
    rows = []
    for label, count in wanted.items():
        wafers = train.loc[train["label"] == label, "wafer_id"].to_numpy()
        generator = np.random.default_rng(derive_seed(seed, "injection", "repeat", label))
        rows += [("repeat", label, -1, str(wafer), "train") for wafer in _cycle(wafers, count, generator)]
    return _table(rows)


def nothing() -> pd.DataFrame:
    """The table of a condition of real wafers alone."""
    return _table([])


def counted(table: pd.DataFrame, wanted: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Per label what was wanted and taken; ``table``: of `inject` or `repeat`."""
    taken = table["label"].value_counts()
    return {label: {"wanted": int(number), "taken": int(taken.get(label, 0))} for label, number in wanted.items()}


def require_all(
    source: str,
    counts: Mapping[str, Mapping[str, int]],
    equal: bool,
    filtered: bool = False,
    reserved: bool = False,
    judged: bool = False,
) -> None:
    """`InputError` where less was taken than is wanted.

    Args:
        counts: of `counted`.
        equal: whether all conditions add the same; else what is missing is printed.
        filtered: whether the shape filter decided what the pool holds.
        reserved: whether the source has no more than the fold's wafers in reserve.
        judged: whether only samples count that the judge confirms.
    """
    for label, of in counts.items():
        if of["taken"] >= of["wanted"]:
            continue
        said = f"{source}, class {label!r}: the budget asks for {of['wanted']} wafers, {of['taken']} are there"
        if not equal:
            print(f"{said}: all taken (raise pool.n_accepted and pool.max_raw for more)", file=sys.stderr)
            continue
        if source == "repeat":
            remedy = "the fold has no training wafer of that class to repeat: put it into budget.exclude"
        elif reserved:
            those = " whose class the judge confirms" if judged else ""
            remedy = f"no more are in reserve{those}: raise oracle.reserve, or lower budget.target or budget.cap"
        elif judged:
            remedy = (
                "the judge confirms no more of them: raise pool.judged (only the further samples are drawn; no number "
                "helps a class of which it confirms none), lower budget.target or budget.cap, train the source longer, "
                "or leave the condition with keep_if_judged out"
            )
        elif filtered:
            remedy = (
                "the shape filter accepted no more: raise pool.max_raw, lower budget.target or budget.cap, or train "
                "the source longer"
            )
        else:
            remedy = "raise pool.n_accepted, or lower budget.target or budget.cap"
        raise InputError(
            f"{said}; {remedy}. Other conditions add the full number, so this one would not be comparable "
            "(budget.equal: false takes what there is)"
        )


def leaky_split(table: pd.DataFrame, test: float, val: float, source: str, seed: int) -> pd.DataFrame:
    """What is added, split as a leaky protocol does: into test and validation shares, the rest training."""
    if table.empty:
        return table
    rng = np.random.default_rng(derive_seed(seed, "leaky-split", source))
    return table.assign(split=assign_split(table["label"].to_numpy(), test, val, rng))


def _cycle(items: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """``count`` items, each as often as any other to within one, in whole shuffled rounds."""
    if not len(items) or not count:
        return items[:0]
    rounds = -(-count // len(items))
    return np.sort(np.concatenate([generator.permutation(items) for _ in range(rounds)])[:count])


def _table(rows: Sequence[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(INJECTION))
    return frame.astype({"source": str, "label": str, "index": "int64", "wafer_id": str, "split": str})
