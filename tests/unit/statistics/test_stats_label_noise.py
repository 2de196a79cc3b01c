"""Suspicious labels."""

import numpy as np
import pytest

from waferbench.base.tables import COUNTS, TABLES
from waferbench.classification.predictions import prediction_table
from waferbench.statistics.label_noise import audit, audit_labels

LABELS = ["center", "donut", "scratch", "loc"]
SWAPPED = [3, 50, 77]  # wafers given the next class's label


def world(n=120, classes=(0, 1, 2, 3), seed=0):
    """True classes, given labels with three wrong ones, and probabilities that know the truth."""
    rng = np.random.default_rng(seed)
    y = np.asarray(classes)[np.arange(n) % len(classes)]
    given = y.copy()
    given[SWAPPED] = np.asarray(classes)[(np.array(SWAPPED) + 1) % len(classes)]
    p = rng.dirichlet(np.ones(4), n) * 0.2 + 0.8 * np.eye(4)[y]
    return y, given, p


def cells(conditions=("real_aug",), backbones=("a", "b"), seeds=(1,), **options):
    for condition in conditions:
        for k, (backbone, seed) in enumerate((b, s) for b in backbones for s in seeds):
            y, given, p = world(seed=k, **options)
            if condition != "real_aug":
                p = np.roll(p, 1, axis=1)  # would find every label wrong
            for fold in (0, 1):
                names = {"protocol": "cv5", "seed": seed, "replicate": 0, "fold": fold}
                names |= {"backbone": backbone, "condition": condition}
                names |= dict.fromkeys(COUNTS, 9)
                at = np.arange(len(y)) % 2 == fold
                ids = np.array([f"w{i:03d}" for i in range(len(y))])[at]
                yield prediction_table(names, "softmax", ids, given[at], p[at].argmax(1), LABELS, p[at])


def test_wrong_labels_come_first_with_the_right_one_suggested():
    table = audit_labels(cells(("real_aug", "gan"), seeds=(1, 2)), {"cv5": LABELS}, "real_aug")
    assert tuple(table) == TABLES["label_noise"]
    assert len(table) == 120 and table["rank"].tolist() == list(range(1, 121))
    first = table.head(3)
    assert set(first["wafer_id"]) == {f"w{i:03d}" for i in SWAPPED} and first["is_issue"].all()
    truth = world()[0]
    assert [LABELS.index(label) for label in first["suggested"]] == [truth[int(w[1:])] for w in first["wafer_id"]]
    assert table["quality"].is_monotonic_increasing and table["quality"].between(0, 1).all()
    assert (first["quality"] < 0.5).all() and (table["quality"][3:] > 0.5).all() and not table["is_issue"][3:].any()
    assert (table["n_models"] == 4).all() and set(table["condition"]) == {"real_aug"}


def test_probabilities_are_means_over_networks():
    table = audit_labels(cells(), {"cv5": LABELS}, "real_aug").set_index("wafer_id")
    ps = [world(seed=k)[2] for k in range(2)]
    given = world()[1]
    assert table.loc["w010", "p_label"] == pytest.approx((ps[0][10, given[10]] + ps[1][10, given[10]]) / 2)


def test_absent_classes_are_left_out():
    _, given, p = world(classes=(0, 1, 3))
    table = audit(p, given, LABELS)
    assert set(table.nsmallest(3, "quality").index) == set(SWAPPED) and "scratch" not in set(table["suggested"])
    alone = audit(p[:5], np.zeros(5, int), LABELS)
    assert not alone["is_issue"].any() and (alone["quality"] == 1).all()


def test_no_such_condition_leaves_an_empty_table():
    table = audit_labels(cells(), {"cv5": LABELS}, "real")
    assert table.empty and tuple(table) == TABLES["label_noise"]
