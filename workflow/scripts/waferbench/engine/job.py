"""What is around the one library call of every script: log, settings, stores of results, provenance, run record.

A script holds one function of its job and ends in ``run(function, snakemake, Settings)``. What is heavy it imports
inside the function: a job whose outputs were computed before never pays for it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from waferbench.base.errors import InputError
from waferbench.base.files import atomic, canonical_json, data_digest, digest, partials
from waferbench.base.machine import processors
from waferbench.base.records import TIME, provenance
from waferbench.base.scope import Scope
from waferbench.base.seals import SEALED, STORE, payload_digest, verify
from waferbench.config.resolve import machine_of
from waferbench.config.section import Section
from waferbench.config.stages import NetworkWeights, Place, WeightSearch
from waferbench.engine.gpus import claim
from waferbench.engine.machine import hardware
from waferbench.engine.process import leave, prepare
from waferbench.engine.reuse import Reuse
from waferbench.engine.running import mark, process_start
from waferbench.engine.store import Store
from waferbench.engine.version import VERSION

S = TypeVar("S", bound=Section)
T = TypeVar("T")


class Files:
    """A job's files by name, one or several each: ``files.store``, ``files[0]``, ``files.get("scores")``."""

    def __init__(self, named: Mapping[str, str | Sequence[str]]):
        self.named = {name: str(file) if isinstance(file, (str, Path)) else list(file) for name, file in named.items()}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["named"][name]
        except KeyError:
            raise AttributeError(f"the rule names no file {name!r}") from None

    def __getitem__(self, name: str | int) -> Any:
        return list(self)[name] if isinstance(name, int) else self.named[name]

    def __iter__(self) -> Iterator[str]:
        return (file for files in self.named.values() for file in ([files] if isinstance(files, str) else files))

    def get(self, name: str, default: Any = None) -> Any:
        return self.named.get(name, default)

    def items(self) -> Iterable[tuple[str, str | list[str]]]:
        return self.named.items()

    def of(self, part: int, parts: int) -> Files:
        """The files of one of several parts of a job: its share of each list, and what is shared by all."""
        return Files({name: _share(files, part, parts) for name, files in self.named.items()})


def _share(files: str | list[str], part: int, parts: int) -> str | list[str]:
    """One file of a list of as many as there are parts, several of a longer one."""
    if isinstance(files, str):
        return files
    each, rest = divmod(len(files), parts)
    if rest or not each:
        raise ValueError(f"a rule lists {len(files)} files for {parts} parts")
    return files[part] if each == 1 else files[part * each : (part + 1) * each]


