"""Damages valid files in many ways and reads them: ``python -m helpers.fuzz SEED COUNT FOLDER TARGET...`` prints JSON.

Hypothesis decides what is damaged, from the seed alone, and makes a find smaller before it is told. A process has a
bound of memory and each input a bound of time; what is neither read nor refused by a clear error is a find.
"""

from __future__ import annotations

import faulthandler
import io
import json
import re
import resource
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from waferbench.base.errors import InputError
from waferbench.wafers.ingest.isolated import limit_memory

MEMORY, SECONDS = 2**30, 10.0  # beyond what the process has at its start; of one input
NUMBERS = [b"-1", b"0", b"2", b"32768", b"2147483648", b"99999999999999999999", b"1e308", b"nan", b"-0.0", b"9" * 5000]
NAMES = re.compile(r": |unknown key '")  # what every clear error holds
TEXTS = ["\x00", "\ud800", "\u202e", "../../x", "a" * 5000, "{fold}", "<script>", "é🧇", "[", "&a [*a]", "!!set {a}"]
TOKENS = [text.encode("utf-8", "surrogatepass") for text in TEXTS]


class Hang(BaseException):
    """An input that took too long; no ``except Exception`` swallows it."""


class Target(NamedTuple):
    """Valid contents, and how a file of such content is read; ``damage`` where bytes alone would not get far."""

    contents: list[bytes]
    read: Callable[[Path], Any]
    suffix: str
    damage: Callable[[Random, bytes], bytes]


def damaged(random: Random, content: bytes) -> bytes:
    """Content with one to four faults."""
    for _ in range(random.choice((1, 1, 2, 4))):
        content = random.choice(FAULTS)(random, content)
    return content


def _flip(random: Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 3, 20))):
        if data:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def _cut(random: Random, content: bytes) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _drop(random: Random, content: bytes) -> bytes:
    a, b = _part(random, content)
    return content[:a] + content[b:]


def _repeat(random: Random, content: bytes) -> bytes:
    a, b = _part(random, content)
    return content[:b] + content[a:b] * random.choice((1, 1, 2, 50)) + content[b:]


def _splice(random: Random, content: bytes) -> bytes:
    a, b = _part(random, content)
    at = random.randrange(len(content) + 1)
    return content[:at] + content[a:b] + content[at + (b - a) * random.randrange(2) :]


def _extreme(random: Random, content: bytes) -> bytes:
    width = random.choice((1, 2, 4, 8))
    value = random.choice((0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1, 1 << 4 * width))
    at = random.randrange(len(content) + 1)
    return content[:at] + value.to_bytes(width, random.choice(("little", "big"))) + content[at + width :]


def _noise(random: Random, content: bytes) -> bytes:
    a, b = _part(random, content)
    return content[:a] + random.randbytes(b - a) + content[b:]


def _number(random: Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"\d+", content))
    return _replaced(content, random.choice(found), random.choice(NUMBERS)) if found else content


def _token(random: Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"[A-Za-z_]{2,}|[\[\]{}<>\"':,=]", content))
    return _replaced(content, random.choice(found), random.choice(TOKENS)) if found else content


def _replaced(content: bytes, found: re.Match[bytes], text: bytes) -> bytes:
    return content[: found.start()] + text + content[found.end() :]


def _part(random: Random, content: bytes) -> tuple[int, int]:
    a = random.randrange(len(content) + 1)
    return a, min(len(content), a + random.choice((1, 4, 16, 64, 1024)))


FAULTS = [_flip, _flip, _cut, _drop, _repeat, _splice, _extreme, _extreme, _noise, _number, _token]


def damaged_member(random: Random, content: bytes) -> bytes:
    """A zip archive with a fault in a member, packed anew so that its checksum holds; or with faults anywhere."""
    if random.random() < 0.4:
        return damaged(random, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(list(members))
    members[name] = damaged(random, members[name])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return packed.getvalue()


class Find(Exception):
    """An input that was neither read nor refused by a clear error."""


def run(targets: dict[str, Target], number: int, count: int, folder: Path) -> dict[str, Any]:
    """Read ``count`` damaged inputs of each target; what came of them.

    Returns:
        ``read``, ``refused`` (numbers of inputs), ``finds`` (descriptions), ``slowest`` (seconds), ``peak_mb``.
    """
    faulthandler.enable()
    signal.signal(signal.SIGALRM, _hang)
    result: dict[str, Any] = {"read": {}, "refused": {}, "finds": [], "slowest": 0.0}
    limit_memory(MEMORY)
    for name, target in targets.items():
        (place := folder / name).mkdir(exist_ok=True)
        for path in (place / f"valid-{i}{target.suffix}" for i in range(len(target.contents))):
            path.write_bytes(target.contents[int(path.stem.partition("-")[2])])
            target.read(path)  # what is damaged was valid
        try:
            _inputs(name, target, number, count, place, result)()
        except Find as find:
            result["finds"].append(f"{name}: {find}")
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result


def _inputs(name: str, target: Target, number: int, count: int, folder: Path, result: dict) -> Callable[[], None]:
    """What reads ``count`` damaged inputs of a target; it raises `Find` at the first that deserves it."""
    path = folder / f"{name}{target.suffix}"

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def read(random: Random) -> None:
        path.write_bytes(target.damage(random, random.choice(target.contents)))
        print(name, path, file=sys.stderr, flush=True)  # the last line names the input that ended the process
        started = time.monotonic()
        outcome, find = _outcome(target.read, path)
        result["slowest"] = max(result["slowest"], time.monotonic() - started)
        if find:
            raise Find(find)
        result[outcome][name] = result[outcome].get(name, 0) + 1

    return read


def _outcome(read: Callable[[Path], Any], path: Path) -> tuple[str, str]:
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(2 * SECONDS, exit=True)  # where no signal gets through: a library's own loop
    try:
        read(path)
        return "read", ""
    except InputError as error:
        return "refused", "" if NAMES.search(str(error)) else f"an error that names nothing: {error}"
    except Hang:
        return "", f"no answer in {SECONDS} seconds: {traceback.format_exc(limit=-3)}"
    except BaseException:
        return "", traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def _hang(*_: object) -> None:
    raise Hang


if __name__ == "__main__":
    from helpers.fuzz_targets import targets

    where = Path(sys.argv[3])
    where.mkdir(parents=True, exist_ok=True)
    wanted = targets(where, sys.argv[4:])
    print(json.dumps(run(wanted, int(sys.argv[1]), int(sys.argv[2]), where)))
