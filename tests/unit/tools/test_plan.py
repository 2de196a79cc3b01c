"""What Snakemake's plans say, read from its own words."""

import pytest

from waferbench.base.errors import InputError
from waferbench.tools.plan import COLUMNS, Tally, planned_jobs, read_dag, read_summary

DAG = r"""digraph snakemake_dag {
    graph[bgcolor=white, margin=0];
	0[label = "all", color = "0.00 0.6 0.85", style="rounded"];
	1[label = "fit_svm\nfold: 0", color = "0.10 0.6 0.85", style="rounded,dashed"];
	2[label = "fit_svm\nfold: 1\nbackbone: a.b-c", color = "0.10 0.6 0.85", style="rounded"];
	3[label = "ingest", color = "0.38 0.6 0.85", style="rounded,dashed"];
	3 -> 1
	3 -> 2
	1 -> 0
	2 -> 0
}
"""


def test_jobs_are_counted_by_rule_in_the_order_of_the_work():
    assert read_dag(DAG, ["all"]) == [Tally("ingest", 1, 0), Tally("fit_svm", 2, 1)]


def test_a_graph_that_was_read_wrongly_is_an_error():
    with pytest.raises(InputError, match="cycle"):
        read_dag(DAG + "\t2 -> 3\n", ["all"])


def row(path, rule, log, inputs, plan, status="ok"):
    return "\t".join([path, "a date", rule, log, inputs, "-", status, plan])


def test_outputs_come_with_their_inputs_even_where_a_name_holds_a_comma(tmp_path):
    (tmp_path / "my,wafers.npz").touch()
    (tmp_path / "b").touch()
    lines = [
        COLUMNS,
        row("x", "fit", "x.log", "b,my,wafers.npz", "no update"),
        row("y", "fit", "-", "-", "update pending"),
    ]
    made, left = read_summary("\n".join(lines), tmp_path)
    assert made.inputs == ("b", "my,wafers.npz") and not made.pending and made.log == "x.log"
    assert left.pending and left.inputs is None and left.log is None


def test_a_job_without_inputs_has_none(tmp_path):
    (made,) = read_summary(f"{COLUMNS}\n{row('x', 'fit', 'x.log', '', 'no update')}", tmp_path)
    assert made.inputs == ()


def test_a_missing_file_that_nothing_needs_is_missing_all_the_same(tmp_path):
    (made,) = read_summary(f"{COLUMNS}\n{row('x', 'fit', 'x.log', '', 'no update', 'missing')}", tmp_path)
    assert made.missing and not made.pending


def test_a_summary_with_other_columns_is_an_error():
    with pytest.raises(InputError, match="columns"):
        read_summary("output_file\tdate\n")


def test_a_study_that_cannot_be_planned_says_why(tmp_path):
    with pytest.raises(InputError, match="cannot plan"):
        planned_jobs([], [], tmp_path)
