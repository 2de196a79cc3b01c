"""Class names as file names."""

import pytest

from waferbench.base.errors import InputError
from waferbench.base.names import labels_by_protocol, labels_of, slug, slugs


@pytest.mark.parametrize(
    ("name", "label"),
    [("Edge-Ring", "edge-ring"), (" A  b/..", "a-b"), ("Überätzt", "uberatzt"), ("圆", "class-e59c86")],
)
def test_a_label_names_a_file(name, label):
    assert slug(name) == label


def test_labels_keep_the_order_of_the_classes():
    names = ["Loc", "Center", "Edge-Ring"]
    assert labels_of(names) == ["loc", "center", "edge-ring"] == list(slugs(names).values())
    assert labels_by_protocol({"cv5": names, "nine": [*names, "none"]}) == {
        "cv5": labels_of(names),
        "nine": [*labels_of(names), "none"],
    }


def test_two_names_of_one_label_are_named():
    with pytest.raises(InputError, match=r"dataset\.classes: 'A b' and 'a-B' both become 'a-b'; rename one"):
        labels_of(["A b", "a-B"])
