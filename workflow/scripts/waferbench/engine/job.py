"""What is around the one library call of every script: log, settings, cache, provenance, run record.

A script holds one function of its job and ends in ``run(function, snakemake, Settings)``. What is heavy it imports
inside the function: a job whose outputs are found in the cache never pays for it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Generic, TypeVar

from waferbench.base.errors import InputError
from waferbench.base.files import atomic, canonical_json, data_digest, partials
from waferbench.base.machine import processors
from waferbench.base.records import TIME, provenance
from waferbench.base.scope import Scope
from waferbench.base.seals import SEALED, verify
from waferbench.config.resolve import machine_of
from waferbench.config.section import Section
from waferbench.config.stages import NetworkWeights, Place, WeightSearch
from waferbench.engine.cache import Cache
from waferbench.engine.codehash import code_digest
from waferbench.engine.gpus import claim
from waferbench.engine.machine import hardware
from waferbench.engine.process import leave, prepare
from waferbench.engine.running import mark, process_start
from waferbench.engine.version import VERSION

S = TypeVar("S", bound=Section)


class Job(Generic[S]):
    """One job of Snakemake's, as its script sees it.

    Attributes:
        settings: the stage's own slice of the settings; nothing else of the configuration reaches a script.
        input, output, wildcards: Snakemake's.
        machine: where weights lie: what changes no result and so enters no digest.
        place: where data lie that no input names; their content is in the provenance, their place is not.
        provenance: for the artifacts.
        study: its folder.
        checkpoints: folder for training states, keyed by settings, code and inputs; gone on success.
        threads, gpus: what the scheduler granted.
        facts: what a script measured that varies from run to run; it goes to the run record, never into an artifact.
    """

    def __init__(self, snakemake: Any, model: type[S]):
        self.snakemake = snakemake
        self.settings: S = model.model_validate_json(snakemake.params.settings)
        self.machine = machine_of(snakemake.config)
        self.input, self.output = snakemake.input, snakemake.output
        self.wildcards: dict[str, str] = dict(snakemake.wildcards.items())
        self.threads = max(1, min(snakemake.threads, processors()))
        self.gpus = int(snakemake.resources.get("gpu", 0) or 0)
        self.facts: dict[str, float] = {}
        self.study = Path("results") / self.machine.study
        self.place = Place.model_validate_json(getattr(snakemake.params, "place", "{}"))
        self.made_from = provenance(
            snakemake.rule,
            self.wildcards,
            json.loads(snakemake.params.settings),
            snakemake.params.code,
            dict(snakemake.input.items()),
            self.place.path,
        )
        self.provenance = {**self.made_from, "made_by": f"waferbench {VERSION}"}
        key = hashlib.sha256(canonical_json(self.made_from).encode()).hexdigest()[:16]
        self.checkpoints = self.study / ".checkpoints" / snakemake.rule / key
        self.name = "-".join([snakemake.rule, *self.wildcards.values()])

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


def run(work: Callable[[Job[S]], None], snakemake: Any, settings: type[S], shared: bool = True) -> None:
    """Do a job: call ``work`` with it, or take its outputs from the cache.

    In a script that Snakemake runs the process ends here.

    Args:
        settings: the model of the stage's slice.
        shared: whether the outputs are decided by the provenance alone, so that another study may take them.
    """
    prepare(snakemake)
    started, startup = time.monotonic(), time.time() - process_start()
    job = Job(snakemake, settings)
    cache = Cache(job.machine.cache) if shared and job.machine.cache else None
    with _marked(job), _logged(job):
        _clear_partial(job)
        _verify_inputs(job)
        record = cache.fetch(job.made_from, list(job.output)) if cache else None
        if record is not None:
            print(f"taken from {cache.folder}", file=sys.stderr)
            record = {**record, "fetched": time.strftime(TIME)}
        else:
            if job.gpus:
                claim(job.gpus)  # until this process ends, however it ends
            work(job)
            record = _measured(job, started, startup)
            if cache and _as_planned(job) and _same_data(job):
                cache.store(job.made_from, list(job.output), record)
        _write_record(job, record)
    shutil.rmtree(job.checkpoints, ignore_errors=True)  # last: a kill before this moment needs them
    leave(snakemake)


@contextmanager
def _marked(job: Job) -> Iterator[None]:
    """A marker of the running job beside its record, which a kill leaves behind."""
    marker = mark(job.study / "runs", job.name, job.snakemake.rule, job.gpus)
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


def _verify_inputs(job: Job) -> None:
    for files in job.files.values():
        for path in map(Path, [files] if isinstance(files, (str, Path)) else files):
            # local copies of what lies in object storage end in the study's path, too
            if f"{job.study.as_posix()}/" in path.as_posix() and (path.suffix in SEALED or path.is_dir()):
                verify(path)


def _as_planned(job: Job) -> bool:
    """Whether code and packages here and now are those of the plan: an edit meanwhile must not reach others."""
    try:
        now = code_digest(sys.modules["__main__"].__file__)
    except (AttributeError, OSError, SyntaxError) as error:
        now = str(error)
    if now != job.made_from["code"]:
        print(f"cache: nothing added, as code or packages are not those of the plan ({now})", file=sys.stderr)
    return now == job.made_from["code"]


def _same_data(job: Job) -> bool:
    """Whether the data are still those of the digest: a file replaced while it was read must not reach others."""
    digested = job.made_from.get("data") or job.made_from["inputs"].get("data")
    same = not job.place.path or data_digest(job.place.path) == digested
    if not same:
        print(f"cache: nothing added, as {job.place.path} has changed meanwhile", file=sys.stderr)
    return same


def _measured(job: Job, started: float, startup: float) -> dict:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    torch = sys.modules.get("torch")
    cuda = torch is not None and torch.cuda.is_available() and bool(job.gpus)
    return {
        **job.facts,
        "rule": job.snakemake.rule,
        "wildcards": job.wildcards,
        "seconds": round(time.monotonic() - started, 3),
        "startup_seconds": round(startup, 3),  # before the job began
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_mb": round(usage.ru_maxrss / 1024),
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
