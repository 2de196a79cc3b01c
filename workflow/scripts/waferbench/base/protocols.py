"""Evaluation protocols by name: how wafers are split into training, validation and test.

``cv5``                stratified cross-validation in five folds (any number of three and more: ``cv10``);
``duplicate_cv5``      the same, copies and mirror images of a wafer sharing its fold;
``lot_cv5``            the same, wafers of one lot sharing a fold;
``holdout_80_10_10``   one stratified split (the paper's supplement);
``nine_class_70_30``   one split of the configured classes and ``none`` (Tsai and Wang 2025);
``replicates4``        of simulated wafers alone: four (any number of two and more) training sets, each with validation
                       and test wafers of its own; none shares a lot with another;
``leaky_80_20``        one split made after wafers were added, of real and added ones alike (Chen et al. 2023):
                       copies and samples of test wafers are trained on. For comparison only.

Snakemake imports this while it parses, so it imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from waferbench.base.errors import InputError, nearest

NONE = "none"  # the class of wafers without a pattern
KNOWN = ("cv5", "duplicate_cv5", "lot_cv5", "replicates4", "holdout_80_10_10", "nine_class_70_30", "leaky_80_20")
CROSS_VALIDATION = re.compile(r"(?:(duplicate|lot)_)?cv([1-9]\d*)")
REPLICATES = re.compile(r"replicates([1-9]\d*)")


@dataclass(frozen=True)
class Protocol:
    """name: as configured. folds: how many. group: what shares a fold: none, duplicates or lots.

    replicates: how many independent sets of wafers, 0 where folds share one set of wafers; fold r is replicate r.
    test, val: shares of the wafers in a single split (0 in cross-validation: fold k tests, fold k + 1 validates).
    with_none: the class ``none`` joins the configured ones. leaky: wafers are added before the split.
    """

    name: str
    folds: int = 1
    replicates: int = 0
    group: str = "none"
    test: float = 0.0
    val: float = 0.0
    with_none: bool = False
    leaky: bool = False

    def classes(self, configured: Sequence[str]) -> list[str]:
        """The class names that are told apart."""
        return [*configured, NONE] if self.with_none and NONE not in configured else list(configured)

    def run(self, wanted: Sequence[int]) -> list[int]:
        """The folds to run: the wanted ones, all where none is named, or the only one."""
        return list(wanted or range(self.folds)) if self.folds > 1 else [0]


def protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        InputError: an unknown name, cross-validation in fewer than three folds, or fewer than two replicates.
    """
    if replicated := REPLICATES.fullmatch(name):
        count = int(replicated[1])
        if count < 2:
            raise InputError(f"folds.protocols: {name!r} has one training set, expected at least 2, to be compared")
        return Protocol(name, folds=count, replicates=count)
    if name == "holdout_80_10_10":
        return Protocol(name, test=0.1, val=0.1)
    if name == "nine_class_70_30":  # validation comes out of the 70%
        return Protocol(name, test=0.3, val=0.1, with_none=True)
    if name == "leaky_80_20":
        return Protocol(name, test=0.2, val=0.1, leaky=True)
    match = CROSS_VALIDATION.fullmatch(name)
    if match is None:
        raise InputError(f"folds.protocols: found {name!r}, expected {', '.join(KNOWN)}{nearest(name, KNOWN)}")
    group, count = match[1], int(match[2])
    if count < 3:
        raise InputError(f"folds.protocols: {name!r} has {count} folds, expected at least 3: one tests, one validates")
    return Protocol(name, folds=count, group=f"{group}s" if group else "none")


def replicate_of(name: str, fold: int) -> int:
    """As the column ``replicate`` of a table has it: the fold under a protocol of replicates, 0 under any other.

    >>> replicate_of("replicates4", 2), replicate_of("cv5", 2), replicate_of("pooled", -1)
    (2, 0, 0)
    """
    return fold if REPLICATES.fullmatch(name) else 0


def run_columns(name: str, seed: int, fold: int) -> dict[str, str | int]:
    """What tells the rows of one fold of one run from others: the columns protocol, seed, replicate and fold.

    >>> run_columns("replicates4", 42, 2)
    {'protocol': 'replicates4', 'seed': 42, 'replicate': 2, 'fold': 2}
    """
    return {"protocol": name, "seed": seed, "replicate": replicate_of(name, fold), "fold": fold}
