"""What a ready diffusion base is known by: its content, or the commit of an earlier download."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from waferbench.base.errors import InputError
from waferbench.engine.bases import hold_base, hub_cache, planned_base

NAME, STUDY = "somebody/base", Path("results/s")
OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """A folder to work in, and beside it an empty cache of the hub."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "work"


def download(commit: str) -> Path:
    """What the hub's client leaves of a download of the branch main."""
    repo = hub_cache() / "models--somebody--base"
    part = repo / "snapshots" / commit / "unet"
    part.mkdir(parents=True, exist_ok=True)
    (part / "config.json").write_text("{}")
    (repo / "refs").mkdir(exist_ok=True)
    (repo / "refs/main").write_text(commit)
    return part.parent


def base(folder: Path, content: str = "{}") -> Path:
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    (folder / "unet/config.json").write_text(content)
    return folder


def plan(folder: str = "") -> str:
    return planned_base(NAME, folder, STUDY)


def test_a_download_is_known_by_its_commit(work):
    assert plan() == ""
    old = download(OLD)
    assert plan() == OLD and not hold_base(NAME, old, OLD, STUDY)
    download(NEW)
    assert plan() == NEW, "another revision is another base"


def test_a_folder_is_known_by_its_parts_and_comes_before_a_download(work):
    download(OLD)
    base(work / "mine/base")
    before = plan("mine")
    (work / "mine/base/README.md").write_text("1")
    assert len(before) == 16 and plan("mine") == before == planned_base("mine/base", "", STUDY)
    base(work / "mine/base", "[]")
    assert plan("mine") not in (before, "")
    (work / "mine/base").rename(work / "mine/other")
    (work / "mine/base").write_text("a file is no base")
    assert plan("mine") == OLD


def test_a_damaged_cache_holds_no_base(work):
    download(OLD)
    main = hub_cache() / "models--somebody--base/refs/main"
    for content in (b"", b"\xff", b"..", b"c" * 40, b"a" * 1000):
        main.write_bytes(content)
        assert plan() == ""
    main.unlink()
    os.mkfifo(main)
    assert plan() == ""


def test_a_base_replaced_after_the_plan_is_not_taken_for_the_planned_one(work):
    planned = planned_base(str(base(work / "base")), "", STUDY)
    base(work / "base", "[]")
    with pytest.raises(InputError, match=f"base: changed since the study was planned: .* expected {planned}"):
        hold_base("base", work / "base", planned, STUDY)
    with pytest.raises(InputError, match=f"found {NEW}, expected {OLD}"):
        hold_base(NAME, download(NEW), OLD, STUDY)


def test_what_a_job_downloads_is_not_loaded_again_under_another_name(work):
    assert plan() == ""
    assert "no key" in hold_base(NAME, download(OLD), "", STUDY)
    assert plan() == "", "else all that it decided would be trained again"
    assert planned_base(NAME, "", Path("results/other")) == OLD, "another study knows it from the beginning"
    assert hold_base(NAME, download(OLD), "", STUDY), "whatever comes later has it in no key, too"
    new = download(NEW)
    with pytest.raises(InputError, match=f"found {NEW}, expected {OLD}"):
        hold_base(NAME, new, "", STUDY)
    assert plan() == NEW, "and then it is planned with what is there"


def test_the_cache_is_where_the_client_of_the_hub_has_it():
    script = (
        "import importlib, json, os, sys\nfrom huggingface_hub import constants\nfound = []\n"
        "for more in json.loads(sys.argv[1]):\n"
        "    before = dict(os.environ)\n    os.environ.update(more)\n"
        "    found.append(importlib.reload(constants).HF_HUB_CACHE)\n"
        "    os.environ.clear()\n    os.environ.update(before)\n"
        "print(json.dumps(found))"
    )
    places = [{}, {"XDG_CACHE_HOME": "/x"}, {"HF_HOME": "~/h"}, {"HUGGINGFACE_HUB_CACHE": "/old"}]
    places += [{"HF_HOME": "$ROOM/h", "ROOM": "/r"}, {"HF_HUB_CACHE": "~/c", "HF_HOME": "/h"}]
    names = {name for more in places for name in more}
    bare = {name: value for name, value in os.environ.items() if name not in names}
    asked = [sys.executable, "-c", script, json.dumps(places)]
    theirs = json.loads(subprocess.run(asked, env=bare, check=True, capture_output=True, text=True, timeout=60).stdout)
    with pytest.MonkeyPatch.context() as patch:
        for more, expected in zip(places, theirs, strict=True):
            for name in names:
                patch.delenv(name, raising=False)
            for name, value in more.items():
                patch.setenv(name, value)
            assert hub_cache() == Path(expected), more
