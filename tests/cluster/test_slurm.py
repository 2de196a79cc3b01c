"""The workflow on a real Slurm: what its jobs get, and what it survives."""

import json
import time
from types import SimpleNamespace

import pandas as pd
import pytest

from cluster.study import Study
from waferbench.tracks import Track, all_tracks

pytestmark = [pytest.mark.workflow, pytest.mark.cluster]
SCORES = "results/tiny/scores.parquet"
FIELDS = ("JobID", "State", "Comment", "AllocTRES", "TimelimitRaw", "ReqMem", "Account", "Partition")
CELL = "results/tiny/duplicate_cv5/seed42/fold{}/cells/{}/real/checkpoint.safetensors"
FOLDS = "results/tiny/duplicate_cv5/seed7/folds.parquet"
NETWORKS = "results/tiny/networks.json"
COST = "results/tiny/backbones/test_resnet.r160_in1k.json"
TINY = ["byobnet", "convnext", "convnext2", "convnext3", "efficientnet", "mambaout", "nfnet", "vit"]  # timm's test_*


@pytest.fixture(scope="module")
def sent(slurm, tmp_path_factory) -> SimpleNamespace:
    """A study that ran to its end on the cluster: its training was cancelled once, its SVM preempted once."""
    study = Study(tmp_path_factory.mktemp("sent"), slurm.environment).at_site(partition="main", account="lab")
    run = study.start(SCORES)
    slurm.run("scancel", study.wait_for(lambda: slurm.running("train_classifier"), run)[0])
    preempted = study.wait_for(lambda: slurm.running("fit_svm"), run)[0]
    slurm.preempt(preempted)
    output = study.finish(run)
    jobs = [job for job in slurm.jobs(*FIELDS) if job["Comment"] != "urgent"]
    return SimpleNamespace(study=study, output=output, preempted=preempted, jobs=jobs)


def of_rule(sent: SimpleNamespace, rule: str) -> list[dict[str, str]]:
    return [job for job in sent.jobs if job["Comment"].startswith(f"rule_{rule}")]


def test_a_study_runs_to_its_end_in_the_partition_and_account_of_the_site(sent):
    assert set(pd.read_parquet(sent.study.folder / SCORES)["head"]) == {"softmax", "ecoc_svm"}
    assert {(job["Account"], job["Partition"]) for job in sent.jobs} == {("lab", "main")}


def test_its_scores_are_those_of_an_undisturbed_run_on_one_machine(sent, slurm, tmp_path):
    local = Study(tmp_path, slurm.environment)
    alike = ("--set-resources", "train_classifier:gpu=1")  # as many threads: without a GPU's claim it takes half
    local.run_here(SCORES, "--cores", "8", "--resources", "gpu=1", *alike)
    here, there = (pd.read_parquet(study.folder / SCORES) for study in (local, sent.study))
    assert len(here) == 2 and here["macro_f1"].between(0.05, 1).all()
    pd.testing.assert_frame_equal(here, there, check_exact=True)


def test_slurm_gives_a_gpu_to_training_and_to_nothing_else(sent):
    training = of_rule(sent, "train_classifier")
    assert ["gres/gpu=1" in job["AllocTRES"] for job in training] == [True, True]
    assert all("cpu=4" in job["AllocTRES"] for job in training)
    assert [job["Comment"] for job in sent.jobs if "gpu" in job["AllocTRES"] and job not in training] == []


def test_a_job_knows_the_gpu_that_it_got(sent):
    records = [json.loads(path.read_text()) for path in (sent.study.folder / "results/tiny/runs").glob("*.json")]
    gpus = {record["rule"]: record["gpus"] for record in records}
    assert gpus["train_classifier"] == 1 and {gpus[rule] for rule in gpus.keys() - {"train_classifier"}} == {0}


def test_a_cancelled_job_is_sent_again_with_more_time_and_memory(sent):
    first, second = of_rule(sent, "train_classifier")
    assert "Trying to restart" in sent.output
    assert (first["State"].split()[0], second["State"]) == ("CANCELLED", "COMPLETED")
    assert (first["TimelimitRaw"], second["TimelimitRaw"]) == ("240", "480")
    assert int(second["ReqMem"][:-1]) == 2 * int(first["ReqMem"][:-1])


def test_a_preempted_job_waits_for_another_turn_and_is_not_sent_twice(sent):
    fits = of_rule(sent, "fit_svm")
    assert {job["JobID"] for job in fits} == {sent.preempted}
    assert [job["State"] for job in fits] == ["PREEMPTED", "COMPLETED"]


