"""The command that runs all benchmarks keeps what was measured; the page shows the rows that are kept."""

import csv
import importlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FIGURE = "from common import figure\nfigure('speed', 30.0, 'wafers/s', 10.0, 'a loop')\nfigure('peak', 5.0, 'MB')\n"


def wait_for(happened) -> None:
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.05)


def ended(pid: str) -> bool:
    """Whether a process is gone, or dead with nobody who asks after it."""
    state = Path("/proc", pid, "stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture(scope="module")
def run():
    """The module of the command, with its folder on the path as when it is called."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("run")
        for name in ("run", "common", "page", "generators"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def page(run):
    return importlib.import_module("page")


@pytest.fixture
def generators(run, monkeypatch):
    """The module that measures them, and the figures that it tells, as tuples."""
    module, told = importlib.import_module("generators"), []
    monkeypatch.setattr(module, "figure", lambda *figure: told.append(figure))
    return module, told


@pytest.fixture
def benchmark_of(run, tmp_path):
    """A benchmark whose script is a text."""

    def make(name: str, text: str, seconds: int = 60, **more):
        (tmp_path / f"{name}.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n{text}")
        return run.Benchmark(name, seconds, script=str(tmp_path / name), **more)

    return make


@pytest.fixture
def measured(run, tmp_path, monkeypatch):
    """Runs benchmarks: the names of those that failed, and all rows."""
    monkeypatch.setattr(run, "gpu_name", lambda: "")

    def go(*benchmarks, minutes: float = 10, data=None) -> tuple[list[str], list[dict]]:
        rows = run.Rows(tmp_path / "out" / "rows.csv", {"commit": "0" * 40})
        failed = run.run_all(list(benchmarks), minutes, data or {}, rows)
        return failed, list(csv.DictReader(rows.path.open(newline="")))

    return go


def test_a_row_has_the_figure_its_ratio_and_what_it_was_measured_with(run, benchmark_of, measured):
    failed, (speed, peak) = measured(benchmark_of("one", FIGURE, arguments=("--size", "3"), seed=7))
    assert failed == [] and list(speed) == list(run.COLUMNS)
    assert (speed["benchmark"], speed["figure"], speed["against"]) == ("one", "speed", "a loop")
    assert (speed["ours"], speed["other"], speed["unit"], speed["ratio"]) == ("30.0", "10.0", "wafers/s", "3.0")
    assert (speed["arguments"], speed["seed"], speed["device"], speed["state"]) == ("--size 3", "7", "cpu", "measured")
    assert (peak["figure"], peak["other"], peak["ratio"]) == ("peak", "", "")
    assert set(run.machine()) <= set(run.COLUMNS)


def test_less_is_better_where_the_unit_is_no_pace(benchmark_of, measured):
    _, (row,) = measured(benchmark_of("one", "from common import figure\nfigure('fit', 2.0, 's', 8.0, 'x')\n"))
    assert row["ratio"] == "4.0"


def test_a_failed_benchmark_says_so_keeps_its_figures_and_the_rest_goes_on(benchmark_of, measured):
    broken = benchmark_of("broken", f"{FIGURE}sys.exit(3)\n", seconds=1)
    failed, rows = measured(benchmark_of("after", FIGURE, seconds=2), broken)
    assert failed == ["broken"]
    states = [(row["benchmark"], row["state"]) for row in rows]
    assert states == [*[("broken", "measured")] * 2, ("broken", "failed: exit status 3"), *[("after", "measured")] * 2]


def test_a_benchmark_that_hangs_is_stopped_with_what_it_started(benchmark_of, measured, tmp_path, run, monkeypatch):
    monkeypatch.setattr(run, "SLACK", 1)
    told = tmp_path / "pid"
    text = "import subprocess, time\nfrom pathlib import Path\nchild = subprocess.Popen(['sleep', '600'])\n"
    text += f"Path({str(told)!r}).write_text(str(child.pid))\ntime.sleep(600)\n"
    failed, (row,) = measured(benchmark_of("hung", text, seconds=5))
    assert failed == ["hung"] and row["state"] == "failed: stopped after 5 s"
    assert ended(told.read_text())


def test_what_no_longer_fits_or_has_no_data_is_left_out_and_told(benchmark_of, measured):
    long, of_data = benchmark_of("long", FIGURE, seconds=600), benchmark_of("real", FIGURE, seconds=1, data="real")
    failed, rows = measured(long, of_data, minutes=1, data={"real": None})
    assert failed == []
    told = {row["benchmark"]: row["state"] for row in rows}
    assert told["real"] == "left out: needs --real" and told["long"].startswith("left out: takes about 600 s, ")


def test_a_path_that_it_can_do_without_is_passed_on_where_it_is_given_and_rows_do_not_tell_it(
    benchmark_of, measured, tmp_path
):
    text = "import json\nfrom pathlib import Path\n"
    text += f"Path({str(tmp_path / 'seen')!r}).write_text(json.dumps(sys.argv[1:]))\n{FIGURE}"
    compared = benchmark_of("compared", text, arguments=("--steps", "3"), also="against")
    _, rows = measured(compared, data={"against": tmp_path})
    assert json.loads((tmp_path / "seen").read_text()) == ["--steps", "3", "--against", str(tmp_path)]
    assert {row["arguments"] for row in rows} == {"--steps 3"}
    measured(compared)
    assert json.loads((tmp_path / "seen").read_text()) == ["--steps", "3"]


def test_generators_of_two_versions_are_trained_in_turns_and_what_one_lacks_has_no_ratio(generators, monkeypatch):
    module, told = generators
    here = module.Asked("here", "default", "training", 8, 0, 4, 1, 0)
    other = replace(here, library="there", overlay="small")
    answers = iter(
        [
            ("here", {"gan": 20.0, "die_lora": 5.0}),
            ("there", {"gan": 8.0}),
            ("here", {"gan": 30.0, "die_lora": 4.0}),
            ("there", {"gan": 10.0}),
        ]
    )

    def asked_of_another(asked) -> dict:
        library, found = next(answers)
        assert asked.library == library
        return {"found": found, "version": "0.3.0", "scopes": 4}

    monkeypatch.setattr(module, "asked_of_another", asked_of_another)
    module.training(here, other, 2)
    assert told == [
        ("training of GAN, default study", 30.0, "steps/s", 10.0, "version 0.3.0, small"),
        ("training of die LoRA adapters, default study", 5.0, "steps/s", None, ""),
    ]


def test_a_shared_base_is_held_against_one_for_each_fold_of_its_own_and_of_another_version(generators, monkeypatch):
    module, told = generators
    here = module.Asked("here", "default", "pretraining", 8, 0, 4, 1, 0)
    answers = {
        "here": {"found": {"lora": {"seconds": 50.0, "bases": 1}}, "version": "0.4.0", "scopes": 4},
        "there": {"found": {"lora": {"seconds": 30.0, "bases": 3}}, "version": "0.3.0", "scopes": 3},
    }
    monkeypatch.setattr(module, "asked_of_another", lambda asked: answers[asked.library])
    module.pretraining(here, replace(here, library="there"))
    name = "pretraining for LoRA adapters, default study: one base for 4 folds"
    assert [figure[:4] for figure in told] == [(name, 50.0, "s", 200.0), (name, 50.0, "s", 90.0)]
    assert told[1][4] == "3 of version 0.3.0, default study"


def test_each_generator_that_can_be_guided_is_trained_and_drawn_from():
    command = [sys.executable, str(ROOT / "benchmarks/generators.py"), "--parts", "sampling", "--samples", "2"]
    command += ["--repeats", "1", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line.split(",")[0] for line in done.stdout.splitlines()]
    assert lines == [f"samples of {name}" for name in ("LoRA adapters", "die LoRA adapters", "die flow")]
    assert all("without guidance: " in line for line in done.stdout.splitlines())


def test_figures_are_kept_when_the_command_is_killed_and_its_benchmark_ends_with_it(benchmark_of, tmp_path):
    told, out = tmp_path / "pid", tmp_path / "rows.csv"
    text = f"{FIGURE}import os, time\nfrom pathlib import Path\nPath({str(told)!r}).write_text(str(os.getpid()))\n"
    hung = benchmark_of("hung", f"{text}time.sleep(600)\n")
    call = "import run, sys; from pathlib import Path; run.gpu_name = str; "
    call += "run.run_all([run.Benchmark('hung', 60, script=sys.argv[1])], 9, {}, run.Rows(Path(sys.argv[2]), {}))"
    command = [sys.executable, "-c", call, hung.script, str(out)]
    process = subprocess.Popen(command, cwd=ROOT / "benchmarks", stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: told.exists() and told.read_text() and out.exists() and out.read_text().count("measured") == 2)
    finally:
        process.kill()
        process.wait()
    assert [row["figure"] for row in csv.DictReader(out.open(newline=""))] == ["speed", "peak"]
    wait_for(lambda: ended(told.read_text()))


def test_rows_of_other_columns_are_not_mixed_with_these(run, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n")
    with pytest.raises(SystemExit, match="other columns"):
        run.Rows(tmp_path / "rows.csv", {})


def test_every_benchmark_has_its_script_and_is_on_the_page(run, page):
    text = page.PAGE.read_text()
    shown = {name for match in page.PLACE.finditer(text) for name in match[2].split()}
    assert shown == {benchmark.name for benchmark in run.BENCHMARKS}
    assert all(benchmark.file().is_file() for benchmark in run.BENCHMARKS)


def test_the_page_shows_the_rows_that_are_kept(page):
    text = page.PAGE.read_text()
    assert page.filled(text, page.read(page.ROWS)) == text, "python benchmarks/page.py makes its tables anew"


def test_what_trains_runs_on_a_gpu_where_there_is_one_and_its_rows_name_it(run, benchmark_of, measured, monkeypatch):
    by_name = {benchmark.name: benchmark for benchmark in run.BENCHMARKS}
    assert by_name["reruns"].gpu == by_name["planning_and_tiny_study"].gpu == () and by_name["planning"].gpu is None
    monkeypatch.setattr(run, "gpu_name", lambda: "A GPU")
    _, rows = measured(benchmark_of("trains", FIGURE, gpu=()), benchmark_of("plans", FIGURE))
    assert {(row["benchmark"], row["device"]) for row in rows} == {("trains", "A GPU"), ("plans", "cpu")}


def test_what_was_not_measured_is_named_beside_what_was(page):
    kept = dict.fromkeys(next(csv.reader(page.ROWS.open(newline=""))), "")
    row = {**kept, "benchmark": "x", "figure": "fit", "ours": "2", "unit": "s", "device": "cpu"}
    text = page.filled("<!-- figures: x y z -->\nold\n<!-- end -->", [row])
    assert "| fit | 2 s |" in text and "Not measured: `y`, `z`.\n" in text
    assert "Not measured" not in page.filled("<!-- figures: x -->\nold\n<!-- end -->", [row])


def test_of_equal_figures_the_last_one_counts_and_machines_stand_apart(page, tmp_path):
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        kept = dict.fromkeys(next(csv.reader(page.ROWS.open(newline=""))), "")
        rows = csv.DictWriter(file, kept)
        rows.writeheader()
        kept |= {"benchmark": "x", "state": "measured", "figure": "fit", "unit": "s", "device": "cpu"}
        for value in ("9", "2.5"):
            rows.writerow({**kept, "ours": value, "other": "5", "against": "y", "ratio": "2"})
        rows.writerow({**kept, "ours": "0.5", "device": "A GPU"})
        rows.writerow({**kept, "state": "failed: exit status 1"})
    text = page.filled("<!-- figures: x -->\nold\n<!-- end -->", page.read(tmp_path / "rows.csv"))
    assert "| fit, against y | 2.5 s | 5 s | **2** |" in text and "old" not in text and "9 s" not in text
    assert text.count("| | here |") == 2 and text.index("no GPU") != text.index("A GPU")