class Job(Generic[S]):
    """One job of Snakemake's, or one part of it, as its script sees it.

    A rule whose work is short does many parts in one job: it lists the wildcards of each in the parameter ``parts``,
    and each list among its files has as many entries for one part as for another, in the same order. A part is known
    by what it is made from and not by the job that made it. Of a list with one file a part, a part gets a text.

    Attributes:
        settings: the stage's own slice of the settings; nothing else of the configuration reaches a script.
        input, output, wildcards: Snakemake's.
        machine: where weights lie: what changes no result and so enters no digest.
        place: where data lie that no input names; their content is in the provenance, their place is not.
        study: its folder.
        name, whole: of this job or part, and of the job that Snakemake started, whose parts share it.
        threads, gpus: what the scheduler granted.
        not_kept, not_shared: why the outputs may follow from more than is told of them, see `unsure` and `unshared`.
        facts: what a script measured that varies from run to run; it goes to the run record, never into an artifact.
    """

    def __init__(self, snakemake: Any, model: type[S], part: int | None = None, all_parts: Job[S] | None = None):
        self.snakemake = snakemake
        self.settings: S = model.model_validate_json(snakemake.params.settings)
        self.machine = machine_of(snakemake.config)
        self.input, self.output = Files(dict(snakemake.input.items())), Files(dict(snakemake.output.items()))
        self.wildcards: dict[str, str] = dict(snakemake.wildcards.items())
        self.threads = max(1, min(snakemake.threads, processors()))
        self.gpus = int(snakemake.resources.get("gpu", 0) or 0)
        self.facts: dict[str, float] = {}
        self.study = Path("results") / self.machine.study
        self.place = Place.model_validate_json(getattr(snakemake.params, "place", "{}"))
        self.whole = "-".join([snakemake.rule, *self.wildcards.values()])
        if part is not None:
            parts = _parts(snakemake)
            self.input, self.output = self.input.of(part, len(parts)), self.output.of(part, len(parts))
            self.wildcards |= parts[part]
        self.name = "-".join([snakemake.rule, *self.wildcards.values()])
        self.not_kept, self.not_shared = "", ""
        self._common: dict[str, Any] = {}
        self._all = all_parts or self

    def once(self, name: str, make: Callable[[Job[S]], T]) -> T:
        """What ``make`` returns, made once for all parts of a job: of the job as a whole, whose lists are those of all
        parts and whose wildcards are those of none, so that it is the same whichever part asks first."""
        common = self._all._common
        if name not in common:
            common[name] = make(self._all)
        return common[name]

    def warn(self, text: str) -> None:
        """Say something in the job's log, and on the terminal as well."""
        for stream in (sys.stderr, sys.__stderr__) if self.snakemake.log else (sys.stderr,):
            print(f"{self.name}: {text}", file=stream)

    @cached_property
    def made_from(self) -> dict[str, Any]:
        """All that decides the outputs; artifacts among the inputs are held against their digests on the way."""
        inputs = {
            name: self._digest(files) if isinstance(files, str) else [self._digest(file) for file in files]
            for name, files in self.input.named.items()
        }
        data = data_digest(self.place.path, self.place.source) if self.place.path and "data" not in inputs else ""
        params = self.snakemake.params
        return provenance(self.snakemake.rule, self.wildcards, json.loads(params.settings), params.code, inputs, data)

    def _digest(self, file: str) -> str:
        # local copies of what lies in object storage end in the study's path, too
        own = f"{self.study.as_posix()}/" in file and (Path(file).suffix in SEALED or Path(file).is_dir())
        return _artifact_digest(file) if own else digest(file)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """For the artifacts."""
        return {**self.made_from, "made_by": f"waferbench {VERSION}"}

    @cached_property
    def checkpoints(self) -> Path:
        """Folder for training states, keyed by settings, code and inputs; gone on success."""
        key = hashlib.sha256(canonical_json(self.made_from).encode()).hexdigest()[:16]
        return self.study / ".checkpoints" / self.snakemake.rule / key

    @property
    def scope(self) -> Scope:
        """Of the wildcard ``scope``."""
        return Scope.parse(self.wildcards["scope"])

    @property
    def fold(self) -> int:
        """Of the wildcard ``fold``."""
        return int(self.wildcards["fold"])

    @property
    def files(self) -> dict[str, Any]:
        """The inputs by name."""
        return dict(self.input.items())

    def unsure(self, reason: str) -> None:
        """Keep nothing of this job: its outputs follow from something that its provenance does not tell."""
        self.not_kept = reason

    def unshared(self, reason: str) -> None:
        """Keep the outputs for this study alone: on another machine the same provenance may stand for others."""
        self.not_shared = reason

    def weights(self, network: NetworkWeights) -> WeightSearch:
        """How a network's weights are found: its entry of the manifest, and where this machine looks for files."""
        return WeightSearch.of(self.machine.weights, manifest=network.manifest)

    def shards(self, *inputs: str, beside: Sequence[str] = ("pool",)) -> Path:
        """The folder of what was drawn shard by shard, keyed by all that decides a sample: the settings but for those
        ``beside`` it, the parameter ``sampler`` (a digest of the sampler's code) and these inputs."""
        settings = self.settings.model_dump(mode="json", exclude=set(beside))
        digests = {name: self.made_from["inputs"].get(name) for name in inputs}
        key = canonical_json([settings, self.wildcards, self.snakemake.params.sampler, digests])
        raw = Path(self.output[0]).parent.as_posix()
        # beside raw/, but on this machine where the outputs themselves go to object storage
        source = self.study / raw.rpartition(f"{self.study.as_posix()}/")[2]
        return source.parent / "shards" / hashlib.sha256(key.encode()).hexdigest()[:16]


def _parts(snakemake: Any) -> list[dict[str, str]]:
    """The wildcards of a job's parts; none for a job that is whole."""
    return json.loads(getattr(snakemake.params, "parts", "[]"))


@functools.cache
def _artifact_digest(file: str) -> str:
    """Of the payload of an artifact, which must be whole."""
    verify(file)
    return payload_digest(file)


