"""What is left of a study, and how long it may take."""

import json

import pytest

from waferbench.engine.running import Running
from waferbench.tools.plan import Tally
from waferbench.tools.status import duration, gpu_hours, read_records, status_text, survey

NOW = 1_000_000.0
LONG = "train_classifier-duplicate_cv5-42-4-tiny_vit_21m_224.dist_in22k_ft_in1k-real_aug"


def records(tmp_path):
    runs = {"fit_svm": [(10, "cpu"), (20, "cpu"), (60, "cpu")], "train_classifier": [(3600, "some GPU")]}
    for rule, known in runs.items():
        for i, (seconds, device) in enumerate(known):
            record = {"rule": rule, "seconds": seconds, "startup_seconds": 2, "device": device}
            (tmp_path / f"{rule}-{i}.json").write_text(json.dumps(record))
    (tmp_path / "torn.json").write_text("{")
    return read_records(tmp_path)


def job(rule, started, name=LONG):
    return Running(name, rule, "host", 7, started, "", 1)


def test_the_parts_of_a_job_are_one_job_of_all_their_seconds(tmp_path):
    for part in "ab":
        record = {"rule": "fit_svm", "job": "fit_svm-0", "seconds": 3, "startup_seconds": 0.5, "device": "cpu"}
        (tmp_path / f"fit_svm-0-{part}.json").write_text(json.dumps(record))
    assert [(job["took"], job["whole"]) for job in read_records(tmp_path)["fit_svm"]] == [(7.0, True)]


def test_a_job_with_fetched_parts_says_nothing_of_how_long_one_takes_but_its_gpu_hours_count(tmp_path):
    for job, fetched in (("fit-0", ""), ("fit-1", "b"), ("fit-2", "ab")):
        for part in "ab":
            record = {"rule": "fit", "job": job, "seconds": 1800, "device": "some GPU"}
            record |= {"fetched": "2026-01-01T12:00:00+0000"} if part in fetched else {}
            (tmp_path / f"{job}-{part}.json").write_text(json.dumps(record))
    known = read_records(tmp_path)
    (stage,) = survey([Tally("fit", 4, 1)], known, [], NOW)
    assert (stage.seconds, stage.seconds_left, gpu_hours(known)) == (3600, 3600, 1.5)
    (tmp_path / "fit-0-a.json").unlink()
    (tmp_path / "fit-0-b.json").unlink()
    (stage,) = survey([Tally("fit", 4, 1)], read_records(tmp_path), [], NOW)
    assert (stage.seconds, stage.seconds_left) == (None, None)


def test_what_is_left_costs_the_median_of_finished_jobs_of_the_same_rule(tmp_path):
    tallies = [Tally("fit_svm", 8, 5), Tally("train_classifier", 4, 2)]
    alive = [job("train_classifier", NOW - 1000)]
    svm, classifier = survey(tallies, records(tmp_path), alive, NOW)
    assert (svm.done, svm.running, svm.left, svm.seconds, svm.gpu) == (3, 0, 5, 22, False)
    assert svm.seconds_left == 5 * 22
    assert (classifier.done, classifier.running, classifier.left, classifier.gpu) == (2, 1, 1, True)
    assert classifier.seconds_left == 3602 + (3602 - 1000)


def test_a_job_slower_than_its_like_has_no_negative_rest(tmp_path):
    (stage,) = survey([Tally("fit_svm", 1, 1)], records(tmp_path), [job("fit_svm", NOW - 500)], NOW)
    assert stage.seconds_left == 0


def test_a_rule_without_a_finished_job_has_no_estimate_and_the_text_says_so(tmp_path):
    known = records(tmp_path)
    stages = survey([Tally("train_gan", 5, 5), Tally("fit_svm", 8, 5)], known, [], NOW)
    assert stages[0].seconds_left is None
    text = status_text("results/s", stages, [], [], gpu_hours(known), NOW)
    assert "no job of these has finished yet:\n  train_gan (5)" in text and "about 2 min one job after" in text
    assert "GPU-hours: 1.0 used, about 0.0 left" in text


def test_gpu_hours_left_are_those_of_rules_that_ran_on_one(tmp_path):
    known = records(tmp_path)
    stages = survey([Tally("fit_svm", 8, 5), Tally("train_classifier", 4, 3)], known, [], NOW)
    assert "about 3.0 left" in status_text("results/s", stages, [], [], gpu_hours(known), NOW)


def test_jobs_at_a_time_share_the_time_left(tmp_path):
    alive = [job("train_classifier", NOW), job("train_classifier", NOW)]
    stages = survey([Tally("train_classifier", 4, 4)], records(tmp_path), alive, NOW)
    assert "about 2 h 00 min with 2 jobs at a time" in status_text("results/s", stages, alive, [], 0, NOW)


def test_the_text_fits_a_terminal_of_80_columns(tmp_path):
    tallies = [Tally(f"a_rule_of_a_long_name_{i}", 1000, 1000) for i in range(9)]
    stages = survey([*tallies, Tally("train_classifier", 960, 900)], records(tmp_path), [], NOW)
    jobs = [job("train_classifier", NOW - 1e5)]
    text = status_text("results/s", stages, jobs, jobs, 123456.7, NOW)
    assert max(map(len, text.splitlines())) <= 80 and text.count(LONG[:40]) == 2


def test_a_finished_study_says_so(tmp_path):
    stages = survey([Tally("fit_svm", 3, 0)], records(tmp_path), [], NOW)
    assert "Finished." in status_text("results/s", stages, [], [], 0, NOW)


@pytest.mark.parametrize(
    "seconds, text",
    [
        (None, "?"),
        (0, "0 s"),
        (59.4, "59 s"),
        (61, "1 min"),
        (3599, "1 h 00 min"),
        (9000, "2 h 30 min"),
        (2e5, "2 d 07 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds, text):
    assert duration(seconds) == text
