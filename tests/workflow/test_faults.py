"""Full disks, damaged files, locks, clocks and rights: each is named, nothing is lost, and the next run goes on."""

import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import Study, differing

pytestmark = pytest.mark.workflow

FOLDS = "results/tiny/duplicate_cv5/seed42/folds.parquet"
CELL = "results/tiny/duplicate_cv5/seed42/fold0/cells/test_resnet.r160_in1k/real"
FEATURES = f"{CELL}/features.h5"
SVM = f"{CELL}/svm.h5"
COMPUTE = ("--config", "set=store.reuse=false")  # what the store has would be back in a moment, and without room


@pytest.fixture
def study(finished: Study, tmp_path: Path) -> Study:
    return finished.copy(tmp_path / "study")


def started(output: str) -> Counter:
    lines = [line.split() for line in output.splitlines() if line.startswith(("rule ", "localrule "))]
    return Counter(line[1].rstrip(":") for line in lines) - Counter(["all"])


def keep_times(path: Path, content: bytes) -> None:
    """Change a file's content behind Snakemake's back."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_flipped_bit_is_named_by_the_job_that_reads_it_and_the_file_is_made_again(study: Study, finished: Study):
    path = study.folder / FEATURES
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    keep_times(path, bytes(content))
    assert study.planned() == {}, "Snakemake cannot see it"
    output = study.snakemake(SVM, "--forcerun", "fit_svm", "--allowed-rules", "fit_svm", expect=1)
    assert f"{FEATURES}: damaged: its content has sha256" in output and f"rm -r '{FEATURES}'" in output
    path.unlink()
    assert started(study.snakemake(FEATURES)) == {"train_classifier": 1}
    output = study.snakemake()
    assert not started(output).keys() & {"train_classifier", "train_gan", "train_lora", "make_folds", "ingest"}
    assert differing(study, finished) == []


def test_a_truncated_artifact_is_named_and_made_again(study: Study, finished: Study):
    path = study.folder / FOLDS
    path.write_bytes(path.read_bytes()[:-100])
    output = study.snakemake("results/tiny/audit.parquet", expect=1)
    assert f"{FOLDS}: damaged: its content has sha256" in output
    path.unlink()
    study.snakemake(FOLDS)
    output = study.snakemake()
    assert not started(output).keys() & {"train_classifier", "train_gan", "train_lora", "ingest"}
    assert differing(study, finished) == []


def test_two_runs_in_one_folder_do_not_mix(study: Study, finished: Study):
    shutil.rmtree(study.folder / CELL)
    first = study.start(SVM, *COMPUTE)
    until = time.monotonic() + 60
    while not list((study.folder / ".snakemake/locks").glob("*")):
        assert time.monotonic() < until
        time.sleep(0.05)
    output = study.snakemake(SVM, *COMPUTE, expect=1)
    assert "Directory cannot be locked" in output
    told, _ = first.communicate()
    assert first.returncode == 0, told
    assert differing(study, finished) == []


def test_a_clock_that_jumped_repeats_nothing(study: Study):
    jump = 90 * 24 * 3600
    for number, path in enumerate(sorted(study.results.rglob("*"))):
        if path.is_file():
            moment = path.stat().st_mtime + (jump if number % 2 else -jump)  # inputs newer than what was made of them
            os.utime(path, (moment, moment))
    assert study.planned() == {}
    condition = study.planned("--config", "set=conditions=[real,oracle,gan,lora,die_flow,oversample]")
    assert (condition["train_classifier"], condition["make_injection"]) == (1, 1) and "train_gan" not in condition


def in_a_small_disk(study: Study, script: str) -> str:
    """Run a shell script in the study's folder in a mount namespace of its own, where anybody may mount."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no mount namespace (unshare -rm)")
    run = ["unshare", "-rm", "bash", "-c", f"set -e; {script}"]
    done = subprocess.run(run, cwd=study.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return f"{done.stdout}\nrc={done.returncode}"


def call(study: Study, *arguments: str) -> str:
    return subprocess.list2cmdline(study.command(*arguments))


def used_kilobytes(study: Study) -> int:
    return int(subprocess.check_output(["du", "-sk", study.results]).split()[0])


def full_results(study: Study) -> str:
    """A script that moves the results to a disk with room for a log and no artifact; `kept` has them as they were."""
    mount = f"mount -t tmpfs -o size={used_kilobytes(study) + 300}k none results"
    return f"mv results kept; mkdir results; {mount}; cp -a kept/. results/;"


def test_a_full_disk_is_named_and_what_was_finished_stays(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    shutil.rmtree(study.folder / CELL)
    run = call(study, SVM, *COMPUTE)
    output = in_a_small_disk(
        study,
        f"{full_results(study)} {run} && exit 9; echo '--- more room';"
        f"mount -o remount,size={used_kilobytes(study) + 100_000}k none results; {run}; cp -a results/. kept/",
    )
    full, _, room = output.partition("--- more room")
    assert "No space left on device" in full and "free space" in full, output
    assert output.endswith("rc=0"), output
    assert set(started(room)) <= {"train_classifier", "fit_svm"}
    shutil.rmtree(study.folder / "results")
    (study.folder / "kept").rename(study.folder / "results")
    assert differing(study, finished) == []


def test_a_full_disk_stops_no_job_whose_outputs_the_store_has(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    shutil.rmtree(study.folder / CELL)
    output = in_a_small_disk(study, f"{full_results(study)} {call(study, SVM)}; cp -a results/. kept/")
    assert output.endswith("rc=0") and set(started(output)) == {"train_classifier", "fit_svm"}, output
    shutil.rmtree(study.folder / "results")
    (study.folder / "kept").rename(study.folder / "results")
    assert differing(study, finished) == []


def test_results_that_may_not_be_written_stop_the_run_and_lose_nothing(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    (study.folder / SVM).unlink()
    run = call(study, SVM)
    output = in_a_small_disk(
        study,
        f"mount --bind results results; mount -o remount,bind,ro results; {run} && exit 9;"
        f"mount -o remount,bind,rw results; echo '--- writable'; {run}",
    )
    refused, _, writable = output.partition("--- writable")
    assert "Write-protected output files" in refused and SVM in refused, output
    assert output.endswith("rc=0") and set(started(writable)) == {"fit_svm"}, output
    assert differing(study, finished) == []
