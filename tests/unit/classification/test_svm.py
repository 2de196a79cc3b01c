"""The ECOC-SVM head against scikit-learn's own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.multiclass import OutputCodeClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from waferbench.base.errors import InputError
from waferbench.classification.svm.kernels import rbf_matrix, rbf_product
from waferbench.classification.svm.smo import TOLERANCE, _outputs, solve_in_rounds
from waferbench.classification.svm.svm import EcocSvm, fit_ecoc_svm, warn_of_unseen
from waferbench.config.classification import SvmSettings

SETTINGS = SvmSettings()


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
    machine = SVC(C=settings.C, gamma=settings.gamma)
    model = OutputCodeClassifier(machine, code_size=settings.code_size, random_state=settings.seed)
    model.fit(scaler.transform(x.astype(np.float64)), y)
    return model, lambda z: scaler.transform(z.astype(np.float64))


@pytest.mark.parametrize(("overlap", "seed", "k"), [(0.5, 0, 8), (2.0, 1, 8), (4.0, 2, 5), (1.0, 42, 3)])
def test_same_code_book_and_predictions_as_sklearn(overlap, seed, k):
    x, y = features(500, 40, k, seed, overlap)
    z, _ = features(300, 40, k, seed + 100, overlap)
    settings = SvmSettings(seed=seed)
    ours, (theirs, scale) = fit_ecoc_svm(x, y, settings, threads=2), reference(x, y, settings)
    assert np.array_equal(ours.code_book, theirs.code_book_)
    assert np.array_equal(ours.predict(z), theirs.predict(scale(z)))
    outputs = np.array([e.decision_function(scale(z)) for e in theirs.estimators_]).T
    np.testing.assert_allclose(ours.decision_function(z), outputs, atol=5e-3)


def test_several_code_books_average_their_distances(tmp_path):
    x, y = features(400, 20, 6, 3, 3.0)
    z, _ = features(200, 20, 6, 103, 3.0)
    alone = [fit_ecoc_svm(x, y, SvmSettings(seed=seed)) for seed in (5, 6, 7)]
    together = fit_ecoc_svm(x, y, SvmSettings(seed=5, code_seeds=3))
    together.write(tmp_path / "svm.h5")
    together = EcocSvm.read(tmp_path / "svm.h5")
    outputs = together.decision_function(z)
    assert outputs.shape == (200, 36) and together.code_book.shape == (6, 36)
    by_book = together.nearest_by_book(outputs)
    assert all(np.array_equal(called, model.predict(z)) for called, model in zip(by_book, alone, strict=True))
    distances = sum(
        np.linalg.norm(model.decision_function(z)[:, None] - model.code_book[None], axis=2) for model in alone
    )
    assert np.array_equal(together.predict(z), together.classes[distances.argmin(1)])
    assert (by_book[0] != by_book[1]).any() and (by_book[0] != together.predict(z)).any()


def test_problems_of_one_sided_targets_are_constant_as_in_sklearn():
    settings = SvmSettings(code_size=5)
    x, y = features(120, 12, 2, 5, 1.0)  # two classes: about half of ten columns are constant
    ours, (theirs, scale) = fit_ecoc_svm(x, y, settings), reference(x, y, settings)
    constant = (ours.code_book == ours.code_book[0]).all(0)
    assert constant.any()
    assert (ours.dual_coef[constant] == 0).all()
    assert np.array_equal(ours.intercept[constant], ours.code_book[0, constant])
    assert np.array_equal(ours.predict(x), theirs.predict(scale(x)))


def test_a_small_block_of_the_kernel_changes_no_output():
    x, y = features(400, 20, 4, 3, 2.0)
    model = fit_ecoc_svm(x, y, SETTINGS)
    np.testing.assert_allclose(model.decision_function(x), model.decision_function(x, memory_gb=1e-6), atol=1e-10)


def memory_for(wafers: int) -> float:
    return 8 * wafers**2 / 2**30


@pytest.mark.parametrize(("overlap", "seed", "k"), [(0.5, 0, 8), (1.0, 1, 8), (1.0, 42, 3)])
def test_predicts_as_sklearn_where_the_kernel_exceeds_the_memory(overlap, seed, k):
    x, y = features(900, 40, k, seed, overlap)
    z, _ = features(300, 40, k, seed + 100, overlap)
    settings = SETTINGS.model_copy(update={"seed": seed, "memory_gb": memory_for(500)})  # below what users may ask
    ours, (theirs, scale) = fit_ecoc_svm(x, y, settings), reference(x, y, settings)
    assert np.array_equal(ours.predict(z), theirs.predict(scale(z)))
    outputs = np.array([e.decision_function(scale(z)) for e in theirs.estimators_]).T
    np.testing.assert_allclose(ours.decision_function(z), outputs, atol=1e-2)


def violation(x, target, gamma, penalty, solution):
    """How far a solution is from libsvm's stopping rule: m - M over all rows."""
    support, coefficients, _ = solution
    score = target - _outputs(x, [solution], gamma, 1.0)[:, 0]
    alpha = np.zeros(len(x))
    alpha[support] = coefficients * target[support]
    assert alpha.min() >= 0 and alpha.max() <= penalty + 1e-9 and abs(coefficients.sum()) < 1e-9
    up = ((target > 0) & (alpha < penalty)) | ((target < 0) & (alpha > 0))
    down = ((target > 0) & (alpha > 0)) | ((target < 0) & (alpha < penalty))
    return score[up].max() - score[down].min()


