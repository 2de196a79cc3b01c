"""The conda environments and the lock hold the same versions."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    lines = [line.split(";")[0].split("#")[0].strip() for line in path.read_text().splitlines()]
    return {normal(name): version for name, version in (line.split("==") for line in lines if line)}


LOCK = pins(ROOT / "requirements.txt")


@pytest.mark.parametrize("file", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda file: file.name)
def test_environment_pins_the_locked_versions(file):
    entries = next(d["pip"] for d in yaml.safe_load(file.read_text())["dependencies"] if isinstance(d, dict))
    for entry in entries:
        name, version = entry.split("==")
        assert LOCK[normal(name)] == version, f"{file.name}: {entry}, but the lock has {LOCK[normal(name)]}"


def test_every_package_asked_for_is_locked():
    for line in (ROOT / "requirements.in").read_text().splitlines():
        name = re.match(r"[A-Za-z0-9._-]*", line).group()
        assert not name or normal(name) in LOCK, name


def test_every_line_of_the_lock_is_an_exact_version_without_an_address():
    text = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-dev.txt").read_text()
    assert "://" not in text and "--" not in text.replace("--hash", "--")
    assert LOCK["torch"] == "2.15.0" and LOCK["torchvision"] == "0.29.2"
