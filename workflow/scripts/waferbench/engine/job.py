"""What every script does around its one library call: log, settings, provenance, run record.

A script reads ``snakemake.input``, ``.output``, ``.wildcards`` and its own ``settings``; nothing else of
the configuration reaches it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from waferbench.base.errors import InputError
from waferbench.base.files import atomic, canonical_json, data_digest, digest, partials
from waferbench.base.machine import hardware, processors
from waferbench.base.seals import SEALED, verify
from waferbench.engine.cache import Cache
from waferbench.engine.codehash import code_digest
from waferbench.engine.gpus import claim
from waferbench.engine.running import mark, process_start

TIME = "%Y-%m-%dT%H:%M:%S%z"


class Job:
    """Context of one Snakemake job.

    Attributes:
        settings: the rule's own slice of the configuration.
        machine: where weights lie, how much memory there is: what changes no result and so enters no digest.
        place: where data lie that no input names; their content is in the provenance, their place is not.
        provenance: rule, settings, code digest and input digests, for the artifacts; nothing of the study's name or
            place, so that what two studies make alike is alike to the byte.
        checkpoints: folder for training states, keyed by settings, code and inputs; gone on success.
        threads, gpus: what the scheduler granted.
        facts: what a script measured that varies from run to run; it goes to the run record, never into an artifact.

    In a script that Snakemake runs the process ends with the ``with`` block: nothing after it runs. It ends before the
    block where the outputs are found in the cache.

    Args:
        shared: whether the outputs are decided by the provenance alone, so that another study may take them.
    """

    def __init__(self, snakemake: Any, shared: bool = True):
        self._snakemake = snakemake
        self.settings: dict = json.loads(snakemake.params.settings)
        self.machine: dict = snakemake.config["machine"]
        self.wildcards: dict[str, str] = dict(snakemake.wildcards.items())
        self.threads = max(1, min(snakemake.threads, processors()))
        self.gpus = int(snakemake.resources.get("gpu", 0) or 0)
        self.facts: dict[str, float] = {}
        self.study = Path("results") / self.machine["study"]
        self.place: dict = json.loads(getattr(snakemake.params, "place", "{}"))
        self.provenance = {
            "rule": snakemake.rule,
            "wildcards": self.wildcards,
            "settings": self.settings,
            "code": snakemake.params.code,
            "inputs": {name: _digests(files) for name, files in snakemake.input.items()},
        }
        if self.place.get("path") and "data" not in self.provenance["inputs"]:
            self.provenance["data"] = data_digest(self.place["path"])
        key = hashlib.sha256(canonical_json(self.provenance).encode()).hexdigest()[:16]
        self.checkpoints = self.study / ".checkpoints" / snakemake.rule / key
        self.name = "-".join([snakemake.rule, *self.wildcards.values()])
        self._cache = Cache(self.machine["cache"]) if shared and self.machine.get("cache") else None

    def shards(self, *inputs: str, beside: Sequence[str] = ("pool",)) -> Path:
        """The folder of what was drawn shard by shard, keyed by all that decides a sample: the settings but for those
        ``beside`` it, the parameter ``sampler`` (a digest of the sampler's code) and these inputs."""
        settings = {name: value for name, value in self.settings.items() if name not in beside}
        digests = {name: self.provenance["inputs"].get(name) for name in inputs}
        key = canonical_json([settings, self.wildcards, self._snakemake.params.sampler, digests])
        raw = Path(self._snakemake.output[0]).parent.as_posix()
        # beside raw/, but on this machine where the outputs themselves go to object storage
        source = self.study / raw.rpartition(f"{self.study.as_posix()}/")[2]
        return source.parent / "shards" / hashlib.sha256(key.encode()).hexdigest()[:16]

    def weights(self, entry: dict) -> dict:
        """How a network's weights are found: its entry of the manifest, and where this machine looks for files."""
        return {**self.machine["weights"], **entry}

    def __enter__(self) -> Job:
        self._started, now = time.monotonic(), time.time()
        self._startup = now - process_start()
        self._marker = mark(self.study / "runs", self.name, self._snakemake.rule, self.gpus)
        if self._snakemake.log:
            self._log = open(self._snakemake.log[0], "w", buffering=1)
            sys.stdout = sys.stderr = self._log
        try:
            self._clear_partial()
            self._verify_inputs()
            made = self._cache.fetch(self.provenance, list(self._snakemake.output)) if self._cache else None
            if made is None and self.gpus:
                claim(self.gpus)  # until this process ends, however it ends
        except Exception as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        if made is not None:
            print(f"taken from {self._cache.folder}", file=sys.stderr)
            self._end({**made, "fetched": time.strftime(TIME)})
            self._leave()
            sys.exit(0)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> bool:
        if error is None:
            record = self._measured()
            if self._cache and self._as_planned() and self._same_data():
                self._cache.store(self.provenance, list(self._snakemake.output), record)
            self._end(record)
        self._marker.unlink(missing_ok=True)
        if self._snakemake.log:
            if error is not None:
                traceback.print_exception(kind, error, trace)
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
            self._log.close()
        if isinstance(error, InputError):
            print(f"\n{self.name}: {error}\n", file=sys.stderr)
            sys.exit(1)
        if error is None:
            self._leave()
        return False

    def _end(self, record: dict) -> None:
        """Keep what was measured; training states go last, for a kill before this moment needs them."""
        self._record(record)
        self._marker.unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _leave(self) -> None:
        """End the process where Snakemake started it for this script."""
        if getattr(sys.modules["__main__"], "snakemake", None) is self._snakemake:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)  # all is written; taking torch's modules apart one by one would add a second to each job

    def _clear_partial(self) -> None:
        """Remove what an earlier, killed attempt had begun to write."""
        for path in map(Path, self._snakemake.output):
            for left in partials(path):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)

    def _verify_inputs(self) -> None:
        for _, files in self._snakemake.input.items():
            for path in map(Path, [files] if isinstance(files, (str, Path)) else files):
                # local copies of what lies in object storage end in the study's path, too
                if f"{self.study.as_posix()}/" in path.as_posix() and (path.suffix in SEALED or path.is_dir()):
                    verify(path)

    def _as_planned(self) -> bool:
        """Whether code and packages here and now are those of the plan: an edit meanwhile must not reach others."""
        try:
            now = code_digest(sys.modules["__main__"].__file__)
        except (AttributeError, OSError, SyntaxError) as error:
            now = str(error)
        if now != self.provenance["code"]:
            print(f"cache: nothing added, as code or packages are not those of the plan ({now})", file=sys.stderr)
        return now == self.provenance["code"]

    def _same_data(self) -> bool:
        """Whether the data are still those of the digest: a file replaced while it was read must not reach others."""
        digested = self.provenance.get("data") or self.provenance["inputs"].get("data")
        same = not self.place.get("path") or data_digest(self.place["path"]) == digested
        if not same:
            print(f"cache: nothing added, as {self.place['path']} has changed meanwhile", file=sys.stderr)
        return same

    def _measured(self) -> dict:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        torch = sys.modules.get("torch")
        cuda = torch is not None and torch.cuda.is_available() and bool(self.gpus)
        return {
            **self.facts,
            "rule": self._snakemake.rule,
            "wildcards": self.wildcards,
            "seconds": round(time.monotonic() - self._started, 3),
            "startup_seconds": round(self._startup, 3),  # of imports, before the job began
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_mb": round(usage.ru_maxrss / 1024),
            "threads": self.threads,
            "gpus": self.gpus,
            "device": torch.cuda.get_device_name() if cuda else "cpu",
            "gpu_peak_mb": round(torch.cuda.max_memory_allocated() / 2**20) if cuda else 0,
            "host": platform.node(),
            "hardware": hardware(),
            "cuda": torch.version.cuda if cuda else "",
            "finished": time.strftime(TIME),
        }

    def _record(self, record: dict) -> None:
        path = self.study / "runs" / f"{self.name}.json"
        try:
            with atomic(path) as temporary:
                temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        except OSError as error:  # no reason to lose what was computed
            print(error, file=sys.stderr)


def _digests(files: Any) -> str | list[str]:
    return digest(files) if isinstance(files, (str, Path)) else [digest(file) for file in files]
