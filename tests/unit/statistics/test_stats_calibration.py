"""Temperature scaling and calibration error."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from waferbench.base.errors import InputError
from waferbench.base.tables import COUNTS, TABLES, probabilities
from waferbench.classification.predictions import prediction_table
from waferbench.statistics.calibration import (
    calibrate,
    choose_temperature,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    scale,
)
from waferbench.statistics.probabilities import softmax_of

LABELS = ["center", "donut", "scratch"]


def drawn(n, temperature, seed=0):
    """Probabilities that are right once divided by ``temperature``, and classes drawn from the right ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 3))
    y = (softmax(logits, axis=1).cumsum(1) > rng.random((n, 1))).argmax(1)
    return softmax(logits * temperature, axis=1).astype(np.float32), y


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_found(temperature):
    p, y = drawn(20000, temperature)
    assert fit_temperature(p, y) == pytest.approx(temperature, rel=0.05)


def test_scaling_is_dividing_the_logits():
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))
    assert scale(softmax(logits, axis=1), 2.5) == pytest.approx(softmax(logits / 2.5, axis=1))


def test_probabilities_of_zero_and_perfect_ones_do_no_harm():
    p = np.eye(3, dtype=np.float32)
    assert np.isfinite(scale(p, 2.0)).all() and fit_temperature(p, np.arange(3)) > 0
    assert fit_temperature(p, np.array([1, 2, 0])) == pytest.approx(20, rel=0.01)  # always wrong: as unsure as allowed
    assert np.isfinite(negative_log_likelihood(p, np.array([1, 2, 0])))
    with pytest.raises(InputError, match="no validation wafer"):
        fit_temperature(p[:0], np.zeros(0, int))


def test_probabilities_that_are_not_finite_are_refused():
    p, y = drawn(60, 1.0)
    p[:2, 1] = np.nan
    with pytest.raises(InputError, match="2 of 60 validation wafers are not finite"):
        fit_temperature(p, y)
    with pytest.raises(InputError, match="cv5/1/0/0/net/real: calibration: probabilities of 2"):
        choose_temperature(p, y, "cv5/1/0/0/net/real")
    validation, test = cell(0)
    validation.loc[3, "p_scratch"] = np.inf
    with pytest.raises(InputError, match="cv5/1/0/0/net/real: probabilities of 1 of 400 wafers are not finite"):
        calibrate([(validation, test)], {"cv5": LABELS})


def test_too_few_wafers_and_the_ends_of_the_range_leave_probabilities_alone(capsys):
    p, y = drawn(50, 3.0)
    assert choose_temperature(p, y, "a cell") == fit_temperature(p, y) != 1 and capsys.readouterr().err == ""
    assert choose_temperature(p[:49], y[:49], "a cell") == 1
    assert "calibration of a cell: 49 validation wafers, fewer than 50" in capsys.readouterr().err
    sure = scale(np.eye(3)[np.arange(60) % 3], 40.0)
    for right in (np.arange(60) % 3, (np.arange(60) + 1) % 3):  # never wrong, always wrong
        assert choose_temperature(sure, right, "a cell") == 1
        assert "calibration of a cell: the best temperature is at an end of the range" in capsys.readouterr().err


def test_calibration_error_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    y = np.array([0, 1, 1, 1])
    # Two bins: (0.9, accuracy 1/2) and (0.6, accuracy 1).
    assert expected_calibration_error(p, y) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    table = reliability(p, y)
    assert table["n"].tolist() == [2, 2] and table["correct"].tolist() == [2, 1]
    assert ((table["bin_low"] < [0.6, 0.9]) & (table["bin_high"] >= [0.6, 0.9])).all()
    assert reliability(np.array([[1.0, 0.0]]), np.array([0]))["bin_high"].tolist() == [1.0]


def cell(fold, seed=1, n=400, temperature=3.0):
    names = {"protocol": "cv5", "seed": seed, "replicate": 0, "fold": fold, "backbone": "net", "condition": "real"}
    names |= dict.fromkeys(COUNTS, 9)
    tables = []
    for part in (0, 1):
        p, y = drawn(n, temperature, seed=100 * fold + 10 * seed + part)
        ids = np.array([f"w{i}" for i in range(n)])
        tables.append(prediction_table(names, "softmax", ids, y, p.argmax(1), LABELS, p))
    return tuple(tables)


def test_overconfident_cells_are_mended_and_bins_are_pooled():
    table, bins = calibrate([cell(0), cell(1), cell(0, seed=2)], {"cv5": LABELS})
    assert tuple(table) == TABLES["calibration"] and tuple(bins) == TABLES["reliability"]
    assert len(table) == 3 and (table["n_val"] == 400).all() and table["temperature"].between(2, 4.5).all()
    assert (table["ece_after"] < table["ece_before"]).all() and (table["nll_after"] < table["nll_before"]).all()
    assert bins.groupby("stage")["n"].sum().to_dict() == {"before": 1200, "after": 1200}
    inside = (bins["confidence"] > bins["bin_low"] - 1e-9) & (bins["confidence"] <= bins["bin_high"] + 1e-9)
    assert inside.all() and bins["accuracy"].between(0, 1).all()
    # One pooled bin, counted again from the rows.
    rows = pd.concat([test for _, test in (cell(0), cell(1), cell(0, seed=2))])
    top = rows[probabilities(LABELS)].max(axis=1).astype(float)
    last = bins[(bins["stage"] == "before")].iloc[-1]
    chosen = top > 14 / 15
    assert last["n"] == chosen.sum() and last["confidence"] == pytest.approx(top[chosen].mean())
    assert last["accuracy"] == pytest.approx((rows["y_true"] == rows["y_pred"])[chosen].mean())


def test_tables_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="validation wafers of cell"):
        calibrate([(cell(0)[0], cell(1)[1])], {"cv5": LABELS})
    with pytest.raises(InputError, match="'cv5' is not one"):
        calibrate([cell(0)], {"lot_cv5": LABELS})


def test_other_classes_are_named():
    table = cell(0)[1]
    with pytest.raises(InputError, match="probabilities p_center, p_donut, p_scratch, expected p_center to p_none"):
        softmax_of(table, [*LABELS, "none"])
    with pytest.raises(InputError, match="expected p_center to p_loc for the classes center, donut, loc"):
        softmax_of(table, ["center", "donut", "loc"])
    with pytest.raises(InputError, match="probabilities none"):
        softmax_of(table.drop(columns=probabilities(LABELS)), LABELS)
    with pytest.raises(InputError, match="'scratches' is not one"):
        softmax_of(table.assign(y_true=table["y_true"].replace("scratch", "scratches")), LABELS)


def test_probabilities_are_known_by_name():
    table = cell(0)[1]
    (p, y), (turned, again) = softmax_of(table, LABELS), softmax_of(table, LABELS[::-1])
    assert (p == turned[:, ::-1]).all() and (y == 2 - again).all()
