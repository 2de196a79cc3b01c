"""Files from outside, read in a process of its own: what a file does to its reader, it does there alone.

A few hundred bytes can make a parser ask for all memory or end on a bad address (Python's own unpickler among them).
The child has a bound of memory; only dies and names come back, as bytes and JSON.
"""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from waferbench.base.errors import InputError
from waferbench.base.machine import end_with_parent
from waferbench.wafers.store import WaferStore
from waferbench.wafers.table import WaferSet

LEAST, A_BYTE = 2 * 2**30, 32  # bytes of memory for any file, and for each of its bytes
PAGES = Path("/proc/self/statm")
Bins = list[str]


def read_isolated(
    read: Callable[..., tuple[WaferSet, Bins]], path: str | Path, *arguments: Any, least: int = LEAST
) -> tuple[WaferSet, Bins]:
    """What ``read(path, *arguments)`` returns, read in a child process.

    Args:
        read: as `waferbench.wafers.ingest.read_unlabelled`.
        least: bytes of memory that the child gets, however small the file is.

    Raises:
        InputError: the reader's own, or one that says that the child came to an end.
    """
    context = multiprocessing.get_context("fork")  # nothing is imported anew, and stderr stays the job's log
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(there, read, path, arguments, least + A_BYTE * _size(Path(path))))
    child.start()
    there.close()
    try:
        answer = json.loads(here.recv_bytes())
        flat, shapes = (here.recv_bytes() for _ in range(2)) if "error" not in answer else (b"", b"")
    except EOFError:
        child.join()
        raise InputError(f"{path}: {_end(child.exitcode)}; take an unaltered file") from None
    finally:
        here.close()
        child.join()
    if "error" in answer:
        raise InputError(answer["error"])
    maps = np.frombuffer(shapes, np.int16).reshape(-1, 2)
    offsets = np.concatenate([[0], np.cumsum(maps.astype(np.int64).prod(1))]).astype(np.int64)
    store = WaferStore(np.frombuffer(flat, np.uint8), offsets, maps)
    return WaferSet(store, answer["classes"], answer["lots"], answer["ids"]), answer["bins"]


def _child(
    pipe: Connection, read: Callable[..., tuple[WaferSet, Bins]], path: str | Path, arguments: tuple, memory: int
) -> None:
    faulthandler.disable()  # the parent says how the child ended
    end_with_parent()
    try:
        limit_memory(memory)
        (store, classes, lots, ids), bins = read(path, *arguments)
        answer = {"classes": classes, "lots": lots, "ids": ids, "bins": bins}
    except InputError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": f"{path}: it takes more than {memory / 2**30:.0f} GiB of memory to read; split the file"}
    pipe.send_bytes(json.dumps(answer).encode())
    if "error" not in answer:
        pipe.send_bytes(np.ascontiguousarray(store.flat, np.uint8))
        pipe.send_bytes(np.ascontiguousarray(store.shapes, np.int16))


def limit_memory(more: int) -> None:
    """Bound this process to so many bytes of memory beyond what it has; without effect where the system cannot."""
    if PAGES.exists():
        now = int(PAGES.read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = now + more
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0


def _end(code: int | None) -> str:
    if code is not None and code < 0:
        return f"reading it ended by signal {-code} ({signal.Signals(-code).name}): the file is damaged or forged"
    return f"reading it ended without a result (exit status {code}); the log says why"
