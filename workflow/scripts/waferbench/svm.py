"""The second head: error-correcting output codes of RBF support vector machines on penultimate features.

Equal to scikit-learn's ``OutputCodeClassifier(SVC(C, gamma="scale"), code_size, random_state)`` on standardised
features, of which it keeps the code book and the predictions; but all binary problems share one kernel matrix,
which is computed once, and the fitted model is plain arrays.
Dietterich and Bakiri 1995 (output codes); the paper's section on classifier heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.metrics import pairwise_distances_argmin
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from waferbench.artifacts import read_h5, write_h5
from waferbench.errors import InputError


@dataclass(frozen=True)
class EcocSvm:
    """A fitted model of K classes, M binary problems, V support vectors (of any problem), D features.

    classes: int (K,); code_book: float64 (K, M) of -1 and 1; mean, scale: float64 (D,), the standardisation;
    support_vectors: float64 (V, D), standardised; dual_coef: float64 (M, V); intercept: float64 (M,); gamma:
    float64 (). A problem whose training targets are all alike has no support vectors and its target as intercept.
    """

    classes: np.ndarray
    code_book: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    support_vectors: np.ndarray
    dual_coef: np.ndarray
    intercept: np.ndarray
    gamma: np.ndarray

    def decision_function(self, features: np.ndarray, memory_gb: float = 2.0) -> np.ndarray:
        """Outputs of the binary problems: features (N, D) to float64 (N, M), kernel held in blocks of rows."""
        scaled = (np.asarray(features, np.float64) - self.mean) / self.scale
        result = np.empty((len(scaled), len(self.intercept)))
        if not len(self.support_vectors):
            return np.tile(self.intercept, (len(scaled), 1))
        rows = max(1, int(memory_gb * 2**30 / 8 / len(self.support_vectors)))
        for start in range(0, len(scaled), rows):
            kernel = rbf_kernel(scaled[start : start + rows], self.support_vectors, gamma=float(self.gamma))
            result[start : start + rows] = kernel @ self.dual_coef.T + self.intercept
        return result

    def predict(self, features: np.ndarray, memory_gb: float = 2.0) -> np.ndarray:
        """The class whose code word is nearest to the outputs (Euclidean): features (N, D) to int (N,)."""
        outputs = np.asfortranarray(self.decision_function(features, memory_gb))
        return self.classes[pairwise_distances_argmin(outputs, self.code_book, metric="euclidean")]

    def write(self, path: str | Path, provenance: Mapping | None = None) -> None:
        """Write the arrays to HDF5."""
        write_h5(path, {field.name: getattr(self, field.name) for field in fields(self)}, provenance)

    @classmethod
    def read(cls, path: str | Path) -> EcocSvm:
        """Open a model written by `write`."""
        return cls(**read_h5(path, [field.name for field in fields(cls)]))


def code_book(n_classes: int, code_size: float, seed: int) -> np.ndarray:
    """Random code words, as scikit-learn draws them: float64 (K, int(K x code_size)) of -1 and 1."""
    drawn = np.random.RandomState(seed).uniform(size=(n_classes, int(n_classes * code_size)))
    return np.where(drawn > 0.5, 1.0, -1.0)


def fit_ecoc_svm(features: np.ndarray, y: np.ndarray, settings: Mapping[str, Any], threads: int = 1) -> EcocSvm:
    """Fit the head.

    Args:
        features: float (N, D), not standardised.
        y: int (N,), class of each row.
        settings: the ``svm`` section: C, gamma (``scale``, ``auto`` or a number), code_size, seed, memory_gb.
        threads: binary problems solved at once; they share the kernel matrix.

    Raises:
        InputError: fewer than two classes, features that are not finite, or a code size without problems.
    """
    features = np.asarray(features, np.float64)
    classes, place = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"svm: the training set holds {len(classes)} class, two are needed; check dataset.classes")
    if not np.isfinite(features).all():
        raise InputError("svm: the features hold NaN or infinity: the classifier diverged; lower classifier.lr")
    mean, scale = _standardisation(features)
    scaled = np.ascontiguousarray((features - mean) / scale)
    gamma = _gamma(settings["gamma"], scaled)
    book = code_book(len(classes), settings["code_size"], settings["seed"])
    if book.shape[1] < 1:
        raise InputError(f"svm.code_size: {settings['code_size']} x {len(classes)} classes gives no binary problem")
    targets = book[place].astype(int)
    solved = _solve(scaled, targets, gamma, settings, threads)
    dual = np.zeros((book.shape[1], len(scaled)))
    intercept = np.empty(book.shape[1])
    for m, (support, coefficients, offset) in enumerate(solved):
        dual[m, support], intercept[m] = coefficients, offset
    used = np.flatnonzero((dual != 0).any(0))
    return EcocSvm(classes, book, mean, scale, scaled[used], dual[:, used], intercept, np.float64(gamma))


def _standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature; 1 in place of the deviation of a constant one."""
    scaler = StandardScaler().fit(features)
    return scaler.mean_, scaler.scale_


def _gamma(gamma: str | float, scaled: np.ndarray) -> float:
    if gamma == "scale":
        variance = scaled.var()
        return 1.0 / (scaled.shape[1] * variance) if variance else 1.0
    return 1.0 / scaled.shape[1] if gamma == "auto" else float(gamma)


Solution = tuple[np.ndarray, np.ndarray, float]


def _solve(
    scaled: np.ndarray, targets: np.ndarray, gamma: float, settings: Mapping[str, Any], threads: int
) -> list[Solution]:
    """Support indices, dual coefficients and intercept of each binary problem."""
    memory = float(settings["memory_gb"])
    if 8 * len(scaled) ** 2 / 2**30 <= memory:
        kernel, options = rbf_kernel(scaled, gamma=gamma), {"kernel": "precomputed"}
    else:  # the solver computes the rows that it needs, and keeps as many as the memory allows
        threads = max(1, min(threads, int(memory / 0.5)))
        kernel, options = scaled, {"kernel": "rbf", "gamma": gamma, "cache_size": memory * 1024 / threads}

    def solve(column: np.ndarray) -> Solution:
        if (column == column[0]).all():
            return np.zeros(0, int), np.zeros(0), float(column[0])
        machine = SVC(C=settings["C"], **options).fit(kernel, column)
        return machine.support_, machine.dual_coef_[0], float(machine.intercept_[0])

    # Threads, not processes: the solver releases the interpreter and the kernel is not copied.
    return Parallel(n_jobs=threads, prefer="threads")(delayed(solve)(column) for column in targets.T)
