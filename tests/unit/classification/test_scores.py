"""Score tables from predictions."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from waferbench.base.errors import InputError
from waferbench.base.tables import PREDICTIONS, TABLES
from waferbench.classification.predictions import prediction_table
from waferbench.classification.scores import collect, macro_f1

LABELS = ["a", "b", "c"]


def cell(fold=0, condition="real", **changes):
    counts = {"n_train_real": 9, "n_train_synthetic": 4, "n_train_repeated": 0, "n_added": 4, "steps": 60}
    names = {"protocol": "cv5", "seed": 1, "replicate": 0, "fold": fold, "backbone": "net", "condition": condition}
    return names | counts | changes


def table(true, predicted, **changes):
    ids = np.array([f"w{i}" for i in range(len(true))])
    return prediction_table(cell(**changes), "softmax", ids, np.array(true), np.array(predicted), LABELS)


def test_scores_by_hand():
    # a: precision 2/3, recall 1, F1 4/5; b: 1, 1/2, 2/3; c: never seen, never predicted, 0.
    predictions, scores, per_class = collect([table([0, 0, 1, 1], [0, 0, 1, 0])], {"cv5": LABELS})
    row = scores.iloc[0]
    assert row["macro_f1"] == pytest.approx((4 / 5 + 2 / 3 + 0) / 3)
    assert (
        row["accuracy"] == 0.75
        and row["n_test"] == 4
        and row["n_train_synthetic"] == row["n_added"] == 4
        and row["steps"] == 60
    )
    by_label = per_class.set_index("label")
    assert by_label.loc["a", "precision"] == pytest.approx(2 / 3) and by_label.loc["b", "recall"] == 0.5
    assert list(by_label["support"]) == [2, 2, 0]
    assert list(predictions["y_true"]) == ["a", "a", "b", "b"]


def test_a_row_per_cell_and_order_of_the_cells_does_not_matter():
    cells = [table([0, 1, 2], [0, 1, 2], fold=f, condition=c) for f in (1, 0) for c in ("real", "gan")]
    forward, backward = collect(cells, {"cv5": LABELS}), collect(cells[::-1], {"cv5": LABELS})
    assert len(forward[1]) == 4 and (forward[1]["macro_f1"] == 1).all() and len(forward[2]) == 12
    for ours, theirs, name in zip(forward, backward, ("predictions", "scores", "per_class"), strict=True):
        assert ours.equals(theirs) and tuple(ours) == TABLES[name]


def test_probabilities_are_columns():
    p = np.array([[0.7, 0.2, 0.1]], np.float32)
    frame = prediction_table(cell(), "softmax", np.array(["w"]), np.array([0]), np.array([0]), LABELS, p)
    assert frame["p_b"].iloc[0] == pytest.approx(0.2)
    assert "p_b" not in collect([frame], {"cv5": LABELS})[0]


def test_the_spread_over_code_books_is_that_of_their_scores():
    ids, y = np.array([f"w{i}" for i in range(6)]), np.array([0, 0, 1, 1, 2, 2])
    books = np.array([[0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 2, 2], [1, 0, 1, 1, 2, 0]])
    svm = prediction_table(cell(), "ecoc_svm", ids, y, books[0], LABELS, by_book=books)
    predictions, scores, _ = collect([svm, table([0, 1, 2], [0, 1, 2])], {"cv5": LABELS})
    by_head = scores.set_index("head")["code_spread"]
    alone = [f1_score(y, called, average="macro") for called in books]
    assert by_head["ecoc_svm"] == pytest.approx(np.std(alone, ddof=1)) and by_head["softmax"] == 0
    assert tuple(predictions) == PREDICTIONS


def test_macro_f1_counts_a_class_that_is_neither_there_nor_called_as_zero():
    rng = np.random.default_rng(0)
    y, called = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    assert macro_f1(y, called, 4) == pytest.approx(f1_score(y, called, average="macro"))
    assert macro_f1(y, called, 5) == pytest.approx(f1_score(y, called, average="macro") * 4 / 5)


def test_doubled_and_unknown_are_errors():
    with pytest.raises(InputError, match="twice"):
        collect([table([0], [0]), table([0], [1])], {"cv5": LABELS})
    with pytest.raises(InputError, match="'c' is not one"):
        collect([table([2], [0])], {"cv5": ["a", "b"]})


def test_each_protocol_has_its_own_classes():
    nine = table([0, 1], [0, 1], protocol="nine_class_70_30")
    eight = prediction_table(cell(), "softmax", np.array(["w"]), np.array([0]), np.array([0]), LABELS[:2])
    scores = collect([nine, eight], {"cv5": LABELS[:2], "nine_class_70_30": LABELS})[1].set_index("protocol")[
        "macro_f1"
    ]
    assert scores["cv5"] == 0.5 and scores["nine_class_70_30"] == pytest.approx(2 / 3)
