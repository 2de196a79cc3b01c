"""Ten thousand damaged files: each is read or refused, in bounded time and memory, and none ends its process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.fuzz_targets import INSIDE, OUTSIDE

ROOT = Path(__file__).parents[3]
SEED = "2026"
PLAN = {"outside": (OUTSIDE, 900), "inside": (INSIDE, 550)}
PEAK_MB = 2500  # with torch, which takes 800 of them


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, dict]:
    """What came of the damaged files, in two processes side by side."""
    environment = {"PYTHONPATH": f"{ROOT / 'workflow/scripts'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1", "PATH": ""}
    running = {}
    for name, (makers, count) in PLAN.items():
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-W", "ignore", "-m", "helpers.fuzz", SEED, str(count), str(folder)]
        with open(folder / "log", "w") as log:
            process = subprocess.Popen(
                [*command, *(make.__name__ for make in makers)], stdout=subprocess.PIPE, stderr=log, env=environment
            )
        running[name] = process, folder / "log"
    found = {}
    for name, (process, log) in running.items():
        output, _ = process.communicate(timeout=500)
        assert process.returncode == 0, f"{name}: a reader ended its process: {log.read_text()[-2000:]}"
        found[name] = json.loads(output)
    return found


def test_at_least_ten_thousand_inputs_were_read_or_refused(results):
    handled = [sum(result[what].values()) for result in results.values() for what in ("read", "refused")]
    assert sum(handled) >= 10_000


def test_every_reader_met_inputs_that_it_refuses_and_some_that_it_reads(results):
    for name, (makers, count) in PLAN.items():
        for make in makers:
            refused, read = (results[name][what].get(make.__name__, 0) for what in ("refused", "read"))
            assert refused > count // 4 and read > 0, (make.__name__, refused, read)


def test_nothing_but_a_clear_error_comes_of_a_damaged_file(results):
    finds = [find for result in results.values() for find in result["finds"]]
    assert not finds, "\n".join(finds[:5])


def test_memory_stays_within_its_bound(results):
    assert {name: result["peak_mb"] for name, result in results.items() if result["peak_mb"] > PEAK_MB} == {}
