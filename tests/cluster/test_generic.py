"""Other schedulers: a stand-in of a few lines takes the jobs where LSF and PBS would."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from cluster.study import Study
from helpers.workflow_copy import ROOT

STAND_IN = """#!/bin/sh
# bsub and qsub: run the script, the last argument, behind the caller's back; keep the arguments and how it ended.
number=$$
printf '%s\\n' "$*" > {folder}/$number.arguments
for script; do :; done
(sh "$script" > {folder}/$number.log 2>&1; echo $? > {folder}/$number.ended) > /dev/null 2>&1 &
{answer}
"""
BJOBS = """#!/bin/sh
for job; do :; done
[ -e {folder}/$job.ended ] || { echo RUN; exit; }
[ "$(cat {folder}/$job.ended)" = 0 ] && echo DONE || echo EXIT
"""
QSTAT = """#!/bin/sh
[ -e {folder}/$2.ended ] || { echo '    job_state = R'; exit; }
printf '    job_state = F\\n    Exit_status = %s\\n' "$(cat {folder}/$2.ended)"
"""
ANSWERS = {"bsub": 'echo "Job <$number> is submitted to default queue <normal>."', "qsub": "echo $number"}


@pytest.fixture
def scheduler(tmp_path) -> Path:
    """A folder with stand-ins for the commands of LSF and PBS."""
    folder = tmp_path / "scheduler"
    folder.mkdir()
    scripts = {name: STAND_IN.replace("{answer}", answer) for name, answer in ANSWERS.items()}
    for name, text in (scripts | {"bjobs": BJOBS, "qstat": QSTAT}).items():
        (folder / name).write_text(text.replace("{folder}", str(folder)))
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def environment(scheduler) -> dict[str, str]:
    return os.environ | {"PATH": f"{scheduler}:{os.environ['PATH']}"}


@pytest.mark.workflow
def test_jobs_go_through_the_submit_command_of_the_generic_profile(tmp_path, scheduler, environment):
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    study = Study(tmp_path / "study", environment)
    study.send("results/tiny/duplicate_cv5/seed42/fold0/injection/real.parquet", profile="profiles/generic")
    sent = [path.read_text() for path in scheduler.glob("*.arguments")]
    assert sorted(line.split(" -r ")[0] for line in sent) == [
        "-n 1 -R span[hosts=1] rusage[mem=1000MB] -M 1000MB -W 30",  # the injection
        "-n 1 -R span[hosts=1] rusage[mem=6000MB] -M 6000MB -W 90",  # ingest, select and folds as one group
    ]


@pytest.mark.parametrize(
    ("kind", "gpus", "asks"),
    [("lsf", 2, "-gpu num=2"), ("lsf", 0, "-W 90"), ("pbs", 1, "mem=4000mb:ngpus=1"), ("pbs", 0, "walltime=5400")],
)
def test_a_submit_script_asks_for_gpus_where_a_job_has_some(tmp_path, scheduler, environment, kind, gpus, asks):
    def call(*arguments: str) -> str:
        command = [ROOT / f"profiles/generic/{kind}.sh", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    job = tmp_path / "job.sh"
    job.write_text("sleep 1; exit 3\n")
    number = call("submit", "4", "4000", "90", str(gpus), "-q", "night", str(job)).strip()
    asked = (scheduler / f"{number}.arguments").read_text()
    assert asks in asked and asked.endswith(f"-q night {job}\n")
    assert ("gpu" in asked) == bool(gpus)
    assert call("status", number) == "running\n"
    while not (scheduler / f"{number}.ended").exists():
        pass
    assert call("status", number) == "failed\n"


def test_profiles_of_clusters_agree_on_limits_and_groups_and_limit_no_gpu():
    slurm, generic, default = (
        yaml.safe_load((ROOT / f"profiles/{name}/profile.yaml").read_text()) for name in ("slurm", "generic", "default")
    )
    same = ("set-resources", "groups", "group-components", "jobs", "cores", "retries", "keep-going", "latency-wait")
    assert {key: slurm[key] for key in same} == {key: generic[key] for key in same}
    assert not {"resources"} & (slurm.keys() | generic.keys() | default.keys())
    assert not default.keys() & slurm.keys()  # profiles/default would win


@pytest.mark.parametrize(("kind", "command", "query"), [("lsf", "bsub", "bjobs"), ("pbs", "qsub", "qstat")])
def test_a_refused_job_ends_the_submit_script_and_a_forgotten_one_has_failed(
    tmp_path, scheduler, environment, kind, command, query
):
    script = ROOT / f"profiles/generic/{kind}.sh"
    (scheduler / command).write_text("#!/bin/sh\necho 'no such queue' >&2\nexit 255\n")
    call = [script, "submit", "1", "1000", "30", "0", "job.sh"]
    refused = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert refused.returncode != 0 and "no such queue" in refused.stderr and not refused.stdout.strip()
    words = {"bjobs": "Job <7> is not found", "qstat": "qstat: Unknown Job Id 7"}
    (scheduler / query).write_text(f"#!/bin/sh\necho '{words[query]}' >&2\nexit 255\n")
    asked = subprocess.run([script, "status", "7"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert asked.stdout == "failed\n"
