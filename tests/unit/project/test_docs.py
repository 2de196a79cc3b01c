"""What the documents point to exists; what must not stand in them does not; the version is the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("config/*.md")])
CODE = re.compile(r"^( *)```.*?^\1```", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HOSTS = [  # of registries and indexes
    *["pypi.org", "pythonhosted.org", "anaconda.org", "anaconda.com", "prefix.dev", "huggingface.co", "hf.co"],
    *["docker.io", "docker.com", "quay.io", "ghcr.io", "npmjs", "crates.io"],
]
PRIVATE = [f"{up}shared" for up in ("../", "..\\")] + ["/root/", "/work/"]  # paths of one machine


def test_the_documents_are_found():
    assert {"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "operating.md"} <= {d.name for d in DOCS}


def links(document: Path) -> list[tuple[str, str]]:
    """Relative links outside of code: path ("" for the document itself) and anchor."""
    found = LINK.findall(CODE.sub("", document.read_text()))
    parts = [link.partition("#") for link in found if not re.match(r"[a-z]+:", link)]
    return [(path, anchor) for path, _, anchor in parts]


def anchors(document: Path) -> set[str]:
    """Anchors of a document's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", document.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document):
    for path, anchor in links(document):
        target = document.parent / path if path else document
        assert target.exists(), f"{document.name}: no {path}"
        if anchor:
            assert anchor in anchors(target), f"{document.name}: {target.name} has no heading #{anchor}"


@pytest.mark.parametrize("document", DOCS, ids=lambda document: document.name)
def test_every_document_that_is_named_exists(document):
    for name in re.findall(r"`(docs/[\w./-]+\.md)`", document.read_text()):
        assert (ROOT / name).exists() or document.name == "CHANGELOG.md", f"{document.name} names {name}"


def test_code_names_no_document_that_is_gone():
    files = [ROOT / "Snakefile", *ROOT.glob("requirements*"), *(ROOT / "benchmarks").glob("*.py")]
    for folder in ("config", "profiles", "workflow", "resources"):
        files += [file for file in (ROOT / folder).rglob("*") if file.suffix in {".py", ".smk", ".yaml", ".sh", ".md"}]
    for file in files:
        for name in re.findall(r"\bdocs/[\w-]+\.md\b", file.read_text()):
            assert (ROOT / name).exists(), f"{file.relative_to(ROOT)} names {name}"


def test_the_readme_leads_to_every_document():
    led = {path for path, _ in links(ROOT / "README.md")}
    missing = {str(document.relative_to(ROOT)) for document in DOCS if document.parent != ROOT / "config"} - led
    assert missing == {"README.md"}


@pytest.mark.parametrize("document", DOCS, ids=lambda document: document.name)
def test_no_document_names_a_registry_or_a_path_of_one_machine(document):
    text = document.read_text()
    assert not [word for word in (*HOSTS, *PRIVATE) if word in text]


def test_no_lock_names_a_registry():
    for file in [*ROOT.glob("requirements*"), *ROOT.glob("envs/*"), ROOT / "pyproject.toml"]:
        if file.is_file():
            assert not [host for host in HOSTS if host in file.read_text()], file.name


def test_linters_of_ci_run_before_a_commit():
    style = re.search(r'^stage "style"\n(.*?)\n\n', (ROOT / ".ci/run").read_text(), re.M | re.S)[1]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = {hook["entry"].removeprefix("env ") for repo in config["repos"] for hook in repo["hooks"]}
    assert {line.removeprefix("env ") for line in style.splitlines()} <= entries


def test_ci_finds_every_marked_test_where_it_looks():
    looks = {ROOT / "tests/workflow", ROOT / "tests/cluster"}
    for file in (ROOT / "tests").rglob("test_*.py"):
        marked = re.search(r"pytest\.mark\.(workflow|cluster)\b", file.read_text())
        assert not marked or file.parent in looks, f"{file}: .ci/run looks for {marked[1]} tests elsewhere"


def test_the_version_is_the_same_everywhere():
    file = ROOT / "workflow/scripts/waferbench/engine/version.py"
    version = re.search(r'^VERSION = "(.+)"$', file.read_text(), re.M)[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "waferbench.engine.version.VERSION"}
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)[1] == version
