"""All quality metrics of one source against one real reference, as a long table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from waferbench.base.seeds import derive_seed
from waferbench.base.tables import ALL, KID, TABLES
from waferbench.config.synthesis.settings import QualityMeasures
from waferbench.synthesis.quality.diversity import diversity
from waferbench.synthesis.quality.frechet import frechet_of_features
from waferbench.synthesis.quality.kid import kernel_distance
from waferbench.synthesis.quality.memorisation import copy_threshold, hamming_distances, nearest, rate
from waferbench.synthesis.quality.prdc import blocks, distances, prdc

NONE = float("nan")
FLOOR_DRAWS = 4
MEMORY_DRAWS = 100
USUAL = 1000  # real wafers that say what is usual between real wafers
Values = dict[str, tuple[float, float, float]]  # metric -> value, low, high
Real = tuple[np.ndarray, np.ndarray, np.ndarray]  # images, labels, features


def feature_rows(
    synthetic: np.ndarray,
    synthetic_labels: np.ndarray,
    real: np.ndarray,
    real_labels: np.ndarray,
    labels: Sequence[str],
    settings: QualityMeasures,
    seed: int,
    frechet: str = "frechet",
    other: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[dict]:
    """Rows (label, metric, value, low, high, n, n_real) of each class and of all together (``all``).

    ``floor_*`` are the metrics of other real wafers in the place of samples, as many as there are samples, against the
    same reference: what perfect samples would reach. Where fewer are at hand, ``*_matched`` is the metric of as many
    samples (elsewhere of all): the Frechet distance, precision, recall, density and coverage have one each, as they
    depend on the number and only equal ones compare. Both are means of draws with their range, which is missing where
    there was nothing to draw. Without other wafers one half of the reference is held against its other half, and so
    are the matched samples. ``diversity`` of all together is the classes' mean: classes far apart must not pass for
    variety.

    All together are compared in the mix of classes of the reference's wafers (`same_mix`); where `real_wafers` has
    capped frequent classes, that is not the mix of the split they are from.

    Args:
        synthetic, real: features, float (N, D) and (M, D).
        settings: the section ``quality``, but for the judge.
        frechet: name of the Frechet distance: ``fid`` where the features are Inception's.
        other: features (K, D) and labels (K,) of real wafers that are not in the reference.
    """
    rows = []
    for label in [*labels, ALL]:
        x = synthetic[synthetic_labels == label if label != ALL else same_mix(synthetic_labels, real_labels)]
        y = real[real_labels == label] if label != ALL else real
        rng = np.random.default_rng(derive_seed(seed, "quality", label))
        further = None if other is None else _further(*other, label, real_labels, rng)
        measures = _Measures(settings, rng, frechet, label != ALL)
        rows += _rows(label, len(x), len(y), measures.every(x, y))
        rows += _rows(label, *_floors(x, y, further, rng, measures))
    half = min(len(synthetic), len(real) // 2) if other is None else min(len(synthetic), len(other[0]))
    for metric, n, n_real in (("diversity", len(synthetic), len(real)), ("floor_diversity", half, len(real))):
        values = [row["value"] for row in rows if row["metric"] == metric and np.isfinite(row["value"])]
        mean = float(np.mean(values)) if values else NONE
        rows += _rows(ALL, n, n_real, {metric: (mean, NONE, NONE)})
    return rows


def _further(
    features: np.ndarray, of: np.ndarray, label: str, reference: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The other real wafers of a class, or of all in the reference's mix, in random order; float (K, D)."""
    order = rng.permutation(len(of))
    features, of = features[order], of[order]
    return features[of == label if label != ALL else same_mix(of, reference)]


