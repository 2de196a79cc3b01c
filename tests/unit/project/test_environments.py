"""The conda environments and the lock hold the same versions."""

import importlib.util
import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from waferbench.engine.codehash import DISTRIBUTIONS, _reach

ROOT = Path(__file__).parents[3]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    lines = [line.split(";")[0].split("#")[0].strip() for line in path.read_text().splitlines()]
    return {normal(name): version for name, version in (line.split("==") for line in lines if line)}


def entries_of(file: Path) -> list[str]:
    """The pinned packages of an environment file."""
    return next(d["pip"] for d in yaml.safe_load(file.read_text())["dependencies"] if isinstance(d, dict))


LOCK = pins(ROOT / "requirements.txt")


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "envs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_environments_are_what_the_lock_makes_of_them(generate, capsys):
    assert generate.main(["--check"]) == 0, capsys.readouterr().err
    made = {f"{name}.yaml" for name in generate.ENVIRONMENTS}
    assert made == {file.name for file in (ROOT / "envs").glob("*.yaml")}


def test_another_version_in_the_lock_is_named_and_written(generate, tmp_path, capsys):
    lock = tmp_path / "requirements.txt"
    lock.write_text((ROOT / "requirements.txt").read_text())
    assert generate.main([], tmp_path, lock) == 0
    for file in (ROOT / "envs").glob("*.yaml"):
        assert (tmp_path / file.name).read_text() == file.read_text()
    lock.write_text(re.sub(r"^onnx==.*", "onnx==9.9", lock.read_text(), flags=re.M))
    capsys.readouterr()
    assert generate.main(["--check"], tmp_path, lock) == 1
    assert re.findall(r"envs/\w+\.yaml", capsys.readouterr().err) == ["envs/torch.yaml"]
    assert (tmp_path / "torch.yaml").read_text() == (ROOT / "envs/torch.yaml").read_text(), "--check wrote"
    assert generate.main([], tmp_path, lock) == 0
    assert "- onnx==9.9\n" in (tmp_path / "torch.yaml").read_text()


@pytest.mark.parametrize("file", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda file: file.name)
def test_environment_pins_the_locked_versions(file):
    for entry in entries_of(file):
        name, version = entry.split("==")
        assert LOCK[normal(name)] == version, f"{file.name}: {entry}, but the lock has {LOCK[normal(name)]}"


def needed(package: str, found: set[str]) -> set[str]:
    """A distribution and all that it requires, by the installed metadata."""
    if package not in found:
        found.add(package)
        for line in metadata.requires(package) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed(normal(requirement.name), found)
    return found


def scripts_by_environment() -> dict[str, set[str]]:
    """Environment file -> scripts of the rules that run in it."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "workflow/rules").rglob("*.smk"):
        if file.name == "doctor.smk":  # looks on in Snakemake's own environment, to work where others do not
            continue
        for rule in re.split(r"^(?:rule|checkpoint) ", file.read_text(), flags=re.M)[1:]:
            script = re.search(r'"[./]+/scripts/([\w/]+)\.py"', rule)
            if script is None:  # a target, which runs nothing itself
                continue
            found.setdefault(re.search(r'"[./]+/envs/(\w+\.yaml)"', rule)[1], set()).add(script[1])
    return found


@pytest.mark.parametrize("file", sorted(scripts_by_environment()))
def test_environment_holds_what_its_scripts_import(file):
    entries = entries_of(ROOT / "envs" / file)
    there = set().union(*(needed(normal(entry.split("==")[0]), set()) for entry in entries))
    for script in scripts_by_environment()[file]:
        _, packages = _reach(ROOT / f"workflow/scripts/{script}.py")
        missing = {normal(DISTRIBUTIONS.get(name, name)) for name in packages} - there
        assert not missing, f"envs/{file} lacks {sorted(missing)}, which {script}.py imports"


def test_every_package_asked_for_is_locked():
    for line in (ROOT / "requirements.in").read_text().splitlines():
        name = re.match(r"[A-Za-z0-9._-]*", line).group()
        assert not name or normal(name) in LOCK, name


def test_the_locks_agree():
    for file in ("requirements-dev.txt", "requirements-cluster.txt"):
        for name, version in pins(ROOT / file).items():
            assert LOCK.get(name, version) == version, f"{file}: {name}=={version}, but the lock has {LOCK[name]}"


def test_settings_can_be_read_in_every_environment():
    for file in (ROOT / "envs").glob("*.yaml"):
        assert any(entry.startswith("pydantic==") for entry in entries_of(file)), file.name


def test_every_line_of_the_lock_is_an_exact_version_without_an_address():
    text = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-dev.txt").read_text()
    assert "://" not in text and "--" not in text.replace("--hash", "--")
    assert LOCK["torch"] == "2.15.0" and LOCK["torchvision"] == "0.29.2"
