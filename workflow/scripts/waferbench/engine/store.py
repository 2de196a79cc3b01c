"""Results that were computed before: a folder with an entry per job, found by everything that decides its outputs."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from waferbench.base.errors import InputError
from waferbench.base.files import canonical_json, partial, sync
from waferbench.engine.entries import MANIFEST, Output, Recorded, manifest, read_manifest, require_artifact
from waferbench.engine.guarded import Folder, Unfit, copy_bytes, opened, write_bytes

DAY = 24 * 3600.0  # seconds, after which what a killed process left is nobody's
ENTRY = re.compile(r"[0-9a-f]{64}")
LEFT = re.compile(r"\.(making|leaving)-[0-9a-f]{32}")
# no links between file systems, to files of others, beyond a number, on this file system at all
UNLINKABLE = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EROFS}


class Store:
    """A folder of entries ``<sha256 of key and output names>/``: a job's outputs, and `MANIFEST` with their digests.

    An entry appears whole or not at all, and is checked whenever it is taken: against its manifest, and, as its maker
    wrote that too, as the next job will check its inputs (`require_artifact`). Others may write in the folder, see
    `waferbench.engine.guarded`. Whatever is wrong is said on stderr and costs nothing but the saving: the caller
    computes.

    Args:
        folder: it is made when the first entry is. Who may read it may read entries; who may write in it may remove
            them, unless it has the sticky bit, where entries are their makers' own.
        linked: results and entries are the same files under two names, and nothing is on disk twice. For a study's own
            store, beside its results: a result that is changed in place damages its entry, and all names of a file get
            the present time when it is taken. What cannot be linked, or whose time is not ours to set, is copied.
            Without, everything is copied.
    """

    def __init__(self, folder: str | Path, linked: bool = False):
        self.folder = Path(folder)
        self.linked = linked
        self._told = False  # that files are copied

    def fetch(self, key: Mapping, outputs: Sequence[str | Path]) -> dict | None:
        """Put an entry's files in place of these outputs.

        Args:
            key: all that decides the outputs, any JSON-able mapping.
            outputs: files and folders, in the order in which they were added.

        Returns:
            What was recorded when the entry was made, or None: there is no such entry, or it cannot be taken.
        """
        name, places = _name(key, outputs), [Path(path) for path in outputs]
        try:
            with Folder.at(self.folder) as store:
                return self._fetch(store, name, key, places)
        except FileNotFoundError:  # no store as yet, or another removes the entry this very moment
            return None
        except OSError as error:  # not the entry's fault, or not ours to judge: another may be able to read it
            self._say(f"{self.folder / name} could not be taken ({error}); computing instead")
            return None
        finally:
            for place in places:
                _remove(partial(place))

    def add(self, key: Mapping, outputs: Sequence[str | Path], record: Mapping) -> None:
        """Add an entry of these outputs, on disk when it gets its name; of two that are made at once the first stays.

        Args:
            record: what `fetch` answers, any JSON-able mapping.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with Folder.at(self.folder) as store:
                self._add(store, _name(key, outputs), key, [Path(path) for path in outputs], record)
        except (OSError, Unfit) as error:
            self._say(f"nothing added to {self.folder} ({error}); the study goes on without")

    def clean(self, keep: int = 0) -> tuple[int, int]:
        """Remove entries, least recently used first, until the others need no more room than this.

        Only what costs room counts and goes: in a linked store, entries that no result shares any more. What killed
        processes left more than a day ago goes, too.

        Args:
            keep: bytes on disk.

        Returns:
            Entries removed, and bytes freed on disk.

        Raises:
            InputError: the folder cannot be read.
        """
        try:
            with self._readable() as store:
                return self._clean(store, keep)
        except FileNotFoundError:
            return 0, 0

    def spare(self) -> int:
        """Bytes on disk of what `clean` would remove: in a linked store, of entries that no result shares any more.

        Raises:
            InputError: the folder cannot be read.
        """
        try:
            with self._readable() as store:
                entries, names = self._removable(store)
        except FileNotFoundError:
            return 0
        for entry in entries:
            names.subtract(entry.files.keys())
        gone = {inode: file for entry in entries for inode, file in entry.files.items() if not names[inode]}
        return sum(512 * file.st_blocks for file in gone.values())

    @contextmanager
    def _readable(self) -> Iterator[Folder]:
        try:
            with Folder.at(self.folder) as store:
                yield store
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InputError(
                f"{self.folder}: {error.strerror}; ask its owner for the right to read and write it, then try again"
            ) from error

    def _fetch(self, store: Folder, name: str, key: Mapping, outputs: Sequence[Path]) -> dict | None:
        there = store.look(name)
        if there is None:
            return None
        try:
            with store.folder(name) as entry:
                recorded, record = read_manifest(entry, key, len(outputs))
                self._take(entry, recorded, outputs)
                with suppress(OSError):
                    os.utime(entry.descriptor)  # when it was last of use, for `clean`
        except (ValueError, RecursionError) as error:
            done = "it is removed" if _discard(store, name, there) else "it is not ours to remove"
            self._say(f"{self.folder / name} is damaged ({error}); {done}, and made anew here")
            return None
        return record

    def _take(self, entry: Folder, recorded: Sequence[Output], outputs: Sequence[Path]) -> None:
        """Bring an entry's files to these places, all or none; what its manifest does not tell of is left alone."""
        place, size = outputs[0].parent, sum(file.size for files in recorded for file in files.values())
        place.mkdir(parents=True, exist_ok=True)
        if not self.linked and size > shutil.disk_usage(place).free:
            # it may claim any size: the disk is not filled to find out
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for {size:,} bytes", str(place))
        for i, (files, output) in enumerate(zip(recorded, outputs, strict=True)):
            copy = partial(output)
            _remove(copy)  # of a killed process of the same number
            copy.parent.mkdir(parents=True, exist_ok=True)
            if "" not in files:
                copy.mkdir()
            for path, expected in files.items():
                *folders, name = _steps(i, path)
                target = copy / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with entry.within(folders) as folder:
                    self._bring(folder, name, expected, target)
        for output in outputs:
            require_artifact(partial(output), output)
        for output in outputs:
            _replace(partial(output), output)

    def _bring(self, folder: Folder, name: str, expected: Recorded, target: Path) -> None:
        with opened(folder.open(name)) as source:
            if os.fstat(source).st_size != expected.size:
                raise Unfit(f"the size of {target.name} is not the one recorded")
            if self._link(name, target, src_dir_fd=folder.descriptor) and self._renewed(source, target):
                found = copy_bytes(source, expected.size)
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                with opened(os.open(target, flags, 0o666)) as copy:
                    found = copy_bytes(source, expected.size, copy)
        if found != expected.sha256:
            raise Unfit(f"the digest of {target.name} is not the one recorded")

    def _renewed(self, source: int, target: Path) -> bool:
        """Give what was linked the present time: as an output it is new, and Snakemake compares times. Where another
        user's file does not let us, or the link is not seen to be the file that was opened (it was exchanged, or the
        file system numbers each name anew), the link goes, and what was opened has to be copied."""
        if not os.path.samestat(os.fstat(source), target.lstat()):
            target.unlink()
            return False
        try:
            os.utime(source)
        except PermissionError as error:
            target.unlink()
            self._tell_copied(error)
            return False
        return True

    def _add(self, store: Folder, name: str, key: Mapping, outputs: Sequence[Path], record: Mapping) -> None:
        there = store.look(name)
        if there is not None and stat.S_ISDIR(there.st_mode):
            return
        if there is not None:
            raise Unfit(f"{name} is in the way, which is no folder; its owner must remove it")
        for output in outputs:
            require_artifact(output, output)
        mode = _shared(store.facts.st_mode)
        making = f".making-{uuid4().hex}"
        try:
            with store.make(making) as entry:
                recorded = [self._keep(output, entry, i, mode) for i, output in enumerate(outputs)]
                with opened(entry.create(MANIFEST, mode & 0o666)) as file:
                    write_bytes(file, manifest(key, recorded, record))
                    sync(file)
                entry.sync()
                os.fchmod(entry.descriptor, mode)
                if not store.is_still(making, entry.facts):
                    raise Unfit("another user has exchanged what was being made")
            try:
                store.move(making, name)
                sync(store.descriptor)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # else another job was quicker
                    raise
        finally:
            with suppress(OSError, Unfit):
                store.remove(making)

    def _keep(self, output: Path, entry: Folder, number: int, mode: int) -> Output:
        """Add one output to an entry in the making."""
        recorded = {}
        for path, file in _files(output).items():
            *folders, name = _steps(number, path)
            with entry.within(folders, mode) as folder, open(file, "rb") as source:
                size = os.fstat(source.fileno()).st_size
                if self._link(file.resolve(), name, dst_dir_fd=folder.descriptor):
                    digest = copy_bytes(source.fileno(), size)
                else:
                    with opened(folder.create(name, mode & 0o666)) as copy:
                        digest = copy_bytes(source.fileno(), size, copy)
                recorded[path] = Recorded(size, digest)
        return recorded

    def _link(self, source: str | Path, target: str | Path, **folders: int) -> bool:
        """Give a file a second name, where this store does so and the system can."""
        if not self.linked:
            return False
        try:
            os.link(source, target, follow_symlinks=False, **folders)
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
            self._tell_copied(error)
            return False
        return True

    def _tell_copied(self, error: OSError) -> None:
        if not self._told:
            self._say(f"{self.folder} and the results cannot share files ({error.strerror}): they are copied")
        self._told = True

    def _clean(self, store: Folder, keep: int) -> tuple[int, int]:
        freed = sum(_discard_left(store, name) for name in store.names() if LEFT.fullmatch(name))
        entries, names = self._removable(store)
        sizes = {inode: 512 * file.st_blocks for entry in entries for inode, file in entry.files.items()}
        total, removed, kept = sum(sizes.values()), 0, 0
        for entry in sorted(entries, key=lambda entry: entry.facts.st_mtime):
            if total <= keep:
                break
            if not _discard(store, entry.name, entry.facts):
                kept += 1
                continue
            removed += 1
            names.subtract(entry.files.keys())
            gone = sum(sizes[inode] for inode in entry.files if not names[inode])
            total, freed = total - gone, freed + gone
        if kept:
            self._say(f"{kept} entries of {self.folder} are not ours to remove")
        return removed, freed

    def _removable(self, store: Folder) -> tuple[list[_Weighed], Counter[int]]:
        """The entries whose removal may free room; by inode, how many names of a file all entries hold."""
        entries = [entry for name in store.names() if ENTRY.fullmatch(name) and (entry := _weigh(store, name))]
        names = Counter(inode for entry in entries for inode in entry.files)
        if self.linked:  # of a file with more names than entries give it some result is one
            entries = [e for e in entries if all(file.st_nlink <= names[i] for i, file in e.files.items())]
        return entries, names

    def _say(self, text: str) -> None:
        """On stderr; what it quotes may come from another user, so no control character reaches a terminal."""
        print(f"{'store' if self.linked else 'cache'}: {InputError(text)}", file=sys.stderr)