def same_mix(labels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The first rows of each class, as many as give the classes the shares that they have in a reference, bool (N,).

    As many rows as that leaves. A class that only one side has is left out of account.

    Args:
        labels: (N,) class of each row. reference: (M,) class of each row of the reference.
    """
    have, want = (dict(zip(*np.unique(of, return_counts=True), strict=True)) for of in (labels, reference))
    both = have.keys() & want.keys()
    scale = min((have[label] / want[label] for label in both), default=0)
    chosen = np.zeros(len(labels), bool)
    for label in both:
        chosen[np.flatnonzero(labels == label)[: round(scale * want[label])]] = True
    return chosen


def _rows(label: str, n: int, n_real: int, values: Mapping[str, tuple[float, float, float]]) -> list[dict]:
    return [
        {"label": label, "metric": metric, "value": value, "low": low, "high": high, "n": n, "n_real": n_real}
        for metric, (value, low, high) in values.items()
    ]


@dataclass(frozen=True)
class _Measures:
    """The metrics of a set of features x (N, D) against a real one y (M, D), of one class or of all together."""

    settings: QualityMeasures
    rng: np.random.Generator
    frechet: str
    one_class: bool

    def counted(self, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        """Those that depend on the numbers of samples."""
        return {self.frechet: frechet_of_features(x, y), **prdc(y, x, self.settings.neighbours)}

    def every(self, x: np.ndarray, y: np.ndarray, subsets: int | None = None) -> Values:
        """All, with intervals where there are any; ``subsets``: of the kernel distance, else as the settings say."""
        kernel = kernel_distance(x, y, subsets or self.settings.kid_subsets, self.settings.kid_subset_size, self.rng)
        plain = self.counted(x, y) | ({"diversity": diversity(y, x)} if self.one_class else {})
        return {KID: tuple(1000 * value for value in kernel)} | {k: (v, NONE, NONE) for k, v in plain.items()}


def _floors(
    x: np.ndarray, y: np.ndarray, other: np.ndarray | None, rng: np.random.Generator, measures: _Measures
) -> tuple[int, int, Values]:
    """Metrics of other real wafers, and of as many samples, against a reference; how many they were.

    Args:
        x: of samples, (N, D). y: of the reference, (M, D). other: (K, D), or None: halves of the reference.

    Returns:
        Wafers in the place of samples, wafers of the reference, values by metric.
    """
    n = min(len(x), len(y) // 2 if other is None else len(other))
    varied = other is None or n < len(other)  # else every draw of the floor is the same
    subsets = max(2, measures.settings.kid_subsets // FLOOR_DRAWS) if varied else None
    draws: dict[str, list[float]] = {}
    for draw in range(FLOOR_DRAWS):
        if other is None:
            order = rng.permutation(len(y))
            a, b = y[order[:n]], y[order[n : 2 * n]]
        else:
            a, b = other[rng.permutation(len(other))[:n]], y
        found: dict[str, float] = {}
        if varied or not draw:
            found |= {f"floor_{metric}": value for metric, (value, _, _) in measures.every(a, b, subsets).items()}
        if n < len(x) or other is None or not draw:
            chosen = x[rng.permutation(len(x))[:n]]
            found |= {f"{metric}_matched": value for metric, value in measures.counted(chosen, b).items()}
        for metric, value in found.items():
            draws.setdefault(metric, []).append(value)
    ranged = {k: (float(np.mean(v)), *_range(v)) for k, v in draws.items()}
    return n, n if other is None else len(y), ranged


def _range(draws: Sequence[float]) -> tuple[float, float]:
    return (float(np.min(draws)), float(np.max(draws))) if len(draws) > 1 else (NONE, NONE)


class Memory:
    """Nearest neighbours among training and held-out wafers, and what is usual for real wafers.

    Args:
        train, test: (images uint8 (N, S, S), labels (N,), features float (N, D)) of real wafers; test may be empty,
            as no wafer is held out of a pooled generator.
        levels: greys of off-wafer, pass, fail.
        every: images uint8 (M, S, S) of all training wafers, of which ``train`` may be a part: a copy of any is one.
        at: int (N,), the positions of ``train`` among them. Both left out: ``train`` is all.
    """

    def __init__(
        self,
        train: Real,
        test: Real,
        levels: Sequence[int],
        seed: int,
        device: torch.device | str = "cpu",
        every: np.ndarray | None = None,
        at: np.ndarray | None = None,
    ):
        self._levels, self._device, self._seed = levels, device, seed
        self._train, self._test = train, test
        self._every = train[0] if every is None else every
        self._at = np.arange(len(train[0])) if at is None else at
        usual, usual_test = (slice(None, None, max(1, len(of) // USUAL)) for of in (train[1], test[1]))
        self.threshold = copy_threshold(self._to_every(train[0][usual], self._at[usual]))
        self._floor = self._to_every(test[0][usual_test]) <= self.threshold
        self._floor_labels = test[1][usual_test]
        self._sides = {"": self._draw_sides(False), "floor_": self._draw_sides(True)} if len(test[0]) else {}

    def rows(
        self, images: np.ndarray, features: np.ndarray, labels_of: np.ndarray, labels: Sequence[str]
    ) -> tuple[list[dict], pd.DataFrame]:
        """Rows (label, metric, value, low, high, n, n_real), and each sample's nearest training wafer.

        ``copy_rate``: share of samples no farther from a training wafer, by Hamming distance over eight
        symmetries, than the closest 5% of training wafers are from each other; ``floor_copy_rate``: the same of
        held-out real wafers; both with 95% Wilson intervals. ``hamming_train``: median distance to the nearest training
        wafer, with quartiles. ``nearer_train``, ``nearer_train_feature``: share of samples nearer to a
        training than to a held-out wafer, by Hamming distance and by features. Its interval covers the draw of
        wafers, not which wafers were held out, and a few plain wafers are everybody's neighbour: one half is not the
        yardstick, ``floor_nearer_train*`` is, the same share between two sides drawn from training and held-out wafers
        alike (95% range). Only a share above that range speaks for memory.

        Args:
            images: uint8 (N, S, S) of one source. features: float (N, D). labels_of: (N,) class asked for.

        Returns:
            The rows, and a table of N rows: ``nearest`` (position among all training wafers), ``hamming`` (0-1).
        """
        sides = self._sides
        real_features = np.concatenate([self._train[2], self._test[2]]) if sides else self._train[2]
        closest, twins, nearer = [], [], {}
        for part in blocks(len(images)):
            to_every = self._hamming(images[part], self._every)
            closest.append(nearest(to_every))
            twins.append(to_every.argmin(1))
            if not sides:
                continue
            hamming = np.concatenate([to_every[:, self._at], self._hamming(images[part], self._test[0])], axis=1)
            feature = distances(features[part], real_features)
            for name, matrix in (("nearer_train", hamming), ("nearer_train_feature", feature)):
                for prefix, pairs in sides.items():
                    nearer.setdefault(f"{prefix}{name}", []).append(_nearer(matrix, pairs))
        closest = np.concatenate(closest) if closest else np.zeros(0)
        twins = np.concatenate(twins) if twins else np.zeros(0, np.int64)
        n_side = len(sides[""][0][0]) if sides else 0
        shares = {metric: np.concatenate(parts, axis=1) for metric, parts in nearer.items()}
        rows = []
        for label in [*labels, ALL]:
            mine = labels_of == label if label != ALL else same_mix(labels_of, self._reference)
            n, n_train = int(mine.sum()), len(self._every)
            values = {"copy_rate": rate(closest[mine] <= self.threshold), "hamming_train": _median(closest[mine])}
            rows += _rows(label, n, n_train, values)
            for metric, draws in shares.items():
                rows += _rows(label, n, n_side, {metric: _interval(draws[:, mine].mean(1) if n else draws[:, 0:0])})
            if len(self._test[0]):
                real = self._floor_labels == label if label != ALL else np.ones(len(self._floor_labels), bool)
                rows += _rows(label, int(real.sum()), n_train, {"floor_copy_rate": rate(self._floor[real])})
        return rows, pd.DataFrame({"nearest": twins, "hamming": closest})

    @property
    def _reference(self) -> np.ndarray:
        """Labels of the wafers whose mix of classes all samples together are counted in."""
        return self._test[1] if len(self._test[1]) else self._train[1]

    def _to_every(self, images: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
        """Hamming distance to the nearest training wafer, (N,): another than their ``own``, where they are such."""
        parts = [np.zeros(0)]
        for part in blocks(len(images)):
            matrix = self._hamming(images[part], self._every)
            if own is not None:
                matrix[np.arange(len(matrix)), own[part]] = np.inf
            parts.append(nearest(matrix))
        return np.concatenate(parts)

    def _hamming(self, images: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return hamming_distances(images, reference, self._levels, device=self._device)

    def _draw_sides(self, mixed: bool) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pairs of equally large sides, as positions among training and then held-out wafers, `MEMORY_DRAWS` of them.

        Both sides have half of the held-out wafers' number of each class, as neighbours come nearer when a set
        grows: training against held-out wafers, or (mixed) two disjoint draws from both together.
        """
        rng = np.random.default_rng(derive_seed(self._seed, "memorisation", mixed))
        of = np.concatenate([self._train[1], self._test[1]])
        held_out = np.arange(len(of)) >= len(self._train[1])
        pairs = []
        for _ in range(MEMORY_DRAWS):
            sides: tuple[list, list] = ([], [])
            for label in np.unique(self._test[1]):
                ours = rng.permutation(np.flatnonzero((of == label) & ~held_out))
                theirs = rng.permutation(np.flatnonzero((of == label) & held_out))
                half = min(len(ours), -(-len(theirs) // 2))
                if mixed:
                    both = rng.permutation(np.concatenate([ours, theirs]))
                    ours, theirs = both[:half], both[half:]
                sides[0].append(ours[:half])
                sides[1].append(theirs[:half])
            pairs.append((np.concatenate(sides[0]), np.concatenate(sides[1])))
        return pairs


def _nearer(matrix: np.ndarray, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Which side is nearer, (draws, N) of 1 (the first), 1/2 (a tie), 0, from distances (N, M)."""
    near = [(matrix[:, a].min(1), matrix[:, b].min(1)) for a, b in pairs]
    return np.stack([np.where(a < b, 1.0, np.where(a == b, 0.5, 0.0)) for a, b in near])


def _interval(draws: np.ndarray) -> tuple[float, float, float]:
    """Mean and central 95% of draws."""
    if not draws.size:
        return (NONE,) * 3
    return float(draws.mean()), *(float(q) for q in np.quantile(draws, [0.025, 0.975]))


def _median(values: np.ndarray) -> tuple[float, float, float]:
    return tuple(float(q) for q in np.quantile(values, [0.5, 0.25, 0.75])) if len(values) else (NONE,) * 3


def table(rows: list[dict], **columns: Any) -> pd.DataFrame:
    """The study's table ``quality`` of these rows; columns of one value throughout are given by name."""
    return pd.DataFrame([{**columns, **row} for row in rows], columns=list(TABLES["quality"]))
