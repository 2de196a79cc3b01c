"""The mixed model: its components by analysis of variance, its coverage, and when there is none."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from waferbench.base.tables import TABLES
from waferbench.statistics.mixed import NOT_CONVERGED, fit_components, mixed_effects


def scores(differences, protocol="replicates4", seeds=(1,)):
    """differences: float (J, N), what the GAN adds in each fold and on each backbone."""
    rng = np.random.default_rng(9)
    rows = []
    for (fold, net), gap in np.ndenumerate(differences):
        base = 0.7 + 0.02 * net + 0.01 * rng.normal()
        for seed in seeds:
            for condition, value in {"real_aug": base, "gan": base + gap}.items():
                names = {"protocol": protocol, "seed": seed, "replicate": 0, "fold": fold, "backbone": f"net{net}"}
                names |= {"condition": condition, "head": "softmax", "n_test": 10, "n_train_real": 30}
                rows.append({**names, "macro_f1": value + 0.001 * seed})
    return pd.DataFrame(rows)


def draw(rng, folds=4, backbones=4, rest=1.0):
    shape = (folds, backbones)
    return rng.normal(0, rest, shape) + rng.normal(size=(folds, 1)) + rng.normal(size=(1, backbones))


def test_components_are_those_of_the_analysis_of_variance():
    d = 0.3 + draw(np.random.default_rng(0), 5, 6)  # whose three estimates are positive, so that both agree
    mean, folds, backbones = d.mean(), d.mean(1), d.mean(0)
    rest = ((d - folds[:, None] - backbones + mean) ** 2).sum() / (4 * 5)
    by_fold, by_backbone = folds.var(ddof=1) - rest / 6, backbones.var(ddof=1) - rest / 5
    assert min(by_fold, by_backbone) > 0
    found = fit_components(d)
    assert (found.mean, found.fold, found.backbone, found.rest) == pytest.approx(
        (mean, by_fold, by_backbone, rest), rel=1e-3
    )


def test_the_table():
    d = 0.05 + 0.01 * draw(np.random.default_rng(1))
    found = mixed_effects(scores(d, seeds=(1, 2)), "real_aug")
    assert tuple(found) == TABLES["mixed_model"] and len(found) == 1
    row = found.iloc[0]
    assert row["effect"] == pytest.approx(d.mean()) and row["low"] < row["effect"] < row["high"]
    assert (row["n_backbones"], row["n_folds"], row["verdict"]) == (4, 4, "")
    reach = row["high"] - row["effect"]
    error = np.sqrt(row["std_backbone"] ** 2 / 4 + row["std_fold"] ** 2 / 4 + row["std_rest"] ** 2 / 16)
    assert reach == pytest.approx(stats.t.ppf(0.975, 3) * error)
    folds = mixed_effects(scores(d, "cv5"), "real_aug").iloc[0]
    assert folds["high"] - folds["effect"] > reach, "folds share training wafers"


def test_the_interval_holds_the_truth_at_least_as_often_as_it_says():
    rng, inside = np.random.default_rng(3), 0
    for _ in range(40):
        row = mixed_effects(scores(0.05 + 0.01 * draw(rng)), "real_aug").iloc[0]
        inside += row["low"] <= 0.05 <= row["high"]
    assert inside >= 35


@pytest.mark.parametrize(
    "folds, backbones, verdict",
    [(4, 3, "3 backbones are too few: four are needed"), (3, 4, "3 folds are too few: four are needed")],
)
def test_too_few_levels_are_said(folds, backbones, verdict):
    found = mixed_effects(scores(draw(np.random.default_rng(0), folds, backbones)), "real_aug")
    assert found["verdict"].tolist() == [verdict] and found[["effect", "low", "p_value"]].isna().all(axis=None)


def test_a_fit_that_does_not_converge_is_said(monkeypatch):
    fit = MixedLM.fit
    monkeypatch.setattr(
        MixedLM, "fit", lambda self, **given: fit(self, **{**given, "method": ["powell"], "maxiter": 1})
    )
    d = 0.05 + 0.01 * draw(np.random.default_rng(1))
    assert fit_components(d) is None
    row = mixed_effects(scores(d), "real_aug").iloc[0]
    assert row["verdict"] == NOT_CONVERGED and row[["effect", "low", "p_value"]].isna().all()


def test_other_warnings_are_heard(monkeypatch):
    fit = MixedLM.fit

    def warned(self, **given):
        warnings.warn("a singular matrix", RuntimeWarning, stacklevel=1)
        return fit(self, **given)

    monkeypatch.setattr(MixedLM, "fit", warned)
    with pytest.warns(RuntimeWarning, match="a singular matrix") as heard:
        fit_components(np.outer([0.1, 0.2, 0.3, 0.5], np.ones(4)) + 0.001 * draw(np.random.default_rng(0)))
    assert not [one for one in heard if issubclass(one.category, ConvergenceWarning)]


def test_equal_scores_and_a_missing_baseline():
    found = mixed_effects(scores(np.full((4, 4), 0.05)), "real_aug").iloc[0]
    assert found["effect"] == pytest.approx(0.05) and np.isnan(found["p_value"])
    assert mixed_effects(scores(np.full((4, 4), 0.05)), "real").empty
