"""Other users of one store, by their uid: who may read and remove, and that nobody can turn it against another."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from io import StringIO
from multiprocessing import get_context
from pathlib import Path

import pytest

from helpers.stored import KEY, RECORD, entry, made, outputs
from waferbench.base.files import digest
from waferbench.base.seals import STORE
from waferbench.engine.entries import MANIFEST
from waferbench.engine.store import Store

LAB, MAKER, COLLEAGUE, STRANGER = 64100, 64101, 64102, 64103
HARDLINKS = Path("/proc/sys/fs/protected_hardlinks")
PROTECTED = HARDLINKS.exists() and HARDLINKS.read_text().strip() == "1"


def become(user: int) -> None:
    """Be another user, who keeps files to themselves; all but the stranger are in the lab's group."""
    os.setgroups([] if user == STRANGER else [LAB])
    os.setgid(user)
    os.setuid(user)
    os.umask(0o077)


def of_user(user: int, act, lab: Path):
    """What an action returns and says when another user's process does it."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=become, initargs=(user,)) as pool:
        return pool.submit(heard, act, lab / "store", lab / str(user) / act.__name__).result()


def heard(act, store: Path, home: Path):
    with redirect_stderr(StringIO()) as said:
        return act(Store(store), home), said.getvalue()


def add(store: Store, home: Path) -> list[str]:
    store.add(KEY, made(home), RECORD)
    return [digest(path) for path in outputs(home)]


def take(store: Store, home: Path) -> list[str] | None:
    return store.fetch(KEY, outputs(home)) and [digest(path) for path in outputs(home)]


def clean(store: Store, home: Path) -> tuple[int, int]:
    return store.clean()


def spoil(store: Store, home: Path) -> list[str]:
    """Try all that a user may do to another's entry; what succeeded."""
    there, done = entry(store), []
    attempts = {
        "removed": lambda: (there / "0").unlink(),
        "written": lambda: (there / "0").write_text("spoilt"),
        "opened": lambda: there.chmod(0o777),
        "added": lambda: (there / "more").touch(),
        "renamed": lambda: there.rename(there.with_name("other")),
    }
    for name, act in attempts.items():
        try:
            act()
            done.append(name)
        except OSError as error:
            assert error.errno in (errno.EACCES, errno.EPERM)
    return done


@pytest.fixture
def lab() -> Iterator[Path]:
    """A common cache as docs/operating.md says, and a private folder for each user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become other users")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        lab = Path(folder)
        lab.chmod(0o755)
        for user in (MAKER, COLLEAGUE, STRANGER):
            (lab / str(user)).mkdir(mode=0o700)
            os.chown(lab / str(user), user, user)
        (lab / "store").mkdir()
        os.chown(lab / "store", 0, LAB)
        (lab / "store").chmod(0o3770)
        yield lab


def test_users_of_a_group_share_and_nobody_else_does(lab: Path):
    digests, said = of_user(MAKER, add, lab)
    assert said == ""
    assert of_user(COLLEAGUE, take, lab) == (digests, "")
    taken, said = of_user(STRANGER, take, lab)
    assert taken is None and "could not be taken (" in said and "Permission denied" in said
    digests, said = of_user(STRANGER, add, lab)
    assert len(digests) == 2 and "nothing added" in said and "Permission denied" in said


def test_an_entry_is_its_makers_own(lab: Path):
    digests, _ = of_user(MAKER, add, lab)
    assert of_user(COLLEAGUE, spoil, lab) == ([], "")
    (cleaned, said) = of_user(COLLEAGUE, clean, lab)
    assert cleaned == (0, 0) and "1 entries of" in said and "are not ours to remove" in said
    assert of_user(COLLEAGUE, take, lab) == (digests, "")
    assert of_user(MAKER, clean, lab)[0][0] == 1 and not list((lab / "store").iterdir())


def test_without_the_sticky_bit_a_colleague_clears_up_what_is_damaged(lab: Path):
    (lab / "store").chmod(0o2770)
    of_user(MAKER, add, lab)
    os.truncate(entry(Store(lab / "store")) / "0", 1)
    taken, said = of_user(COLLEAGUE, take, lab)
    assert taken is None and "it is removed, and made anew here" in said and not list((lab / "store").iterdir())


def test_a_cache_that_may_only_be_read_is_read(lab: Path):
    digests, _ = of_user(MAKER, add, lab)
    (lab / "store").chmod(0o2750)
    assert of_user(COLLEAGUE, take, lab) == (digests, "")
    os.truncate(entry(Store(lab / "store")) / "0", 1)
    taken, said = of_user(COLLEAGUE, take, lab)
    assert taken is None and "it is not ours to remove, and made anew here" in said
    shutil.rmtree(entry(Store(lab / "store")))
    _, said = of_user(COLLEAGUE, add, lab)
    assert "nothing added" in said and "Permission denied" in said


def racing(store: Store, home: Path) -> None:
    """Exchange whatever a maker makes for links to the maker's private file, as quickly as one can."""
    done = 0
    while not (store.folder / "stop").exists():
        for making in store.folder.glob(".making-*"):
            for path in (making / "0", making / "1", making / MANIFEST, making):
                try:
                    path.rename(home.with_name(f"{path.name}{done}"))
                    path.symlink_to(home.parents[1] / str(MAKER) / "private")
                    done += 1
                    (store.folder / "came").touch()
                except OSError:
                    continue


