"""The jobs of a finished study: what each read and wrote, by Snakemake's records and by what artifacts say."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waferbench.base.artifacts import read_provenance
from waferbench.base.errors import InputError
from waferbench.base.files import canonical_json, digest
from waferbench.base.progress import progress
from waferbench.base.records import run_records
from waferbench.base.seals import FACTS, payload_digest
from waferbench.tools.plan import Output

SHOWN = 10  # names of missing files in an error


@dataclass(frozen=True)
class MadeJob:
    """One job that has run.

    inputs, outputs: paths from the workflow's folder.
    code: digest of the code, "" where no output says it; settings: its slice of the configuration, None likewise.
    data: digest of the data that it read and no input names, or ""; made_by: the workbench and its version, or "".
    record: its run record, empty where it is gone; record_file: where that lies in the study's folder.
    """

    rule: str
    wildcards: Mapping[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    code: str = ""
    settings: Mapping | None = None
    data: str = ""
    made_by: str = ""
    record: Mapping = field(default_factory=dict)
    record_file: str = ""

    @property
    def name(self) -> str:
        """The rule and its wildcards, by which the job is called in the crate."""
        return "/".join([self.rule, *(f"{key}={self.wildcards[key]}" for key in sorted(self.wildcards))])


def require_finished(outputs: Sequence[Output]) -> None:
    """Raise an `InputError` that lists what is missing of a study, or older than what it depends on."""
    pending = [output.path for output in outputs if output.pending or output.missing]
    if pending:
        more = [f"... and {len(pending) - SHOWN} more"] if len(pending) > SHOWN else []
        listed = "\n  ".join([*pending[:SHOWN], *more])
        raise InputError(
            f"the study is not finished: {len(pending)} of {len(outputs)} outputs are missing or older than what they "
            f"depend on:\n  {listed}\nrun the study to its end (the same command without the target; name the files as "
            "targets where nothing needs them any more), then this again"
        )


def digests_of(paths: Sequence[str], root: Path) -> dict[str, str]:
    """sha256 of files, of folders over the names and digests in them; one look at each."""
    return {path: digest(root / path) for path in progress(sorted(set(paths)), "digests")}


def gather_jobs(outputs: Sequence[Output], root: Path, study: Path) -> list[MadeJob]:
    """The jobs behind a study's outputs, the parts of one each for itself, held against what their artifacts say of
    their inputs.

    Args:
        outputs: all that the study makes, none pending.
        root: the workflow's folder, which paths are relative to.
        study: the study's folder, ``root``-relative.

    Raises:
        InputError: Snakemake's record of a file is gone, or an artifact was made from other inputs than lie there.
    """
    records, digest_of = _records(root / study), functools.cache(lambda path: payload_digest(root / path))
    told_by = functools.cache(lambda path: _told(root / path))
    jobs = []
    for (rule, _), made in _by(outputs, _job_of).items():
        parts = _parts(made, told_by)
        for part in parts:
            told = told_by(part[0].path)
            read = {path: digest_of(path) for path in part[0].inputs}  # some may be equal
            _verify_inputs(part[0].path, told.get("inputs", {}), set(read.values()))
            known = {one for found in told.get("inputs", {}).values() for one in _listed(found)}
            inputs = tuple(sorted(path for path, found in read.items() if len(parts) == 1 or found in known))
            wildcards = told.get("wildcards", {})
            record, file = records.get(_key(rule, wildcards), ({}, ""))
            paths = tuple(sorted(output.path for output in part))
            facts = {name: told[name] for name in ("code", "settings", "data", "made_by") if name in told}
            jobs.append(MadeJob(rule, wildcards, inputs, paths, **facts, record=record, record_file=file))
    return sorted(jobs, key=lambda job: job.name)


def _parts(made: Sequence[Output], told_by: Callable[[str], dict]) -> list[list[Output]]:
    """The outputs of one job's parts, by their wildcards; what says nothing of its making (a table for spreadsheets, a
    picture) goes with the first, after one that does."""
    telling = [output for output in made if told_by(output.path)]
    silent = [output for output in made if output not in telling]
    parts = list(_by(telling, lambda output: canonical_json(told_by(output.path).get("wildcards", {}))).values())
    first, *others = parts or [[]]
    return [[*first, *silent], *others]


def _by(outputs: Sequence[Output], key: Callable[[Output], Hashable]) -> dict[Any, list[Output]]:
    groups: dict[Any, list[Output]] = {}
    for output in outputs:
        groups.setdefault(key(output), []).append(output)
    return groups


def _job_of(output: Output) -> tuple[str, str]:
    if output.log is None:
        raise InputError(
            f"{output.path}: Snakemake's record of its making is gone (.snakemake/metadata); delete the file and "
            "run the study again"
        )
    return output.rule, output.log


def _told(path: Path) -> dict:
    """What an artifact says of its making, a folder by the file in it that bears this library's name."""
    path = path / FACTS if path.is_dir() else path
    return read_provenance(path) if path.is_file() else {}


def _key(rule: str, wildcards: Mapping[str, str]) -> str:
    return json.dumps([rule, wildcards], sort_keys=True)


def _records(study: Path) -> dict[str, tuple[dict, str]]:
    """Run records by rule and wildcards, and where they lie in the study's folder."""
    found = {}
    for path, record in run_records(study / "runs"):
        with suppress(KeyError):
            found[_key(record["rule"], record["wildcards"])] = record, path.relative_to(study).as_posix()
    return found


def _listed(found: str | list[str]) -> list[str]:
    return [found] if isinstance(found, str) else found


def _verify_inputs(path: str, told: Mapping[str, str | list[str]], there: set[str]) -> None:
    for name, found in told.items():
        for one in _listed(found):
            if one not in there:
                raise InputError(
                    f"{path}: made from another {name} than lies there now (sha256 {one[:12]}...); something changed "
                    "it behind Snakemake's back: delete the file and run the study again"
                )
