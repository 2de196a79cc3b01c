"""Other schedulers: a stand-in of a few lines takes the jobs where LSF and PBS would."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from cluster.study import Study
from helpers.workflow_copy import ROOT

# bsub and qsub: run the script behind the caller's back; keep the arguments, what GPUs it was told of, how it ended.
BSUB = """#!/bin/sh
for script; do :; done
printf '%s\\n' "$*" > {folder}/$$.arguments
(sh "$script" > {folder}/$$.log 2>&1; echo $? > {folder}/$$.ended) > /dev/null 2>&1 &
echo "Job <$$> is submitted to default queue <normal>."
"""
QSUB = """#!/bin/sh
cat > {folder}/$$.script
printf '%s\\n' "$*" > {folder}/$$.arguments
(PBS_JOBID=$$.server sh {folder}/$$.script > {folder}/$$.log 2>&1; touch {folder}/$$.ended) > /dev/null 2>&1 &
echo $$.server
"""
BJOBS = """#!/bin/sh
for job; do :; done
[ -e {folder}/$job.ended ] || { echo RUN; exit; }
[ "$(cat {folder}/$job.ended)" = 0 ] && echo DONE || echo EXIT
"""
QSTAT = """#!/bin/sh
[ -e {folder}/${2%.server}.ended ] || { echo '    job_state = R'; exit; }
echo "qstat: Unknown Job Id $2" >&2 # as PBS says of a job that has ended, where its history is off
exit 153
"""


COST = "results/tiny/backbones/test_resnet.r160_in1k.json"


@pytest.fixture
def scheduler(tmp_path) -> Path:
    """A folder with stand-ins for the commands of LSF and PBS."""
    folder = tmp_path / "scheduler"
    folder.mkdir()
    for name, text in {"bsub": BSUB, "qsub": QSUB, "bjobs": BJOBS, "qstat": QSTAT}.items():
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


@pytest.mark.workflow
def test_a_job_on_pbs_without_history_succeeds_and_claims_the_gpus_that_it_was_sent_with(
    tmp_path, scheduler, environment
):
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    study = Study(tmp_path / "study", environment)
    path = study.folder / "profiles/generic/profile.yaml"
    path.write_text(path.read_text().replace("lsf.sh", "pbs.sh").replace("bkill", "qdel"))
    study.send(COST, "--resources", "gpu=0", profile="profiles/generic")
    [sent] = [path.read_text() for path in scheduler.glob("*.arguments")]
    assert "-l select=1:ncpus=4:mem=" in sent and "ngpus" not in sent
    [record] = (study.folder / "results/tiny/runs").glob("*.json")
    assert json.loads(record.read_text())["gpus"] == 0


@pytest.mark.parametrize("ends", [0, 3])
@pytest.mark.parametrize(
    ("kind", "gpus", "asks"),
    [("lsf", 2, "-gpu num=2"), ("lsf", 0, "-W 90"), ("pbs", 1, "mem=4000mb:ngpus=1"), ("pbs", 0, "walltime=5400")],
)
def test_a_submit_script_asks_for_gpus_where_a_job_has_some(tmp_path, scheduler, environment, kind, gpus, asks, ends):
    def call(*arguments: str) -> str:
        command = [ROOT / f"profiles/generic/{kind}.sh", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    job = tmp_path / "a job.sh"
    job.write_text(f"#!/bin/sh\necho $WAFERBENCH_GPUS > {tmp_path}/told; sleep 1; exit {ends}\n")
    number = call("submit", "4", "4000", "90", str(gpus), "-q", "night", str(job)).strip()
    asked = (scheduler / f"{number.removesuffix('.server')}.arguments").read_text()
    last = f"-q night {job}\n" if kind == "lsf" else "-q night\n"  # qsub reads the script itself
    assert asks in asked and asked.endswith(last)
    assert ("gpu" in asked) == bool(gpus)
    assert call("status", number) == "running\n"
    until = time.monotonic() + 30
    while not (scheduler / f"{number.removesuffix('.server')}.ended").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert call("status", number) == ("failed\n" if ends else "success\n")
    assert (tmp_path / "told").read_text() == f"{gpus}\n"


def test_profiles_of_clusters_agree_on_limits_and_groups_and_limit_no_gpu():
    slurm, generic, default = (
        yaml.safe_load((ROOT / f"profiles/{name}/profile.yaml").read_text()) for name in ("slurm", "generic", "default")
    )
    same = ("group-components", "jobs", "cores", "retries", "keep-going", "latency-wait")
    assert not {"set-resources", "groups"} & (slurm.keys() | generic.keys()), "rules state them"
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
