"""What is asked of Slurm before the first job, with a stand-in for its sbatch; tests/cluster asks a real one."""

import os

import pytest

from helpers.sbatch import put_sbatch
from waferbench.base.errors import InputError
from waferbench.engine.slurm import check_requests


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return put_sbatch(tmp_path)


def test_each_distinct_request_is_shown_once_and_without_what_is_not_set(asked):
    jobs = [("fit_svm", {"mem_mb": 5000, "cpus": 4, "gpu": 0, "slurm_partition": "main"})] * 3
    assert check_requests(jobs) == []
    assert asked.read_text() == "--test-only --partition=main --mem=5000 --cpus-per-task=4 --wrap=true\n"


def test_what_no_node_can_serve_is_named_with_its_rule(asked):
    assert check_requests([("train_gan", {"gpu": 1})]) == ["train_gan: no node that is up can serve --gpus=1"]


def test_a_refused_partition_is_an_error_that_says_what_to_set(asked):
    with pytest.raises(InputError, match=r"what ingest asks for .*nowhere.*Invalid partition.*slurm_partition"):
        check_requests([("ingest", {"slurm_partition": "nowhere"})])


def test_a_user_with_all_the_jobs_that_a_site_allows_may_start_another_study(asked):
    [line] = check_requests([("ingest", {"qos": "busy", "mem_mb": 1000})])
    assert line.startswith("ingest: Slurm says of --qos=busy --mem=1000: ") and "submit limit" in line


def test_what_a_site_adds_is_shown_too_and_where_partitions_come_later_a_refusal_is_a_warning(asked):
    jobs = [("ingest", {"slurm_partition": "nowhere", "clusters": "north", "slurm_extra": "--exclude='node 1' -x 2"})]
    [line] = check_requests(jobs, more=["--reservation=ours"], final=False)
    assert line.startswith("ingest: Slurm says of") and "Invalid partition" in line
    expected = "--test-only --reservation=ours --partition=nowhere --clusters=north --exclude=node 1 -x 2 --wrap=true\n"
    assert asked.read_text() == expected