def can_link(folder: str | Path, other: str | Path) -> bool:
    """Whether a file in one folder can get a second name in another; also true where that cannot be tried."""
    name = f".making-{uuid4().hex}"  # what a kill leaves of it in a store, `Store.clean` removes
    try:
        with Folder.at(folder) as source, Folder.at(other) as target:
            os.close(target.create(name))
            try:
                os.link(name, f"{name}0", src_dir_fd=target.descriptor, dst_dir_fd=source.descriptor)
            except OSError as error:
                return error.errno not in UNLINKABLE
            finally:
                target.remove(name)
                source.remove(f"{name}0")
    except (OSError, Unfit):  # not there, or not ours to write in
        return True
    return True


class _Weighed(NamedTuple):
    name: str
    facts: os.stat_result
    files: dict[int, os.stat_result]  # by inode


def _weigh(store: Folder, name: str) -> _Weighed | None:
    """What an entry holds; None where it cannot be seen."""
    try:
        with store.folder(name) as entry:
            return _Weighed(name, entry.facts, {file.st_ino: file for file in entry.files()})
    except (OSError, Unfit):
        return None


def _discard(store: Folder, name: str, facts: os.stat_result) -> bool:
    """Make room for a sound entry, where we may; renamed first, so that nobody meets half of it."""
    away = f".leaving-{uuid4().hex}"
    try:
        if not store.is_still(name, facts):
            return store.look(name) is None  # another has removed it, or made it anew
        store.move(name, away)
    except OSError:
        return False
    with suppress(OSError, Unfit):
        store.remove(away)
    return True


