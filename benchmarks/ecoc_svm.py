"""The ECOC-SVM head against scikit-learn's own, fitting and prediction, same features, same processors.

python benchmarks/ecoc_svm.py --features results/study/.../features.h5
python benchmarks/ecoc_svm.py --train 8000 --memory 0.07    (a kernel matrix that does not fit)
Without a file: clustered features as a ReLU network gives them. The plain way is OutputCodeClassifier(SVC, n_jobs=-1).
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from common import figure
from sklearn.multiclass import OutputCodeClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_info

from waferbench.base.artifacts import read_h5
from waferbench.base.machine import processors
from waferbench.classification.svm.svm import fit_ecoc_svm
from waferbench.config.classification import SvmSettings

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def clustered(train: int, test: int, dimensions: int, seed: int) -> Data:
    """Eight overlapping classes of unequal size, correlated and cut at zero: train, its classes, test."""
    rng = np.random.default_rng(seed)
    y = rng.choice(8, train + test, p=np.array([17, 2, 20, 38, 14, 1, 3, 5]) / 100)
    inner = 64  # few directions carry all, as in a fine-tuned network
    x = 1.3 * rng.normal(size=(8, inner))[y] + rng.normal(size=(train + test, inner))
    x = x @ rng.normal(size=(inner, dimensions)) / inner**0.5 + 0.2 * rng.normal(size=(train + test, dimensions))
    x = np.maximum(x, 0).astype(np.float32)
    return x[:train], y[:train], x[train:]


def of_file(path: Path, train: int, test: int) -> Data:
    """Random rows of a classifier's features."""
    data, rng = read_h5(path, ["train_features", "train_labels", "test_features"]), np.random.default_rng(0)
    x, y, z = data["train_features"], data["train_labels"], data["test_features"]
    rows, others = rng.permutation(len(x))[:train], rng.permutation(len(z))[:test]
    return x[rows], y[rows], z[others]


class Measured(NamedTuple):
    """Of one run: seconds, processor seconds and peak memory in MB with its workers', and what it returned."""

    seconds: float
    used: float
    peak: float
    result: Any


def processor_seconds() -> float:
    """Of this process and its living workers, up to now."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (me, *me.children(recursive=True)))


def measured(work: Callable[[], Any]) -> Measured:
    """Run it; memory that processes share counts once. Workers must outlive the work, as joblib's do."""
    me, peak, done = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:  # ended meanwhile
                    continue
            peak[0] = max(peak[0], total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, before = time.perf_counter(), processor_seconds()
    result = work()
    seconds, used = time.perf_counter() - start, processor_seconds() - before
    done.set()
    watcher.join()
    return Measured(seconds, used, peak[0] / 2**20, result)


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, help="features.h5 of a trained classifier")
    parser.add_argument("--train", type=int, default=15_000)
    parser.add_argument("--test", type=int, default=5_000)
    parser.add_argument("--dimensions", type=int, default=1280, help="of made-up features")
    parser.add_argument("--memory", type=float, default=2.0, help="svm.memory_gb")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sizes = (args.train, args.test)
    x, y, z = of_file(args.features, *sizes) if args.features else clustered(*sizes, args.dimensions, args.seed)
    settings, threads = SvmSettings(memory_gb=args.memory), processors()
    blas = max((library["num_threads"] for library in threadpool_info()), default=1)
    print(f"{threads} processors, {blas} BLAS threads, train {x.shape}, test {z.shape}")

    def ours() -> tuple[np.ndarray, int]:
        model = fit_ecoc_svm(x, y, settings, threads)
        return model.predict(z, args.memory), len(model.support_vectors)

    def theirs() -> np.ndarray:
        scaler = StandardScaler().fit(x.astype(np.float64))
        machine = SVC(C=settings.C, gamma=settings.gamma)
        model = OutputCodeClassifier(machine, code_size=settings.code_size, random_state=settings.seed, n_jobs=-1)
        model.fit(scaler.transform(x.astype(np.float64)), y)
        return model.predict(scaler.transform(z.astype(np.float64)))

    runs = [(measured(ours), measured(theirs)) for _ in range(args.repeats)]
    here, plain = zip(*runs, strict=True)
    (predicted, vectors), expected = here[-1].result, plain[-1].result
    what, against = f"ECOC-SVM, fit {len(x):,} and predict {len(z):,}", "scikit-learn's OutputCodeClassifier"
    figure(what, min(run.seconds for run in here), "s", min(run.seconds for run in plain), against)
    figure(f"{what}, processor seconds", min(run.used for run in here), "s", min(run.used for run in plain), against)
    figure(f"{what}, peak memory", max(run.peak for run in here), "MB", max(run.peak for run in plain), against)
    figure("predictions that differ", int((predicted != expected).sum()), "")
    figure("support vectors", vectors, "")


if __name__ == "__main__":
    main()