@pytest.mark.parametrize("wafers", [300, 60])  # 60: fewer than the support vectors, libsvm computes rows itself
def test_working_sets_end_at_the_optimum_of_all_wafers(monkeypatch, wafers):
    x, y = features(700, 20, 2, 7, 1.5)
    target, seen = 2 * y - 1, []
    monkeypatch.setattr(
        "waferbench.classification.svm.smo.rbf_matrix",
        lambda rows, *rest: seen.append(len(rows)) or rbf_matrix(rows, *rest),
    )
    x = np.asarray(x[:, 3:] - x[:, 3:].mean(0), np.float64)
    gamma = 1 / (17 * x.var())
    (solution,) = solve_in_rounds(x, target[:, None], gamma, 10.0, memory_for(wafers))
    assert max(seen) <= wafers
    assert violation(x, target, gamma, 10.0, solution) < TOLERANCE + 1e-5  # the solver's own kernel is float32
    assert (len(solution[0]) > 60) and (len(seen) > 1 or wafers == 60)


def test_kernel_in_blocks_is_that_of_sklearn(monkeypatch):
    monkeypatch.setattr("waferbench.classification.svm.kernels.BLOCK", 32)
    monkeypatch.setattr("waferbench.classification.svm.kernels.TILE", 16)
    x, y = (np.random.default_rng(i).normal(size=(n, 9)) for i, n in enumerate((101, 45)))
    kernel, weights = rbf_matrix(x, 0.1), np.random.default_rng(2).normal(size=(45, 3))
    np.testing.assert_allclose(kernel, rbf_kernel(x, gamma=0.1), rtol=0, atol=1e-14)
    assert np.array_equal(kernel, kernel.T) and (kernel.diagonal() == 1).all()
    expected = rbf_kernel(x, y, gamma=0.1) @ weights
    np.testing.assert_allclose(rbf_product(x, y, weights, 0.1, 1e-6), expected, atol=1e-12)
    assert rbf_product(x, y[:0], weights[:0], 0.1, 1.0).tolist() == np.zeros((101, 3)).tolist()


def test_a_class_without_training_wafers_is_never_predicted_and_named(capsys):
    x, y = features(300, 20, 4, 3, 1.0)
    model = fit_ecoc_svm(x[y != 2], y[y != 2], SETTINGS)
    assert model.classes.tolist() == [0, 1, 3] and model.code_book.shape == (3, 6)
    assert set(model.predict(x).tolist()) <= {0, 1, 3}
    assert warn_of_unseen(y[y != 2], y, ["a", "b", "Scratch", "d"]) == ["Scratch"]
    assert "no training wafer of Scratch" in capsys.readouterr().err
    assert warn_of_unseen(y, y, "abcd") == [] and capsys.readouterr().err == ""


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
    scripts = Path(__file__).parents[3] / "workflow" / "scripts"
    code = """
import sys, numpy as np, waferbench.classification.scores, waferbench.engine.job
from waferbench.classification.svm.svm import fit_ecoc_svm
from waferbench.config.classification import SvmSettings
x = np.random.default_rng(0).normal(size=(40, 5))
fit_ecoc_svm(x, np.arange(40) % 3, SvmSettings()).predict(x)
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=scripts).returncode == 0
