"""Work in folders that others can write: nothing done here follows a link, waits, or swells.

Whoever may write in a folder can put a link, a FIFO, a device or another file in place of what is expected there, at
any moment. So a folder is held open, everything in it is reached one name at a time from what is held, and only regular
files of a known size are read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from waferbench.base.files import sync

CHUNK = 1 << 20  # bytes read at once
DEEPEST = 32  # folders within each other
KINDS = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Unfit(ValueError):
    """What stands in a folder is not what was expected there: another kind of file, another size, nothing at all."""


class Folder:
    """A folder held open: what is done goes on in this very one, whatever its name stands for meanwhile.

    Names are of single files in it, never paths. All methods raise `Unfit` for a file of another kind than asked for,
    and OSError as the system does.
    """

    def __init__(self, descriptor: int):
        self.descriptor = descriptor

    @classmethod
    def at(cls, path: str | Path) -> Folder:
        """The folder that a user has named; links on the way to it are the user's own and are followed."""
        return cls(os.open(path, _FOLDER))

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)

    @property
    def facts(self) -> os.stat_result:
        """Of the folder itself."""
        return os.fstat(self.descriptor)

    def names(self) -> list[str]:
        """Of all that is in it, sorted."""
        return sorted(os.listdir(self.descriptor))

    def look(self, name: str) -> os.stat_result | None:
        """The facts of what has this name, of a link its own; None for nothing."""
        try:
            return os.stat(_single(name), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def folder(self, name: str) -> Folder:
        """A folder in this one."""
        self._require(name, stat.S_IFDIR)
        return Folder(os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=self.descriptor))

    @contextmanager
    def within(self, names: Sequence[str], mode: int | None = None) -> Iterator[Folder]:
        """The folder that these names lead to, one by one; with a mode, those that are missing are made with it."""
        with ExitStack() as held:
            folder = self
            for name in names:
                missing = mode is not None and folder.look(name) is None
                folder = held.enter_context(folder.make(name, mode) if missing else folder.folder(name))
            yield folder

    def make(self, name: str, mode: int = 0o700) -> Folder:
        """A new folder, private until it has this mode, whatever the umask."""
        os.mkdir(_single(name), 0o700, dir_fd=self.descriptor)
        made = self.folder(name)
        try:
            facts = made.facts
            if facts.st_uid != os.geteuid() or facts.st_mode & 0o077 or made.names():
                raise Unfit(f"{name} was exchanged while it was made")
            # what is made in it belongs to the same group, where the folder above passes its group on
            os.fchmod(made.descriptor, mode | facts.st_mode & stat.S_ISGID)
        except BaseException:
            os.close(made.descriptor)
            raise
        return made

    def open(self, name: str) -> int:
        """A regular file's descriptor for reading; neither a link nor a FIFO, which would be followed or waited for."""
        self._require(name, stat.S_IFREG)
        descriptor = os.open(name, _FILE, dir_fd=self.descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # exchanged since
            os.close(descriptor)
            raise Unfit(f"{name} is no regular file")
        return descriptor

    def read(self, name: str, most: int) -> bytes:
        """A small file's content.

        Args:
            most: bytes; a file that has more is `Unfit`.
        """
        with os.fdopen(self.open(name), "rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise Unfit(f"{name} has more than {most:,} bytes")
        return content

    def create(self, name: str, mode: int = 0o600) -> int:
        """A new file's descriptor for writing, with this mode, whatever the umask."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(_single(name), flags, 0o600, dir_fd=self.descriptor)
        if mode != 0o600:
            os.fchmod(descriptor, mode)
        return descriptor

    def move(self, name: str, to: str) -> None:
        """Rename within this folder."""
        os.rename(_single(name), _single(to), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def is_still(self, name: str, facts: os.stat_result) -> bool:
        """Whether this name stands for the file of these facts."""
        now = self.look(name)
        return now is not None and os.path.samestat(now, facts)

    def remove(self, name: str, depth: int = DEEPEST) -> None:
        """Remove a file, or a folder with all that is in it; what a link points to stays."""
        facts = self.look(name)
        if facts is None:
            return
        if stat.S_ISDIR(facts.st_mode):
            if not depth:
                raise Unfit(f"{name} lies more than {DEEPEST} folders deep")
            with self.folder(name) as inner:
                for other in inner.names():
                    inner.remove(other, depth - 1)
        with suppress(FileNotFoundError):  # another has removed it meanwhile
            (os.rmdir if stat.S_ISDIR(facts.st_mode) else os.unlink)(name, dir_fd=self.descriptor)

    def files(self, depth: int = DEEPEST) -> Iterator[os.stat_result]:
        """The facts of every regular file in it and in its folders."""
        for folder in self._folders(depth):
            found = (folder.look(name) for name in folder.names())
            yield from (facts for facts in found if facts is not None and stat.S_ISREG(facts.st_mode))

    def sync(self, depth: int = DEEPEST) -> None:
        """Wait until the names in it, and in its folders, are on the disk."""
        for folder in self._folders(depth):
            sync(folder.descriptor)

    def _folders(self, depth: int) -> Iterator[Folder]:
        """The folders in it, each open while it is looked at, and last this one."""
        if not depth:
            raise Unfit(f"its folders lie more than {DEEPEST} deep")
        for name in self.names():
            facts = self.look(name)
            if facts is not None and stat.S_ISDIR(facts.st_mode):
                with self.folder(name) as inner:
                    yield from inner._folders(depth - 1)
        yield self

    def _require(self, name: str, kind: int) -> None:
        facts = self.look(name)
        if facts is None:
            raise Unfit(f"{name} is missing")
        found = stat.S_IFMT(facts.st_mode)
        if found != kind:
            raise Unfit(f"{name} is {KINDS.get(found, 'no file')}, expected {KINDS[kind]}")


@contextmanager
def opened(descriptor: int) -> Iterator[int]:
    """Close a file's descriptor in the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def copy_bytes(source: int, size: int, target: int | None = None) -> str:
    """Copy an open file to another, on disk when this returns; without one, only read it.

    Args:
        size: bytes that it must have, no fewer and no more; a file that grows is left at that point.

    Returns:
        Its sha256.
    """
    hashed, left = hashlib.sha256(), size
    while block := os.read(source, min(CHUNK, left + 1)):
        left -= len(block)
        if left < 0:
            break
        hashed.update(block)
        if target is not None:
            write_bytes(target, block)
    if left:
        raise Unfit(f"a file has {'more' if left < 0 else 'fewer'} than the {size:,} bytes recorded")
    if target is not None:
        sync(target)
    return hashed.hexdigest()


def write_bytes(target: int, content: bytes) -> None:
    """Write all of it, which one call may not."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(target, rest) :]


def _single(name: str) -> str:
    """A name that leads nowhere else."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Unfit(f"{name!r} is no name of a file")
    return name
