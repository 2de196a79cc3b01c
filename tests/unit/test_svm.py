"""The ECOC-SVM head against scikit-learn's own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.multiclass import OutputCodeClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from waferbench.errors import InputError
from waferbench.svm import EcocSvm, fit_ecoc_svm

SETTINGS = {"C": 10.0, "gamma": "scale", "code_size": 2.0, "seed": 42, "memory_gb": 2.0}


def features(n: int, d: int, k: int, seed: int, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Skewed, partly dead, correlated features as a ReLU network gives them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    x = rng.normal(size=(k, d))[y] + overlap * rng.normal(size=(n, d))
    x = np.maximum(x @ rng.normal(size=(d, d)) / np.sqrt(d), 0).astype(np.float32)
    x[:, :3] = 0
    return x, y


def reference(x, y, settings):
    scaler = StandardScaler().fit(x.astype(np.float64))
    machine = SVC(C=settings["C"], gamma=settings["gamma"])
    model = OutputCodeClassifier(machine, code_size=settings["code_size"], random_state=settings["seed"])
    model.fit(scaler.transform(x.astype(np.float64)), y)
    return model, lambda z: scaler.transform(z.astype(np.float64))


@pytest.mark.parametrize(("overlap", "seed", "k"), [(0.5, 0, 8), (2.0, 1, 8), (4.0, 2, 5), (1.0, 42, 3)])
def test_same_code_book_and_predictions_as_sklearn(overlap, seed, k):
    x, y = features(500, 40, k, seed, overlap)
    z, _ = features(300, 40, k, seed + 100, overlap)
    settings = SETTINGS | {"seed": seed}
    ours, (theirs, scale) = fit_ecoc_svm(x, y, settings, threads=2), reference(x, y, settings)
    assert np.array_equal(ours.code_book, theirs.code_book_)
    assert np.array_equal(ours.predict(z), theirs.predict(scale(z)))
    outputs = np.array([e.decision_function(scale(z)) for e in theirs.estimators_]).T
    np.testing.assert_allclose(ours.decision_function(z), outputs, atol=5e-3)


def test_problems_of_one_sided_targets_are_constant_as_in_sklearn():
    settings = SETTINGS | {"code_size": 5.0}
    x, y = features(120, 12, 2, 5, 1.0)  # two classes: about half of ten columns are constant
    ours, (theirs, scale) = fit_ecoc_svm(x, y, settings), reference(x, y, settings)
    constant = (ours.code_book == ours.code_book[0]).all(0)
    assert constant.any()
    assert (ours.dual_coef[constant] == 0).all()
    assert np.array_equal(ours.intercept[constant], ours.code_book[0, constant])
    assert np.array_equal(ours.predict(x), theirs.predict(scale(x)))


def test_small_memory_changes_nothing():
    x, y = features(400, 20, 4, 3, 2.0)
    whole, blocks = fit_ecoc_svm(x, y, SETTINGS), fit_ecoc_svm(x, y, SETTINGS | {"memory_gb": 1e-4})
    assert np.array_equal(whole.predict(x), blocks.predict(x, memory_gb=1e-6))
    np.testing.assert_allclose(whole.decision_function(x), whole.decision_function(x, memory_gb=1e-6), atol=1e-10)


def test_only_support_vectors_are_kept_and_the_file_rebuilds_the_model(tmp_path):
    x, y = features(400, 20, 4, 3, 0.3)
    model = fit_ecoc_svm(x, y, SETTINGS)
    assert len(model.support_vectors) < len(x)
    model.write(tmp_path / "svm.h5", {"a": 1})
    again = EcocSvm.read(tmp_path / "svm.h5")
    assert np.array_equal(again.decision_function(x), model.decision_function(x))
    assert again.predict(x).dtype == model.predict(x).dtype


def test_bad_input_is_named():
    x, y = features(30, 10, 3, 0, 1.0)
    with pytest.raises(InputError, match="two are needed"):
        fit_ecoc_svm(x, np.zeros(30, int), SETTINGS)
    with pytest.raises(InputError, match="NaN"):
        fit_ecoc_svm(np.where(x > 0, x, np.nan), y, SETTINGS)


def test_the_job_never_imports_torch():
    scripts = Path(__file__).parents[2] / "workflow" / "scripts"
    code = "import sys, waferbench.svm, waferbench.scores, waferbench.job; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=scripts).returncode == 0
