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
OUTSIDE = ("waferbench.engine", "waferbench.config")
DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow", "sklearn": "scikit-learn", "yaml": "PyYAML"}
# without a bearing on what is computed
IGNORED = {"tqdm", "snakemake"}


def code_digest(script: str | Path) -> str:
    """12 hex digits for the code behind a script, or behind a module of the library in the script's folder."""
    script = Path(script)
    files, packages = _reach(script)
    lines = [f"{file.relative_to(_root(script))} {_file_digest(file)}" for file in sorted(files)]
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
            elif top != LIBRARY and top not in sys.stdlib_module_names and top not in IGNORED:
                packages.add(top)
    return files, packages


def _outside(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in OUTSIDE)


def _root(script: Path) -> Path:
    """The folder that holds the library."""
    return next((folder for folder in script.parents if (folder / LIBRARY).is_dir()), script.parent)


def _module_files(root: Path, name: str) -> list[Path]:
    """Files that importing a dotted name runs: the packages on the way, and the module if it is one."""
    found, parts = [], name.split(".")
    for depth in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:depth])
        found += [file for file in (base / "__init__.py", base.with_suffix(".py")) if file.exists()]
    return found


@functools.cache
def _imports(file: Path) -> tuple[str, ...]:
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
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
    return tuple(names)


@functools.cache
def _file_digest(file: Path) -> str:
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
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
