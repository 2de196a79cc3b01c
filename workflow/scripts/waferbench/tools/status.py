"""How far a study has come: done, running and left by stage, with the time that is left as far as one can tell."""

from __future__ import annotations

import platform
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from waferbench.base.records import run_records
from waferbench.engine.running import Running
from waferbench.tools.plan import Tally

WIDTH = 80


@dataclass(frozen=True)
class Stage:
    """One rule's jobs. seconds: median of its jobs that were computed here whole, None before the first. gpu: whether
    jobs computed here used a GPU.

    left: jobs not begun. seconds_left: of these and the running ones, with a GPU or without; None as ``seconds``.
    """

    rule: str
    done: int
    running: int
    left: int
    seconds: float | None
    gpu: bool
    seconds_left: float | None


def read_records(runs: Path) -> dict[str, list[dict]]:
    """The run records by rule, one a job; unreadable ones are passed over.

    Returns:
        Of each job of which something was computed here: the record of its first such part, with the seconds of all
        such parts as ``took`` and whether there are no others as ``whole``.
    """
    parts = defaultdict(list)
    for path, record in run_records(runs):
        with suppress(TypeError, KeyError):
            took = record["seconds"] + record.get("startup_seconds", 0.0)
            parts[record["rule"], record.get("job", path.stem)].append({**record, "took": took})
    found = defaultdict(list)
    for (rule, _), job in parts.items():
        computed = [part for part in job if "fetched" not in part]
        if computed:
            took = sum(part["took"] for part in computed)
            found[rule].append({**computed[0], "took": took, "whole": len(computed) == len(job)})
    return found


def survey(
    tallies: Sequence[Tally], records: Mapping[str, Sequence[Mapping]], alive: Sequence[Running], now: float
) -> list[Stage]:
    """The stages of a study.

    Args:
        tallies: the jobs by rule, as planned.
        records: the run records of finished jobs by rule, as of `read_records`.
        alive: the jobs that run.
        now: seconds since the epoch.
    """
    stages = []
    for tally in tallies:
        mine = [job for job in alive if job.rule == tally.rule][: tally.left]
        waiting = tally.left - len(mine)
        known = records.get(tally.rule, [])
        # of some parts alone a job takes less than those that are left
        whole = [record["took"] for record in known if record["whole"]]
        seconds = median(whole) if whole else None
        rest = None
        if seconds is not None:
            rest = waiting * seconds + sum(max(0.0, seconds - (now - job.started)) for job in mine)
        gpu = any(record["device"] != "cpu" for record in known)
        stages.append(Stage(tally.rule, tally.total - tally.left, len(mine), waiting, seconds, gpu, rest))
    return stages


def gpu_hours(records: Mapping[str, Sequence[Mapping]]) -> float:
    """Hours that finished jobs had a GPU for, by what was computed here."""
    return sum(r["took"] for known in records.values() for r in known if r["device"] != "cpu") / 3600


def duration(seconds: float | None) -> str:
    """``3 h 20 min``, with two units at most; ``?`` where nothing is known, empty for nothing left."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"


def status_text(
    folder: str | Path,
    stages: Sequence[Stage],
    alive: Sequence[Running],
    dead: Sequence[Running],
    used: float,
    now: float,
) -> str:
    """The stages as a table of at most 80 columns, what runs now, and the sums.

    Args:
        folder: the study's.
        alive, dead: jobs that run, and those that a kill has left.
        used: GPU-hours so far.
        now: seconds since the epoch.
    """
    done, running, left = (sum(getattr(stage, key) for stage in stages) for key in ("done", "running", "left"))
    lines = [f"{folder}: {done + running + left} jobs, {done} done, {running} running, {left} left", ""]
    width = max([len(stage.rule) for stage in stages] + [5])
    lines.append(f"{'stage':{width}}{'done':>6}{'running':>9}{'left':>6}{'a job':>13}{'time left':>13}")
    for stage in stages:
        rest = duration(stage.seconds_left) if stage.left or stage.running else ""
        lines.append(
            f"{stage.rule:{width}}{stage.done:>6}{stage.running or '':>9}{stage.left or '':>6}"
            f"{duration(stage.seconds):>13}{rest:>13}{' GPU' if stage.gpu else ''}"
        )
    lines += ["", *_sums(stages, running, used)]
    for title, jobs in (("running now", alive), ("killed before their end; the next run begins or resumes them", dead)):
        lines += ["", f"{title}:", *(_job_line(job, now) for job in jobs)] if jobs else []
    return "\n".join(lines) + "\n"


def _sums(stages: Sequence[Stage], running: int, used: float) -> list[str]:
    open_stages = [stage for stage in stages if stage.left or stage.running]
    if not open_stages:
        return [f"Finished. GPU-hours used: {used:.1f}"]
    known = [stage for stage in open_stages if stage.seconds_left is not None]
    lines = []
    if known:
        total = sum(stage.seconds_left for stage in known)
        on_gpu = sum(stage.seconds_left for stage in known if stage.gpu) / 3600
        pace = f"with {running} jobs at a time, as now" if running > 1 else "one job after the other"
        lines.append(f"Left: about {duration(total / max(1, running))} {pace}.")
        lines.append(f"GPU-hours: {used:.1f} used, about {on_gpu:.1f} left.")
    unknown = [stage for stage in open_stages if stage.seconds_left is None]
    if unknown:
        lines.append(f"{'Not in these sums, as' if known else 'No estimate:'} no job of these has finished yet:")
        named = ", ".join(f"{stage.rule} ({stage.left + stage.running})" for stage in unknown)
        lines += textwrap.wrap(named, WIDTH, initial_indent="  ", subsequent_indent="  ")
    return lines


def _job_line(job: Running, now: float) -> str:
    where = "" if job.host == platform.node() else f" on {job.host}"
    tail = f"  {duration(now - job.started)}{where} (process {job.pid})"
    name = job.name if len(job.name) + len(tail) + 2 <= WIDTH else f"{job.name[: WIDTH - len(tail) - 5]}..."
    return f"  {name}{tail}"
