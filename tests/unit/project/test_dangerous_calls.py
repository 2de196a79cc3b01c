"""No code of the project runs what a file holds: dangerous calls are forbidden by name, exceptions are explained."""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CODE = sorted(path for part in ("workflow", "tests", "benchmarks") for path in (ROOT / part).rglob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").rglob("*.smk"))]
PAGES = sorted(path for path in (ROOT / "workflow/report").rglob("*") if path.suffix in (".j2", ".js", ".rst"))

FORBIDDEN = {  # run or build what a file asks for, or leave the folder they are given
    *("eval", "exec", "__import__", "os.system", "os.popen", "tempfile.mktemp"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell", "snakemake.shell"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "pickle._Unpickler", "dill.load", "dill.loads"),
    *("cloudpickle.load", "cloudpickle.loads", "marshal.load", "marshal.loads", "shelve.open", "joblib.load"),
    *("pandas.read_pickle", "torch.jit.load", "torch.hub.load", "torch.hub.download_url_to_file"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load"),
    *("xml.etree.ElementTree.parse", "xml.etree.ElementTree.fromstring", "xml.etree.ElementTree.XML"),
    *("xml.etree.ElementTree.iterparse", "xml.dom.minidom.parse", "xml.dom.minidom.parseString", "xml.sax.parse"),
    *("tarfile.open", "shutil.unpack_archive", "urllib.request.urlopen", "urllib.request.urlretrieve"),
    *("urllib.request.build_opener", "requests.get", "markupsafe.Markup"),
}
METHODS = {"extract", "extractall"}  # of archives, whatever the object is called
NEEDED = {  # calls that are safe with this argument alone
    "numpy.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
    "jinja2.Environment": ("autoescape", True),
}
WAFERBENCH = "workflow/scripts/waferbench"
ALLOWED = {  # (file, call): why
    (
        f"{WAFERBENCH}/wafers/ingest/frames.py",
        "pickle.Unpickler",
    ): "restricted: find_class knows stand-ins alone",
    (
        f"{WAFERBENCH}/wafers/ingest/g85.py",
        "xml.etree.ElementTree.parse",
    ): "its parser refuses document types",
    (
        f"{WAFERBENCH}/synthesis/quality/features.py",
        "torch.jit.load",
    ): "Inception's published file, of a pinned digest",
    (
        f"{WAFERBENCH}/learning/download.py",
        "urllib.request.build_opener",
    ): "https alone, size and digest checked",
    (f"{WAFERBENCH}/report/kit/figures.py", "markupsafe.Markup"): "figures, whose texts matplotlib has escaped",
}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The full name of everything that is called, inherited from or passed on, with the node it stands at."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.split(".")[0]: alias.asname and alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = ast.unparse(node)
            head, dot, rest = name.partition(".")
            yield (names.get(head) or head) + dot + rest, called.get(id(node), node)


def dangers(tree: ast.AST) -> Iterator[str]:
    """The dangerous calls of one file."""
    for name, node in calls(tree):
        keywords = {k.arg: k.value for k in node.keywords} if isinstance(node, ast.Call) else {}
        if name in FORBIDDEN:
            yield name
        if name in NEEDED:
            key, value = NEEDED[name]
            given = keywords.get(key)
            if not (isinstance(given, ast.Constant) and given.value is value):
                yield f"{name} without {key}={value}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and name.rpartition(".")[2] in METHODS:
            yield name
        shell = keywords.get("shell")
        if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
            yield f"{name} with shell"
        if name.endswith(".from_pretrained") and isinstance(node, ast.Call):
            local = keywords.get("local_files_only")
            if not (isinstance(local, ast.Constant) and local.value is True) and None not in keywords:
                yield f"{name} without local_files_only=True"


@lru_cache
def found() -> set[tuple[str, str]]:
    return {
        (path.relative_to(ROOT).as_posix(), danger)
        for path in CODE
        for danger in dangers(ast.parse(path.read_text(encoding="utf-8")))
    }


def test_no_dangerous_call_but_the_explained_ones():
    assert found() - set(ALLOWED) == set()


def test_no_explanation_outlives_its_call():
    assert set(ALLOWED) - found() == set()


@pytest.mark.parametrize(
    "text",
    [
        "import pickle\npickle.load(f)",
        "from pickle import loads as l\nl(b'')",
        "import numpy as np\nnp.load(f)",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "import torch\ntorch.load(f, weights_only=False)",
        "import subprocess\nsubprocess.run(command, shell=True)",
        "import xml.etree.ElementTree as ET\nET.fromstring(text)",
        "import yaml\nyaml.load(text)",
        "from jinja2 import Environment\nEnvironment()",
        "archive.extractall(folder)",
        "run = eval",
        "map(__import__, names)",
    ],
)
def test_the_search_finds_what_it_is_for(text):
    assert list(dangers(ast.parse(text)))


def test_code_is_found_at_all():
    assert len(CODE) > 150 and len(RULES) > 10 and len(PAGES) > 8


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_run_scripts_and_no_shell(path):
    text = path.read_text(encoding="utf-8")
    if path.name == "doctor.smk":  # looks on from within Snakemake's own process, to work where scripts do not
        text = re.sub(r"^    run:$", "", text, flags=re.MULTILINE)
    unsafe = r"^\s*(shell|run)\s*:|\bshell\(|os\.system|subprocess|yaml\.load\(|eval\(|exec\("
    assert not re.search(unsafe, text, re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_escape_whatever_they_are_given(path):
    text = path.read_text(encoding="utf-8")
    unsafe = r"\|\s*safe\b|autoescape\s+false|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\("
    assert not re.search(unsafe, text)