def run(
    work: Callable[[Job[S]], None], snakemake: Any, settings: type[S], shared: bool = True, kept: bool = True
) -> None:
    """Do a job: call ``work`` with it, or with each of its parts, but for those whose outputs were computed before.

    In a script that Snakemake runs the process ends here.

    Args:
        settings: the model of the stage's slice.
        shared: whether another study may take what is kept, and this one that of others.
        kept: whether the outputs follow from the provenance alone, so that they may be gone back to.
    """
    prepare(snakemake)
    before = (time.monotonic() - (time.time() - process_start()), 0.0)
    whole = Job(snakemake, settings)
    with _marked(whole), _logged(whole):
        _clear_partial(whole)
        parts = [Job(snakemake, settings, part, whole) for part in range(len(_parts(snakemake)))]
        for job in parts or [whole]:
            whole.name = job.name  # for errors
            _do(job, work, _reuse(job, shared, kept), before)
            before = (time.monotonic(), _processor_seconds())
    leave(snakemake)


def _do(job: Job[S], work: Callable[[Job[S]], None], reuse: Reuse, before: tuple[float, float]) -> None:
    """One job or part of one.

    Args:
        reuse: where it may have been computed before.
        before: when the process began or the part before was done, and the processor time that it had used then.
    """
    begun = time.monotonic()
    record = reuse.fetch()
    if record is not None:
        record = {**record, "fetched": time.strftime(TIME)}
    else:
        if job.gpus:
            _claim(job.gpus)
        work(job)
        record = _measured(job, begun, before)
        reuse.add(record, job.not_kept, job.not_shared)
    _write_record(job, record)
    shutil.rmtree(job.checkpoints, ignore_errors=True)  # last: a kill before this moment needs them


@functools.cache
def _claim(gpus: int) -> None:
    """Take GPUs until this process ends, however it ends: once for all parts of a job."""
    claim(gpus)


def _reuse(job: Job, shared: bool, kept: bool) -> Reuse:
    own = Store(job.study / STORE, linked=True) if kept and job.machine.store.reuse else None
    cache = Store(job.machine.cache) if kept and shared and job.machine.cache else None
    return Reuse(job.name, job.made_from, list(job.output), job.place, own, cache)


@contextmanager
def _marked(job: Job) -> Iterator[None]:
    """A marker of the running job beside its record, which a kill leaves behind."""
    marker = mark(job.study / "runs", job.whole, job.snakemake.rule, job.gpus)
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


@contextmanager
def _logged(job: Job) -> Iterator[None]:
    """What is printed goes to the job's log; bad input is said on the terminal as well, without a traceback."""
    with ExitStack() as stack:
        if job.snakemake.log:
            log = stack.enter_context(open(job.snakemake.log[0], "w", buffering=1))
            stack.enter_context(redirect_stdout(log))
            stack.enter_context(redirect_stderr(log))
        try:
            yield
        except BaseException as error:
            if job.snakemake.log:
                traceback.print_exception(error)
            if not isinstance(error, InputError):
                raise
            print(f"\n{job.name}: {error}\n", file=sys.__stderr__ if job.snakemake.log else sys.stderr)
            sys.exit(1)


def _clear_partial(job: Job) -> None:
    """Remove what an earlier, killed attempt had begun to write."""
    for path in map(Path, job.output):
        for left in partials(path):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _measured(job: Job, begun: float, before: tuple[float, float]) -> dict:
    torch = sys.modules.get("torch")
    cuda = torch is not None and torch.cuda.is_available() and bool(job.gpus)
    return {
        **job.facts,
        "rule": job.snakemake.rule,
        "wildcards": job.wildcards,
        "job": job.whole,
        "seconds": round(time.monotonic() - begun, 3),
        "startup_seconds": round(begun - before[0], 3),
        "cpu_seconds": round(_processor_seconds() - before[1], 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "threads": job.threads,
        "gpus": job.gpus,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "gpu_peak_mb": round(torch.cuda.max_memory_allocated() / 2**20) if cuda else 0,
        "host": platform.node(),
        "hardware": hardware(),
        "cuda": torch.version.cuda if cuda else "",
        "version": VERSION,
        "finished": time.strftime(TIME),
    }


def _write_record(job: Job, record: dict) -> None:
    path = job.study / "runs" / f"{job.name}.json"
    try:
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    except OSError as error:  # no reason to lose what was computed
        print(error, file=sys.stderr)
