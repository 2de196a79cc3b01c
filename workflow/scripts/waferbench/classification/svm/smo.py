"""Binary support vector machines on a precomputed kernel, and on working sets where it exceeds the memory.

The solver is libsvm's, as scikit-learn wraps it. Without the matrix libsvm computes each row by a dot product a pair;
here it gets small matrices instead: a problem is solved on some wafers, all others are checked against that solution
by one matrix product for all problems, and those that violate it join, until none does (Osuna, Freund and Girosi 1997,
section 4). The end is libsvm's own stopping rule on all wafers (Fan, Chen and Lin 2005, eq. 6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sklearn
from joblib import Parallel, delayed
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from waferbench.classification.svm.kernels import rbf_matrix, rbf_product

TOLERANCE = 1e-3  # libsvm's and scikit-learn's default
FIRST = 0.3  # of what the memory holds: the first working set, so that violators find room
ROUNDS = 60
Solution = tuple[np.ndarray, np.ndarray, float]  # support indices, dual coefficients, intercept


def solve_binary(kernel: np.ndarray, target: np.ndarray, penalty: float) -> Solution:
    """Solve one problem.

    Args:
        kernel: float64 (N, N), C order: another would be copied. target: int (N,) of -1 and 1, both.

    Returns:
        The rows that are support vectors, their dual coefficients (with the target's sign), the intercept.
    """
    with sklearn.config_context(assume_finite=True):  # else each problem reads the whole matrix once more
        return _solution(SVC(C=penalty, kernel="precomputed").fit(kernel, target))


def _solution(machine: SVC) -> Solution:
    return machine.support_, machine.dual_coef_[0], float(machine.intercept_[0])


@dataclass
class _Problem:
    """One problem on its way: targets of all rows, the rows that it is solved on, the solution."""

    target: np.ndarray
    rows: np.ndarray
    solution: Solution = (np.zeros(0, int), np.zeros(0), 0.0)

    def solve(self, scaled: np.ndarray, gamma: float, penalty: float) -> None:
        kernel = rbf_matrix(scaled[self.rows], gamma)
        support, coefficients, intercept = solve_binary(kernel, self.target[self.rows], penalty)
        self.solution = self.rows[support], coefficients, intercept

    def violators(self, outputs: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows outside the working set that violate the solution, and by how much each row does, or misses doing so.

        outputs: float64 (N,), of all rows, without the intercept.
        """
        support, coefficients, _ = self.solution
        dual = np.zeros(len(outputs))
        dual[support] = coefficients
        positive, score = self.target > 0, self.target - outputs  # score: -y times the gradient
        up, down = np.where(positive, dual < penalty, dual < 0), np.where(positive, dual > 0, dual > -penalty)
        inside = np.zeros(len(outputs), bool)
        inside[self.rows] = True
        top, bottom = score[up].max(), score[down].min()
        excess = np.maximum(np.where(up, score - bottom, -np.inf), np.where(down, top - score, -np.inf))
        return np.flatnonzero(~inside & (excess >= TOLERANCE)), excess

    def extend(self, violators: np.ndarray, excess: np.ndarray, most: int) -> bool:
        """Let the worst violators in; rows that were in for nothing go where there is no room. False: none at all."""
        support = self.solution[0]
        room = most - len(support)
        if room < most // 10:
            return False
        worst = violators[np.argsort(-excess[violators], kind="stable")][:room]
        idle = np.setdiff1d(self.rows, support)
        near = idle[np.argsort(-excess[idle], kind="stable")][: room - len(worst)]
        self.rows = np.sort(np.concatenate([support, worst, near]))
        return True


def solve_in_rounds(
    scaled: np.ndarray,
    targets: np.ndarray,
    gamma: float,
    penalty: float,
    memory_gb: float,
    threads: int = 1,
) -> list[Solution]:
    """Solve problems whose kernel matrix exceeds the memory.

    A problem with more support vectors than fit is left to libsvm's own computing of rows, which is slow.

    Args:
        scaled: float64 (N, D). targets: int (N, M) of -1 and 1.
        memory_gb: of all that is held of kernels at a time.
        threads: problems solved at once, each on its share of the memory.
    """
    most = min(len(scaled), int((memory_gb / threads * 2**30 / 8) ** 0.5))
    order = np.random.default_rng(0).permutation(len(scaled))
    problems = [_Problem(target, _first_rows(target, order, int(FIRST * most))) for target in targets.T]
    todo, stuck = list(problems), []
    for _ in range(ROUNDS):
        with threadpool_limits(1, "blas"):  # a thread a problem
            Parallel(n_jobs=threads, prefer="threads")(
                delayed(problem.solve)(scaled, gamma, penalty) for problem in todo
            )
        outputs = _outputs(scaled, [problem.solution for problem in todo], gamma, memory_gb)
        found = [problem.violators(column, penalty) for problem, column in zip(todo, outputs.T, strict=True)]
        open_ = [(problem, *what) for problem, what in zip(todo, found, strict=True) if len(what[0])]
        todo = []
        for problem, rows, excess in open_:
            (todo if problem.extend(rows, excess, most) else stuck).append(problem)
        if not todo:
            break

    def solve_whole(problem: _Problem) -> None:
        machine = SVC(C=penalty, kernel="rbf", gamma=gamma, cache_size=memory_gb * 1024 / threads)
        problem.solution = _solution(machine.fit(scaled, problem.target))

    Parallel(n_jobs=threads, prefer="threads")(delayed(solve_whole)(problem) for problem in stuck + todo)
    return [problem.solution for problem in problems]


def _first_rows(target: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    """Random rows, as many of either target as there are."""
    sides = [order[target[order] == side] for side in (-1, 1)]
    return np.sort(np.concatenate([side[: max(1, count // 2)] for side in sides]))


def _outputs(scaled: np.ndarray, solutions: list[Solution], gamma: float, memory_gb: float) -> np.ndarray:
    """Outputs of problems on all rows, without intercepts: float64 (N, problems)."""
    used = np.unique(np.concatenate([support for support, _, _ in solutions]))
    weights = np.zeros((len(used), len(solutions)))
    for m, (support, coefficients, _) in enumerate(solutions):
        weights[np.searchsorted(used, support), m] = coefficients
    return rbf_product(scaled, scaled[used], weights, gamma, memory_gb)
