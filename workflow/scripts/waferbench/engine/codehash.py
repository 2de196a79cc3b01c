"""The digest of a script: its own syntax tree, that of every library module it reaches, and package versions.

Comments, docstrings and formatting do not count, so an edit re-runs exactly the rules whose code it changes. Nor do the
packages `OUTSIDE`: the engine decides no byte of a result, and settings reach a job as the text of their values.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from importlib import metadata
from pathlib import Path

from waferbench.base.errors import InputError

LIBRARY = "waferbench"
HOME = Path(__file__).resolve().parents[2]
PREAMBLE = "######## snakemake preamble end #########\n"  # ends what Snakemake puts before a script that it runs
OUTSIDE = ("waferbench.engine", "waferbench.config")
DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow", "sklearn": "scikit-learn", "yaml": "PyYAML"}
BY_NAME = ("import_module", "__import__", "run_path", "run_module")  # calls that import what no digest can follow
FINDS_ITS_OWN = "waferbench/tracks/__init__.py"  # what is made for all tracks reads none of their code's results
# without a bearing on what is computed
IGNORED = {"tqdm", "snakemake"}


def code_digest(script: str | Path) -> str:
    """12 hex digits for the code behind a script, or behind a module of the library in the script's folder."""
    script = Path(script)
    files, packages = _reach(script)
    names = {"script" if file == script else file.relative_to(_root(script)).as_posix(): file for file in files}
    lines = [f"{name} {_file_digest(file)}" for name, file in sorted(names.items())]
    lines += [f"{package} {_version(package)}" for package in sorted(packages)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def distributions(script: str | Path) -> list[str]:
    """The installed distributions whose packages the code behind a script names, in order."""
    _, packages = _reach(Path(script))
    return sorted(_distribution(package) for package in packages)


def own_digest(file: str | Path) -> str:
    """12 hex digits for the code of one file alone, without what it imports."""
    return _file_digest(Path(file))[:12]


def _reach(script: Path) -> tuple[set[Path], set[str]]:
    """The files reached by import, the script's own included, and the third-party packages they name."""
    files, packages, todo = set(), set(), [script]
    while todo:
        file = todo.pop()
        if file in files:
            continue
        files.add(file)
        for name in _imports(file):
            top = name.partition(".")[0]
            if top == LIBRARY and not _outside(name):
                todo.extend(_module_files(_root(script), name))
            elif beside := _beside(file, top):
                todo.append(beside)
            elif top != LIBRARY and top not in sys.stdlib_module_names and top not in IGNORED:
                packages.add(top)
    return files, packages


def _beside(file: Path, name: str) -> Path | None:
    """A module that lies beside a script, where Python looks first."""
    if (_root(file) / LIBRARY) in file.parents:
        return None
    places = (file.parent / f"{name}.py", file.parent / name / "__init__.py")
    return next((place for place in places if place.exists()), None)


def _outside(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in OUTSIDE)


@functools.cache
def _root(script: Path) -> Path:
    """The folder that holds the library: the script's own in a clone, else that of the one that is installed."""
    return next((folder for folder in script.parents if (folder / LIBRARY / "__init__.py").is_file()), HOME)


@functools.cache
def _module_files(root: Path, name: str) -> tuple[Path, ...]:
    """Files that importing a dotted name runs: the packages on the way, and the module if it is one."""
    found, parts = [], name.split(".")
    for depth in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:depth])
        found += [file for file in (base / "__init__.py", base.with_suffix(".py")) if file.exists()]
    return tuple(found)


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8").rpartition(PREAMBLE)[2], str(file))


@functools.cache
def _imports(file: Path) -> tuple[str, ...]:
    names = []
    by_name = file.as_posix().endswith(FINDS_ITS_OWN)
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or not node.module:
                raise InputError(
                    f"{file}: line {node.lineno}: a relative import, which the digest of code does not follow; write "
                    f"the module's full name (from {LIBRARY}. ... import ...)"
                )
            # `from package import module` reaches the module as well
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call) and not by_name:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in BY_NAME:
                raise InputError(
                    f"{file}: line {node.lineno}: {called}(...), which the digest of code does not follow; write an "
                    "import statement"
                )
    return tuple(names)


@functools.cache
def _file_digest(file: Path) -> str:
    tree = _tree(file)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):  # a text that stands alone says something and does nothing
            node.body = [part for part in body if not _is_text(part)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _distribution(package: str) -> str:
    return DISTRIBUTIONS.get(package, package.replace("_", "-"))


@functools.cache
def _version(package: str) -> str:
    try:
        return metadata.version(_distribution(package))
    except metadata.PackageNotFoundError:
        return "absent"
