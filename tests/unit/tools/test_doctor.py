"""What the doctor finds, and what it says to do about it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers.sbatch import put_sbatch
from waferbench.base.artifacts import write_h5, write_json, write_table
from waferbench.base.files import digest
from waferbench.engine.running import mark
from waferbench.tools.doctor import OK, PROBLEM, WARNING, Finding, cluster, examine, leftovers, machine, study, table

ROOT = Path(__file__).parents[3]


def levels(findings) -> list[str]:
    return [finding.level for finding in findings]


def test_the_table_fits_80_columns_and_counts():
    findings = [
        Finding(PROBLEM, "weights", "word " * 40, "do " * 60),
        Finding(WARNING, "lock", "x", "y"),
        Finding(OK, "a", ""),
    ]
    text = table(findings)
    assert max(map(len, text.splitlines())) <= 80 and text.endswith("1 problem, 1 warning\n")
    assert table(findings[2:]).endswith("all is well\n")


def test_a_check_that_fails_itself_keeps_no_other_from_its_word():
    def broken():
        raise ImportError("no torch")

    found = examine({"GPU": broken, "lock": lambda: [Finding(OK, "lock", "none")]})
    assert levels(found) == [WARNING, OK] and "no torch" in found[0].found


def test_the_doctor_needs_no_package_of_the_lock_but_yaml_to_begin():
    code = "import sys; sys.path.insert(0, 'workflow/scripts'); import waferbench.tools.doctor.visit;"
    code += "print([m for m in ('numpy', 'pandas', 'h5py', 'torch', 'psutil') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "[]"


def test_packages_are_held_against_the_lock(tmp_path):
    lock, wanted = tmp_path / "lock.txt", tmp_path / "wanted.in"
    wanted.write_text("asked_for\npyyaml\n")
    lock.write_text("asked-for==1\nbrought-along==2\npyyaml==0.1\nother==1 ; sys_platform == 'no system'\n")
    found = {finding.level: finding.found for finding in machine.check_packages(lock, wanted)}
    assert "asked-for" in found[PROBLEM]
    lock.write_text(f"pyyaml=={yaml.__version__}\n")
    assert levels(machine.check_packages(lock, wanted)) == [OK]
    lock.write_text("pyyaml==0.1\nbrought-along==2\n")
    assert levels(machine.check_packages(lock, wanted)) == [WARNING, WARNING]


def test_a_rule_that_claims_more_memory_than_there_is_is_named():
    total, _ = machine.memory()
    (finding,) = machine.check_memory({"fit_svm": total + 1, "ingest": 1})
    assert finding.level == WARNING and "fit_svm" in finding.found and "svm.memory_gb" in finding.advice
    assert levels(machine.check_memory({"ingest": 1})) == [OK]


def fake_torch(free: float, devices: int = 1) -> SimpleNamespace:
    """As much of torch as is asked, with GPUs of 80 GiB."""
    cuda = SimpleNamespace(
        is_available=lambda: devices > 0,
        device_count=lambda: devices,
        mem_get_info=lambda i: (free * 2**30, 80 * 2**30),
        get_device_name=lambda i: f"some GPU {i}",
    )
    return SimpleNamespace(cuda=cuda, __version__="2")


def test_gpus_are_named_with_their_memory(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch(free=79, devices=2))
    first, second = machine.check_gpu()
    assert first.level == OK and "some GPU 0, 80 GiB, 79 free" in first.found and "some GPU 1" in second.found
    monkeypatch.setitem(sys.modules, "torch", fake_torch(free=3))
    assert levels(machine.check_gpu()) == [WARNING], "somebody else uses it"


def test_a_gpu_that_torch_cannot_use_is_told_from_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch(free=0, devices=0))
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    assert levels(machine.check_gpu()) == [WARNING]
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    assert levels(machine.check_gpu()) == [OK]


SNAKEMAKE = ["python", "-m", "snakemake", "--profile"]


def check(folder) -> list:
    return list(cluster.check_cluster(cluster.profile_in_use([["python", "job.py"], [*SNAKEMAKE, str(folder)]])))


def command(folder, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_a_slurm_profile_is_read_and_the_scheduler_asked(tmp_path, monkeypatch):
    profile = tmp_path / "profile.yaml"
    profile.write_text("executor: slurm\ndefault-resources: [slurm_partition=gpu, mem_mb=1]\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    command(tmp_path, "sinfo", "#!/bin/sh\necho gpu up\n")
    command(tmp_path, "sbatch", "#!/bin/sh\n")
    found = check(tmp_path)
    assert levels(found) == [OK, WARNING, OK, OK] and "slurm_account" in found[1].found
    put_sbatch(tmp_path)
    found = check(tmp_path)[-1]
    assert found.level == WARNING and "--gpus=1" in found.found and "gpu=0" in found.advice
    profile.write_text("executor: slurm\ndefault-resources: {slurm_partition: nowhere, slurm_account: lab}\n")
    found = check(tmp_path)[-1]
    assert found.level == PROBLEM and "Invalid partition" in found.found and "slurm_partition" in found.advice
    command(tmp_path, "sinfo", "#!/bin/sh\necho no controller >&2; exit 1\n")
    assert check(tmp_path)[-1].found == "sinfo fails: no controller"
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert check(tmp_path)[-1].level == PROBLEM


def test_the_commands_of_another_scheduler_are_looked_for(tmp_path, monkeypatch):
    command(tmp_path, "pbs.sh", "#!/bin/sh\n")
    settings = f"executor: cluster-generic\ncluster-generic-submit-cmd: {tmp_path}/pbs.sh submit 1\n"
    (tmp_path / "profile.yaml").write_text(settings)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert levels(check(tmp_path)) == [OK, PROBLEM] and "qsub, qstat: no such command" in check(tmp_path)[-1].found
    for name in ("qsub", "qstat"):
        command(tmp_path, name, "#!/bin/sh\n")
    assert levels(check(tmp_path)) == [OK, OK]


def test_without_a_profile_jobs_run_here(monkeypatch):
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    profile = cluster.profile_in_use([["snakemake", "doctor"]])
    assert profile.executor == "local" and levels(cluster.check_cluster(profile)) == [OK]


def test_wafers_are_there_and_readable(tmp_path):
    file = tmp_path / "wafers.npz"
    dataset = {"source": "npz", "path": str(file)}
    assert levels(study.check_data(dataset, tmp_path)) == [PROBLEM]
    file.touch()
    assert [f.found for f in study.check_data(dataset, tmp_path)] == [f"{file} is empty"]
    file.write_bytes(b"x" * 2500)
    assert [f.found for f in study.check_data(dataset, tmp_path)] == [f"{file}: 1 file, 2 kB"]
    assert levels(study.check_data({"source": "simulated", "simulated": {"counts": {"Donut": 3}}}, tmp_path)) == [OK]


def test_data_that_changed_since_they_were_read_are_named(tmp_path):
    file, store = tmp_path / "wafers.npz", tmp_path / "data/wafers.h5"
    file.write_bytes(b"some wafers")
    write_h5(store, {"flat": np.zeros(3, np.uint8)}, {"inputs": {"data": digest(file)}})
    dataset = {"source": "npz", "path": str(file)}
    assert levels(study.check_data(dataset, tmp_path)) == [OK, OK]
    file.write_bytes(b"other wafers")
    assert levels(study.check_data(dataset, tmp_path)) == [OK, WARNING]


@pytest.fixture
def settings() -> dict:
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def test_missing_weights_are_a_problem_unless_they_may_be_fetched(settings):
    entry = {"manifest": {"tf_efficientnet_lite1": {"sources": [{"kind": "hub", "repo": "a/b", "file": "c"}]}}}
    settings |= {"backbones": ["test_resnet.r160_in1k"], "conditions": ["real"]}
    networks = {"tf_efficientnet_lite1": entry}
    plain, missing = study.check_weights(settings, networks, {"folder": "", "download": False})
    assert (plain.level, missing.level) == (OK, PROBLEM) and "weights.download=true" in missing.advice
    assert levels(study.check_weights(settings, networks, {"folder": "", "download": True})) == [OK, WARNING]


def test_an_unknown_network_is_a_problem(settings):
    settings["define"]["backbones"] = {"resnet_fifty": {"pretrained": False}}
    settings |= {"backbones": ["resnet_fifty"], "conditions": ["real"]}
    (finding,) = study.check_weights(settings, {}, {"folder": "", "download": False})
    assert finding.level == PROBLEM and "resnet_fifty" in finding.found


def test_the_room_a_study_takes_grows_with_its_cells_and_samples(settings, tmp_path):
    settings |= {"backbones": ["test_resnet.r160_in1k"], "conditions": ["real"]}
    one = study.study_size(settings)
    settings["folds"]["run"] = [0]
    assert one == 3 * study.study_size(settings) > 0
    settings["conditions"] = ["real", "gan"]
    settings["pool"]["n_accepted"] = 1000
    assert study.study_size(settings) == 2 * one // 3 + 2 * 8 * 1000 * 32**2
    assert levels(study.check_disk(settings, tmp_path / "results/none/yet")) == [OK]
    settings["pool"]["n_accepted"] = 10**15
    assert levels(study.check_disk(settings, tmp_path)) == [WARNING]


def test_a_torn_artifact_is_a_problem_and_others_are_fine(tmp_path):
    write_table(tmp_path / "good.parquet", pd.DataFrame({"a": [1]}))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/torn.json").write_text("{")
    assert levels(study.check_artifacts(tmp_path)) == [OK]
    (tmp_path / "torn.h5").write_bytes(b"half")
    (finding,) = study.check_artifacts(tmp_path)
    assert finding.level == PROBLEM and "torn.h5: damaged" in finding.found and "rm" in finding.advice


def test_an_artifact_that_was_changed_is_a_problem(tmp_path):
    path = tmp_path / "changed.json"
    write_json(path, {"a": 1})
    path.write_text(path.read_text().replace("1", "2", 1))
    (finding,) = study.check_artifacts(tmp_path)
    assert finding.level == PROBLEM and "changed.json: damaged" in finding.found and "delete it" in finding.advice


def test_a_lock_without_a_run_is_left_over(tmp_path, monkeypatch):
    assert levels(leftovers.check_lock(tmp_path)) == [OK]
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").write_text("x\n")
    (finding,) = leftovers.check_lock(tmp_path)
    assert "left by a run that is gone" in finding.found and "--unlock" in finding.advice
    monkeypatch.setattr(leftovers, "others_here", lambda folder: [7])
    assert "is running here (process 7)" in next(leftovers.check_lock(tmp_path)).found


def test_another_snakemake_in_the_folder_is_seen(tmp_path):
    (tmp_path / "snakemake.py").write_text("print(flush=True)\ninput()\n")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "snakemake.py"], cwd=tmp_path, start_new_session=True, **pipes)
    process.stdout.readline()
    mine = leftovers.others_here(tmp_path)
    other = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path;"
         "from waferbench.tools.doctor.leftovers import others_here; print(others_here(Path(sys.argv[2])))",
         str(ROOT / "workflow/scripts"), str(tmp_path)], capture_output=True, text=True)  # fmt: skip
    process.communicate(b"\n")
    assert mine == [], "a child of this process is no other run"
    assert json.loads(other.stdout) == [process.pid]


def test_half_written_files_and_killed_jobs_are_left_over(tmp_path):
    assert levels(leftovers.check_leftovers(tmp_path)) == [OK]
    part = tmp_path / ".scores.parquet.4194305.partial"
    part.touch()
    assert levels(leftovers.check_leftovers(tmp_path)) == [OK], "it may be written at this moment"
    os.utime(part, (0, 0))
    marker = mark(tmp_path / "runs", "fit-0", "fit", 0)
    assert levels(leftovers.check_leftovers(tmp_path)) == [WARNING]
    marker.write_text(marker.read_text().replace(f'"pid": {os.getpid()}', '"pid": 4194305'))
    assert levels(leftovers.check_leftovers(tmp_path)) == [WARNING, WARNING]


def test_states_of_unfinished_trainings_are_counted(tmp_path):
    state = tmp_path / ".checkpoints/train_gan/abc/state.pt"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"x" * 2**20)
    (finding,) = leftovers.check_leftovers(tmp_path)
    assert finding.level == OK and "1 states of unfinished trainings, 1 MB" in finding.found
