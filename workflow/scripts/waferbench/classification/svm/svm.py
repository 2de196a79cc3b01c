"""The second head: error-correcting output codes of RBF support vector machines on penultimate features.

Equal to scikit-learn's ``OutputCodeClassifier(SVC(C, gamma="scale"), code_size, random_state)`` on standardised
features, of which it keeps the code book and the predictions; but all binary problems share one kernel matrix,
which is computed once, and the fitted model is plain arrays. Where that matrix exceeds the memory, the problems are
solved on working sets (`waferbench.classification.svm.smo`) to the tolerance of the whole. A random code book may be a
poor one (of nine classes some words lie three bits apart): with several, the distances to a class's words are averaged.
Dietterich and Bakiri 1995 (output codes); the paper's section on classifier heads.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.metrics import pairwise_distances_argmin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.preprocessing import StandardScaler

from waferbench.base.artifacts import read_h5, write_h5
from waferbench.base.errors import InputError
from waferbench.classification.svm.kernels import rbf_matrix, rbf_product
from waferbench.classification.svm.smo import Solution, solve_binary, solve_in_rounds
from waferbench.config.classification import SvmSettings


@dataclass(frozen=True)
class EcocSvm:
    """A fitted model of K classes, B code books, M binary problems of all of them, V support vectors (of any problem),
    D features.

    classes: int (K,); code_book: float64 (K, M) of -1 and 1, the books side by side; books: int (), their number;
    mean, scale: float64 (D,), the standardisation; support_vectors: float64 (V, D), standardised; dual_coef: float64
    (M, V); intercept: float64 (M,); gamma: float64 (). A problem whose training targets are all alike has no support
    vectors and its target as intercept.
    """

    classes: np.ndarray
    code_book: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    support_vectors: np.ndarray
    dual_coef: np.ndarray
    intercept: np.ndarray
    gamma: np.ndarray
    books: np.ndarray

    def decision_function(self, features: np.ndarray, memory_gb: float = 2.0) -> np.ndarray:
        """Outputs of the binary problems: features (N, D) to float64 (N, M), kernel held in blocks of rows."""
        scaled = (np.asarray(features, np.float64) - self.mean) / self.scale
        weights, gamma = self.dual_coef.T, float(self.gamma)
        return rbf_product(scaled, self.support_vectors, weights, gamma, memory_gb) + self.intercept

    def predict(self, features: np.ndarray, memory_gb: float = 2.0) -> np.ndarray:
        """The class whose code words are nearest to the outputs (mean Euclidean distance): (N, D) to int (N,).

        A class that was not in training is never predicted.
        """
        return self.nearest(self.decision_function(features, memory_gb))

    def nearest(self, outputs: np.ndarray) -> np.ndarray:
        """The same of outputs (N, M) of the binary problems."""
        (outputs, words), *others = self._by_book(outputs)
        if not others:
            return self.classes[pairwise_distances_argmin(np.asfortranarray(outputs), words, metric="euclidean")]
        distances = sum((euclidean_distances(*pair) for pair in others), euclidean_distances(outputs, words))
        return self.classes[distances.argmin(1)]

    def nearest_by_book(self, outputs: np.ndarray) -> np.ndarray:
        """What each code book by itself would call: outputs (N, M) to int (B, N)."""
        return np.stack([self.classes[euclidean_distances(*pair).argmin(1)] for pair in self._by_book(outputs)])

    def _by_book(self, outputs: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Outputs and code words of each book."""
        parts = (np.split(array, int(self.books), axis=1) for array in (outputs, self.code_book))
        return list(zip(*parts, strict=True))

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


def fit_ecoc_svm(features: np.ndarray, y: np.ndarray, settings: SvmSettings, threads: int = 1) -> EcocSvm:
    """Fit the head.

    Args:
        features: float (N, D), not standardised.
        y: int (N,), class of each row.
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
    gamma = _gamma(settings.gamma, scaled)
    seeds = range(settings.seed, settings.seed + settings.code_seeds)
    book = np.hstack([code_book(len(classes), settings.code_size, seed) for seed in seeds])
    if book.shape[1] < 1:
        raise InputError(f"svm.code_size: {settings.code_size} x {len(classes)} classes gives no binary problem")
    targets = book[place].astype(int)
    solved = _solve(scaled, targets, gamma, settings, threads)
    dual = np.zeros((book.shape[1], len(scaled)))
    intercept = np.empty(book.shape[1])
    for m, (support, coefficients, offset) in enumerate(solved):
        dual[m, support], intercept[m] = coefficients, offset
    used = np.flatnonzero((dual != 0).any(0))
    gamma, books = np.float64(gamma), np.int64(settings.code_seeds)
    return EcocSvm(classes, book, mean, scale, scaled[used], dual[:, used], intercept, gamma, books)


def warn_of_unseen(train: np.ndarray, test: np.ndarray, names: Sequence[str]) -> list[str]:
    """Names of classes, int (N,) positions in ``names``, of the test set that no training wafer has; said on stderr."""
    unseen = [str(names[i]) for i in np.setdiff1d(test, train)]
    if unseen:
        print(
            f"svm: no training wafer of {', '.join(unseen)}, so none is predicted as such and its test wafers count "
            "as errors; add wafers or drop it from dataset.classes",
            file=sys.stderr,
        )
    return unseen


def _standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature; 1 in place of the deviation of a constant one."""
    scaler = StandardScaler().fit(features)
    return scaler.mean_, scaler.scale_


def _gamma(gamma: str | float, scaled: np.ndarray) -> float:
    if gamma == "scale":
        variance = scaled.var()
        return 1.0 / (scaled.shape[1] * variance) if variance else 1.0
    return 1.0 / scaled.shape[1] if gamma == "auto" else float(gamma)


def _solve(
    scaled: np.ndarray, targets: np.ndarray, gamma: float, settings: SvmSettings, threads: int
) -> list[Solution]:
    """The solution of each binary problem, a column of targets of -1 and 1."""
    constant = (targets == targets[0]).all(0)  # no problem at all: the target itself is the output
    result = [(np.zeros(0, int), np.zeros(0), float(target)) for target in targets[0]]
    memory, penalty, real = settings.memory_gb, settings.C, np.flatnonzero(~constant)
    if not len(real):
        return result
    if 8 * len(scaled) ** 2 / 2**30 > memory:
        solved = solve_in_rounds(scaled, targets[:, real], gamma, penalty, memory, threads)
    else:
        kernel, solve = rbf_matrix(scaled, gamma), delayed(solve_binary)
        # Threads, not processes: the solver releases the interpreter and the kernel is not copied.
        solved = Parallel(n_jobs=threads, prefer="threads")(solve(kernel, targets[:, m], penalty) for m in real)
    for m, solution in zip(real, solved, strict=True):
        result[m] = solution
    return result