def _discard_left(store: Folder, name: str) -> int:
    """Remove what a killed process left, unless it may still be at work; bytes freed."""
    facts = store.look(name)
    if facts is None or abs(time.time() - facts.st_mtime) < DAY:  # or a day ahead: of a clock that was wrong
        return 0
    found = _weigh(store, name)
    try:
        store.remove(name)
    except (OSError, Unfit):
        return 0
    return sum(512 * file.st_blocks for file in found.files.values() if file.st_nlink == 1) if found else 0


def _name(key: Mapping, outputs: Sequence[str | Path]) -> str:
    names = [Path(path).name for path in outputs]
    return hashlib.sha256(canonical_json([key, names]).encode()).hexdigest()


def _steps(number: int, path: str) -> list[str]:
    """The names that lead to a file within an entry."""
    return [str(number), *path.split("/")] if path else [str(number)]


def _files(output: Path) -> dict[str, Path]:
    """The file, or the files of the folder by their path in it, but for Snakemake's own."""
    if not output.is_dir():
        return {"": output}
    inner = {file.relative_to(output): file for file in sorted(output.rglob("*")) if file.is_file()}
    own = {path for path in inner if any(part.startswith(".snakemake") for part in path.parts)}
    return {path.as_posix(): file for path, file in inner.items() if path not in own}


def _shared(mode: int) -> int:
    """The rights of an entry: those of the folder that holds it, to read alone where entries are their makers' own."""
    return mode & (0o755 if mode & stat.S_ISVTX else 0o777)


def _replace(copy: Path, path: Path) -> None:
    if copy.is_dir():
        _remove(path)
    os.replace(copy, path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
