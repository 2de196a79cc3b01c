"""What a study is made of and what of it is left to do, as Snakemake plans it.

A planning Snakemake of its own is asked: it runs nothing, takes no lock, and so may look at a running study too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from waferbench.base.errors import InputError

NODE = re.compile(r'^\s*(\d+)\[label = "(\w+)(?:\\n.*)?", color = "[^"]*", style="([\w,]+)"\];$')
EDGE = re.compile(r"^\s*(\d+) -> (\d+)$")
COLUMNS = "output_file\tdate\trule\tlog-file(s)\tinput-file(s)\tshellcmd\tstatus\tplan"


@dataclass(frozen=True)
class Tally:
    """The jobs of one rule: all, and those that are left to run."""

    rule: str
    total: int
    left: int


@dataclass(frozen=True)
class Output:
    """One file or folder that the study makes.

    log, inputs: of the job that made it, by Snakemake's records; None where it has none.
    pending: what it depends on has changed. missing: it is not there, which Snakemake minds only if something needs it.
    """

    path: str
    rule: str
    log: str | None
    inputs: tuple[str, ...] | None
    pending: bool
    missing: bool = False


def planned_jobs(options: Sequence[str], gathering: Collection[str], folder: str | Path = ".") -> list[Tally]:
    """The jobs of a study by rule, in the order of the work.

    Args:
        options: of Snakemake, those that say what of which study: a target first, ``--configfile``, ``--config``.
        gathering: names of rules that only gather files, and are no work.
        folder: of the workflow.

    Raises:
        InputError: Snakemake cannot plan the study; its own words.
    """
    return read_dag(_ask(options, ["--dag", "dot"], folder), gathering)


def planned_outputs(options: Sequence[str], folder: str | Path = ".", python: str = sys.executable) -> list[Output]:
    """Everything that a study makes, or has made.

    Args:
        python: the interpreter that has Snakemake.

    Raises:
        InputError: as `planned_jobs`.
    """
    return read_summary(_ask(options, ["--detailed-summary"], folder, python), Path(folder))


def read_dag(text: str, gathering: Collection[str]) -> list[Tally]:
    """Jobs by rule from Snakemake's graph in dot's language, where a job that need not run has a dashed frame."""
    lines = text.splitlines()
    nodes = {found[1]: (found[2], "dashed" not in found[3]) for found in map(NODE.match, lines) if found}
    graph = TopologicalSorter({node: () for node in nodes})
    for found in filter(None, map(EDGE.match, lines)):
        graph.add(found[2], found[1])
    try:
        order = [node for node in graph.static_order() if nodes[node][0] not in gathering]
    except CycleError:
        raise InputError("Snakemake's graph of jobs has a cycle; this is a mistake in reading it") from None
    found = {}
    for rule, left in (nodes[node] for node in order):
        total, rest = found.get(rule, (0, 0))
        found[rule] = total + 1, rest + left
    return [Tally(rule, *counts) for rule, counts in found.items()]


def read_summary(text: str, folder: Path = Path()) -> list[Output]:
    """Outputs from Snakemake's detailed summary, tables of tabs.

    Args:
        folder: that the paths are relative to.
    """
    lines = text.splitlines()
    if COLUMNS not in lines:
        raise InputError(
            f"Snakemake's summary has other columns than expected ({COLUMNS.split()}); see requirements.txt"
        )
    found = []
    for line in lines[lines.index(COLUMNS) + 1 :]:
        path, _, rule, log, inputs, _, status, plan = line.split("\t")
        log = None if log == "-" else log
        known = None if log is None else tuple(_listed(inputs, folder))
        found.append(Output(path, rule, log, known, plan != "no update", status == "missing"))
    return found


def _listed(text: str, folder: Path) -> list[str]:
    """Paths joined by commas, some of which may hold commas themselves: parts are joined until a file is there."""
    paths, part = [], ""
    for piece in text.split(",") if text else []:
        part = f"{part},{piece}" if part else piece
        if (folder / part).exists():
            paths.append(part)
            part = ""
    return [*paths, part] if part else paths


def _ask(options: Sequence[str], question: Sequence[str], folder: str | Path, python: str = sys.executable) -> str:
    command = [python, "-m", "snakemake", "--cores", "1", *question, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"Snakemake cannot plan this study:\n{done.stderr.strip()}")
    return done.stdout
