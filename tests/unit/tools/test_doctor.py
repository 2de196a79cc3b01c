"""What the doctor finds, and what it says to do about it."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from helpers.sbatch import put_sbatch
from waferbench.base.artifacts import write_h5, write_json, write_table
from waferbench.base.errors import InputError
from waferbench.base.files import digest
from waferbench.base.seals import STORE
from waferbench.config.study import Dataset, Simulated
from waferbench.config.synthesis.settings import SynthesisSettings
from waferbench.engine.running import mark
from waferbench.engine.store import Store
from waferbench.tools.doctor import OK, PROBLEM, WARNING, Finding, cluster, examine, machine, study, table
from waferbench.tools.doctor.cluster import Executor
from waferbench.tools.doctor.visit import visit
from waferbench.tracks import Track
from waferbench.tracks.synthesis import examine as examine_synthesis
from waferbench.tracks.synthesis import study_size

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

    found = examine([("GPU", broken), ("lock", lambda: [Finding(OK, "lock", "none")])])
    assert levels(found) == [WARNING, OK] and "no torch" in found[0].found


def test_the_doctor_and_the_tracks_need_no_package_but_those_of_the_settings_to_begin():
    code = "import sys; sys.path.insert(0, 'workflow/scripts'); import waferbench.tools.doctor.visit;"
    code += "from waferbench.tracks import all_tracks; all_tracks();"
    code += "print([m for m in ('numpy', 'pandas', 'h5py', 'torch', 'psutil') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "[]"


def a_track(check) -> Track:
    return Track(
        name="some", target="some", question="?", settings=SynthesisSettings, page="some.html",
        doctor=lambda settings: {"its topic": lambda: check(settings)},
    )  # fmt: skip


def test_a_visit_makes_the_checks_of_every_track_and_fails_where_one_finds_a_problem(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings, target = SynthesisSettings(study="s"), tmp_path / "s/doctor.txt"
    fine = a_track(lambda settings: [Finding(OK, "its topic", f"study {settings.study}")])
    elsewhere = Executor("some-cluster")
    text = visit(settings, [fine, fine], {"ingest": 1}, target, elsewhere)
    assert text == target.read_text() and text.count("study s") == 2 and "sent by some-cluster" in text
    assert "GPU" not in [line.split()[1] for line in text.splitlines() if line], "of the machine that sends jobs"
    bad = a_track(lambda settings: [Finding(PROBLEM, "its topic", "nothing there", "put it there")])
    with pytest.raises(InputError, match="1 problem"):
        visit(settings, [fine, bad], {"ingest": 1}, target, elsewhere)
    assert "nothing there" in target.read_text()


def test_a_rule_that_claims_more_memory_than_there_is_is_named():
    total, _ = machine.memory()
    (finding,) = machine.check_memory({"fit_svm": total + 1, "ingest": 1})
    assert finding.level == WARNING and "fit_svm" in finding.found and "memory_gb" in finding.advice
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


def command(folder, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_slurm_is_asked_for_what_the_profile_says(tmp_path, monkeypatch):
    def check(**resources) -> list[Finding]:
        return list(cluster.check_cluster(Executor("slurm", {"mem_mb": 1, **resources})))

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    command(tmp_path, "sinfo", "#!/bin/sh\necho gpu up\n")
    command(tmp_path, "sbatch", "#!/bin/sh\n")
    found = check(slurm_partition="gpu")
    assert levels(found) == [OK, WARNING, OK] and "slurm_account" in found[1].found
    put_sbatch(tmp_path)
    found = check(slurm_partition="gpu")[-1]
    assert found.level == WARNING and "--gpus=1" in found.found and "gpu=0" in found.advice
    found = check(slurm_partition="nowhere", slurm_account="lab")[-1]
    assert found.level == PROBLEM and "Invalid partition" in found.found and "slurm_partition" in found.advice
    command(tmp_path, "sinfo", "#!/bin/sh\necho no controller >&2; exit 1\n")
    found = check()[-1]
    assert (found.level, found.found) == (PROBLEM, "sinfo fails: no controller")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert check()[-1].level == PROBLEM


def test_the_commands_of_another_scheduler_are_looked_for(tmp_path, monkeypatch):
    command(tmp_path, "pbs.sh", "#!/bin/sh\n")
    executor = Executor("cluster-generic", submit=f"{tmp_path}/pbs.sh submit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = list(cluster.check_cluster(executor))
    assert levels(found) == [OK, PROBLEM] and "qsub, qstat: no such command" in found[-1].found
    for name in ("qsub", "qstat"):
        command(tmp_path, name, "#!/bin/sh\n")
    assert levels(cluster.check_cluster(executor)) == [OK, OK]


def test_without_a_cluster_jobs_run_here():
    assert levels(cluster.check_cluster(Executor())) == [OK]


def test_wafers_are_there_and_readable(tmp_path):
    file = tmp_path / "wafers.npz"
    dataset = Dataset(source="npz", path=str(file))
    assert levels(study.check_data(dataset, tmp_path)) == [PROBLEM]
    file.touch()
    assert [f.found for f in study.check_data(dataset, tmp_path)] == [f"{file} is empty"]
    file.write_bytes(b"x" * 2500)
    assert [f.found for f in study.check_data(dataset, tmp_path)] == [f"{file}: 2,500 bytes"]
    simulated = Dataset(simulated=Simulated(counts={"Donut": 3}))
    assert [f.found for f in study.check_data(simulated, tmp_path)] == ["simulated: 3"]


def test_data_that_changed_since_they_were_read_are_named(tmp_path):
    file, store = tmp_path / "wafers.npz", tmp_path / "data/wafers.h5"
    file.write_bytes(b"some wafers")
    write_h5(store, {"flat": np.zeros(3, np.uint8)}, {"inputs": {"data": digest(file)}})
    dataset = Dataset(source="npz", path=str(file))
    assert levels(study.check_data(dataset, tmp_path)) == [OK, OK]
    file.write_bytes(b"other wafers")
    assert levels(study.check_data(dataset, tmp_path)) == [OK, WARNING]


def synthesis(**given) -> SynthesisSettings:
    """The study of one small network and real wafers alone, which needs no weights."""
    return SynthesisSettings(**{"backbones": ("test_resnet.r160_in1k",), "conditions": ("real",), **given})


def weights(settings: SynthesisSettings) -> list[Finding]:
    return list(examine_synthesis(settings)["weights"]())


def test_missing_weights_are_a_problem_unless_they_may_be_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    given = {"backbones": ("test_resnet.r160_in1k", "convnextv2_tiny.fcmae_ft_in22k_in1k")}
    plain, missing = weights(synthesis(**given))
    assert (plain.level, missing.level) == (OK, PROBLEM) and "weights.download=true" in missing.advice
    assert levels(weights(synthesis(**given, weights={"download": True}))) == [OK, WARNING]


def test_an_unknown_network_is_a_problem():
    define = {"backbones": {"resnet_fifty": {"pretrained": False}}}
    (finding,) = weights(synthesis(backbones=("resnet_fifty",), define=define))
    assert finding.level == PROBLEM and "resnet_fifty" in finding.found


def test_the_networks_of_features_and_diffusion_are_looked_at_where_they_are_used(tmp_path):
    define = {"sources": {"lora": {"kind": "db_sd_lora", "base": str(tmp_path / "nowhere")}}}
    define["conditions"] = {"real": {"source": "none"}, "lora": {"source": "lora"}}
    (_, features, base) = weights(synthesis(conditions=("real", "lora"), define=define))
    assert (features.level, base.level) == (OK, PROBLEM) and "tf_efficientnet_lite0" in features.found
    assert "nowhere" in base.found


def test_the_room_a_study_takes_grows_with_its_cells_and_samples(tmp_path):
    one = study_size(synthesis())
    assert one == 4 * study_size(synthesis(folds={"run": (0,)})) > 0
    more = synthesis(folds={"run": (0,)}, conditions=("real", "gan"), pool={"n_accepted": 1000, "max_raw": 1000})
    assert study_size(more) == 2 * one // 4 + 2 * 8 * 1000 * 32**2
    assert levels(examine_synthesis(synthesis())["disk"]()) == [OK]
    assert levels(study.check_room(1, "x", tmp_path / "not/yet")) == [OK]
    assert levels(study.check_room(10**18, "x", tmp_path)) == [WARNING]


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


def test_earlier_results_are_weighed_and_the_present_ones_are_not(tmp_path):
    assert [f.found for f in study.check_store(tmp_path)] == ["no room is taken by earlier results"]
    (tmp_path / "out.bin").write_bytes(bytes(2_000_000))
    store = Store(tmp_path / STORE, linked=True)
    store.add({}, [tmp_path / "out.bin"], {})
    assert [f.advice for f in study.check_store(tmp_path)] == [""]
    (tmp_path / "out.bin").unlink()
    (finding,) = study.check_store(tmp_path)
    assert finding.level == OK and finding.found.startswith("2.0 MB of earlier results")
    assert "snakemake clean_store --cores 1" in finding.advice
    store.clean()
    assert [f.advice for f in study.check_store(tmp_path)] == [""]


def test_a_lock_says_how_to_ask_beside_a_run_and_how_to_be_rid_of_it(tmp_path):
    assert list(study.check_leftovers(tmp_path, tmp_path)) == []
    (tmp_path / "0.input.lock").write_text("x\n")
    (finding,) = study.check_leftovers(tmp_path, tmp_path)
    assert finding.level == WARNING and "left by one that is gone" in finding.found
    assert "--nolock" in finding.advice and "--unlock" in finding.advice
    mark(tmp_path / "runs", "fit-0", "fit", 0)
    assert "held by a run, of fit-0 now" in next(study.check_leftovers(tmp_path, tmp_path)).found


def test_half_written_files_and_killed_jobs_are_left_over(tmp_path):
    part = tmp_path / ".scores.parquet.4194305.partial"
    part.touch()
    assert levels(study.check_leftovers(tmp_path)) == [], "it may be written at this moment"
    os.utime(part, (0, 0))
    marker = mark(tmp_path / "runs", "fit-0", "fit", 0)
    assert levels(study.check_leftovers(tmp_path)) == [WARNING]
    marker.write_text(marker.read_text().replace(f'"pid": {os.getpid()}', '"pid": 4194305'))
    assert levels(study.check_leftovers(tmp_path)) == [WARNING, WARNING]


def test_states_of_unfinished_trainings_are_counted(tmp_path):
    state = tmp_path / ".checkpoints/train_gan/abc/state.pt"
    state.parent.mkdir(parents=True)
    state.touch()
    (finding,) = study.check_leftovers(tmp_path)
    assert finding.level == OK and "1 states of unfinished trainings" in finding.found