def adding(store: Store, home: Path) -> None:
    """Add until the other user has come between, which the sticky bit prevents."""
    sticky = store.folder.stat().st_mode & stat.S_ISVTX
    made(home)
    for number in range(1000):
        store.add({"number": number}, outputs(home), RECORD)
        if number > 40 and (sticky or (store.folder / "came").exists()):
            break


@pytest.mark.parametrize("mode", [0o2770, 0o3770])
def test_two_users_race_and_a_private_file_stays_as_it_is(mode: int, lab: Path):
    (lab / "store").chmod(mode)
    private = lab / str(MAKER) / "private"
    private.write_text("private")
    private.chmod(0o600)
    os.chown(private, MAKER, MAKER)
    with ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=become, initargs=(COLLEAGUE,)) as pool:
        other = pool.submit(heard, racing, lab / "store", lab / str(COLLEAGUE) / "racing")
        try:
            of_user(MAKER, adding, lab)
        finally:
            (lab / "store" / "stop").touch()
        other.result()
    assert private.read_text() == "private" and private.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def study(lab: Path) -> Path:
    """A results folder that the lab's group works in together."""
    (lab / "study").mkdir()
    os.chown(lab / "study", 0, LAB)
    (lab / "study").chmod(0o2775)
    return lab / "study"


def in_study(user: int, act, study: Path, umask: int = 0o022):
    """What an action on the study's own store and results of the user's returns and says."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=become, initargs=(user,)) as pool:
        return pool.submit(sharing, act, study, user, umask).result()


def sharing(act, study: Path, user: int, umask: int):
    os.umask(umask)
    with redirect_stderr(StringIO()) as said:
        return act(Store(study / STORE, linked=True), study / str(user)), said.getvalue()


def take_denied(store: Store, home: Path) -> list[str] | None:
    """Take where a link to another's file can be made, and its times cannot be set."""

    def denied(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    os.utime = denied  # of this process, which ends with the action
    return take(store, home)


def results(study: Path, user: int) -> list[os.stat_result]:
    return [path.stat() for path in (study / str(user)).rglob("*") if path.is_file() and path.name[0] != "."]


def inodes(study: Path, user: int) -> set[int]:
    return {file.st_ino for file in results(study, user)}


def test_who_may_write_each_others_results_shares_their_files(study: Path):
    digests, said = in_study(MAKER, add, study, umask=0o002)
    before = min(file.st_mtime for file in results(study, MAKER))
    assert said == "" and in_study(COLLEAGUE, take, study, umask=0o002) == (digests, "")
    assert inodes(study, COLLEAGUE) == inodes(study, MAKER)
    assert min(file.st_mtime for file in results(study, COLLEAGUE)) > before, "they are new to Snakemake"


@pytest.mark.skipif(not PROTECTED, reason="this system lets users link the files of others (protected_hardlinks)")
def test_files_that_only_their_maker_may_write_are_copied(study: Path):
    digests, _ = in_study(MAKER, add, study)
    taken, said = in_study(COLLEAGUE, take, study)
    assert taken == digests and said.count("cannot share files (Operation not permitted): they are copied") == 1
    assert not inodes(study, COLLEAGUE) & inodes(study, MAKER)
    assert {file.st_uid for file in results(study, COLLEAGUE)} == {COLLEAGUE}


def test_files_whose_times_are_not_ours_to_set_are_copied(study: Path):
    digests, _ = in_study(MAKER, add, study, umask=0o002)
    taken, said = in_study(COLLEAGUE, take_denied, study, umask=0o002)
    assert taken == digests and said.count("they are copied") == 1
    assert not inodes(study, COLLEAGUE) & inodes(study, MAKER)
    assert sorted(path.name for path in (study / str(COLLEAGUE)).iterdir()) == ["base", "gan.bin"]


def test_a_study_goes_on_where_its_store_is_another_users(study: Path):
    """It can neither be added to nor cleared, which is said; a damaged entry is passed over."""
    in_study(MAKER, add, study)
    shutil.rmtree(study / str(MAKER))
    cleared, said = in_study(COLLEAGUE, clean, study)
    assert cleared == (0, 0) and "1 entries of" in said and "are not ours to remove" in said
    os.truncate(entry(Store(study / STORE)) / "0", 1)
    taken, said = in_study(COLLEAGUE, take, study)
    assert taken is None and "it is not ours to remove, and made anew here" in said
    shutil.rmtree(entry(Store(study / STORE)))
    digests, said = in_study(COLLEAGUE, add, study)
    assert len(digests) == 2 and "nothing added" in said and "Permission denied" in said
    assert not list((study / STORE).iterdir())


def test_results_that_their_maker_keeps_private_are_computed_by_others(study: Path):
    in_study(MAKER, add, study, umask=0o077)
    taken, said = in_study(COLLEAGUE, take, study)
    assert taken is None and "could not be taken (" in said and "computing instead" in said
