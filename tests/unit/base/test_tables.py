"""The columns of a study's tables."""

from waferbench.base.names import labels_of
from waferbench.base.tables import (
    CELL,
    CLOSEST,
    COUNTS,
    GRID_CELL,
    INJECTION,
    MEASURES,
    RUN,
    SAMPLES,
    TABLES,
    WAFERS,
    probabilities,
    probability,
)

DECLARED = {**TABLES, "wafers": WAFERS, "injection": INJECTION, "closest": CLOSEST}
GROUPS = (RUN, GRID_CELL, CELL, SAMPLES)


def test_no_column_stands_twice():
    for name, columns in {**DECLARED, "measures": MEASURES, "counts": COUNTS}.items():
        assert len(set(columns)) == len(columns), name


def test_a_run_is_told_whole_and_first():
    for name, columns in DECLARED.items():
        if "seed" in columns:
            assert columns[:3] == ("protocol", "seed", "replicate") == RUN, name
        assert ("replicate" in columns) == ("seed" in columns), name


def test_what_a_row_is_about_stands_before_what_is_said_of_it():
    for group in GROUPS:
        assert group[:3] == RUN
    for name, columns in DECLARED.items():
        for group in GROUPS:
            told = set(group) <= set(columns) and "wafer_id" not in columns
            if told and not (group == SAMPLES and "condition" in columns):  # there the source is that of the condition
                assert columns[: len(group)] == group, name


def test_probabilities_are_named_by_the_class():
    labels = labels_of(["Edge-Ring", "none"])
    assert probabilities(labels) == ["p_edge-ring", "p_none"] == [probability(label) for label in labels]