def test_jobs_of_seconds_share_a_submission(sent):
    assert len(of_rule(sent, "data_ingest_make_folds_select_wafers")) == 1
    assert not of_rule(sent, "select_wafers")


def test_twenty_trainings_of_the_grid_run_side_by_side(slurm, sent):
    backbones = [f"test_{name}" for name in TINY]
    grid = [CELL.format(fold, backbone) for fold in (1, 2, 3) for backbone in backbones]
    known = " ".join(f"define.backbones.{name}={{pretrained: false}}" for name in backbones)
    used = f"backbones=[test_resnet.r160_in1k,{','.join(backbones)}]"
    run = sent.study.start(*grid, settings=f"conditions=[real] {known} {used}")
    try:
        sent.study.wait_for(lambda: len(slurm.running("train_classifier")) >= 20, run, seconds=300)
    finally:  # they need not end: that would take two processors minutes
        run.kill()
        slurm.run("scancel", "--user=root")
    run.wait()


def test_jobs_outlive_a_killed_snakemake_and_are_not_repeated(slurm, tmp_path):
    study = Study(tmp_path, slurm.environment).at_site(partition="main", account="lab")
    run = study.start(NETWORKS)
    [number] = study.wait_for(lambda: slurm.running("check_networks"), run)
    run.kill()
    run.wait()
    until = time.monotonic() + 120
    while slurm.running("check_networks"):
        assert time.monotonic() < until, "the job does not end"
        time.sleep(0.5)
    assert "Nothing to be done" in study.send(NETWORKS)
    since = [(job["JobID"], job["State"]) for job in slurm.jobs(*FIELDS) if int(job["JobID"]) >= int(number)]
    assert since == [(number, "COMPLETED")]


def test_without_partition_and_account_a_job_gets_the_defaults_or_slurms_refusal(slurm, tmp_path):
    study = Study(tmp_path, slurm.environment)
    study.send(NETWORKS)
    job = max(slurm.jobs(*FIELDS), key=lambda job: int(job["JobID"]))
    assert (job["State"], job["Partition"], job["Account"]) == ("COMPLETED", "main", "root")  # both of them Slurm's own
    slurm.run("scontrol", "update", "PartitionName=main", "Default=NO")
    try:
        output = study.send(COST, expect=1)
    finally:
        slurm.run("scontrol", "update", "PartitionName=main", "Default=YES")
    assert "Slurm refuses what" in output and "default partition" in output and "profiles/slurm/profile.yaml" in output


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"partition": "nowhere", "account": "lab"}, "--partition=nowhere"),
        ({"partition": "main", "account": "nobody"}, "Invalid account"),
    ],
)
def test_a_wrong_partition_or_account_is_said_before_anything_is_sent(slurm, tmp_path, wrong, said):
    output = Study(tmp_path, slurm.environment).at_site(**wrong).send(SCORES, expect=1)
    assert "Slurm refuses what" in output and said in output and "profiles/slurm/profile.yaml" in output
    assert "sbatch call" not in output


def test_what_no_node_can_serve_is_warned_of_and_rejected_in_slurms_words_and_costs_nothing(sent):
    before = (sent.study.folder / SCORES).stat().st_mtime_ns
    more = ("check_networks:mem_mb=99999999", "measure_backbone:slurm_partition=cpu", "make_folds:mem_mb=88888888")
    output = sent.study.send(NETWORKS, COST, FOLDS, "--retries", "0", "--set-resources", *more, expect=1)
    assert "group data: no node that is up can serve" in output and "--mem=88888888" in output
    assert "check_networks: no node that is up can serve" in output and "--mem=99999999" in output
    assert "measure_backbone: no node that is up can serve" in output and "--gpus=1" in output
    assert output.count("Batch job submission failed: Requested node configuration is not available") == 2
    assert (sent.study.folder / SCORES).stat().st_mtime_ns == before


def test_without_gpus_a_limit_of_none_lets_networks_run_on_processors(slurm, sent):
    sent.study.send(COST, "--resources", "gpu=0", "--set-resources", "measure_backbone:slurm_partition=cpu")
    cost = [job for job in slurm.jobs(*FIELDS) if job["Comment"].startswith("rule_measure_backbone")]
    done = [job for job in cost if job["State"] == "COMPLETED"]  # the one that was rejected is in the books, too
    assert [(job["Partition"], "gpu" in job["AllocTRES"]) for job in done] == [("cpu", False)]


@pytest.mark.parametrize("track", all_tracks(), ids=lambda track: track.name)
def test_every_track_ends_on_the_cluster(track: Track, sent):
    sent.study.send(track.target)
    assert (sent.study.folder / "results/tiny" / track.page).exists()
