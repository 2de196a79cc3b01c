from pathlib import Path

import pytest

from waferbench.base.errors import InputError
from waferbench.engine import codehash

ROOT = Path(__file__).parents[3]


SCRIPT = "from waferbench.engine.job import run\nfrom waferbench.near import x\n"


@pytest.fixture
def tree(tmp_path):
    library = tmp_path / "waferbench"
    library.mkdir()
    (library / "__init__.py").write_text("")
    (library / "near.py").write_text('"""Doc."""\nimport numpy\nfrom waferbench import far\n')
    (library / "far.py").write_text("VALUE = 1\n")
    (library / "other.py").write_text("VALUE = 1\n")
    (library / "engine").mkdir()
    (library / "engine" / "__init__.py").write_text("")
    (library / "engine" / "job.py").write_text("import requests\nMESSAGE = 'busy'\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def digest(tree):
    for known in (codehash._imports, codehash._file_digest, codehash._root, codehash._module_files):
        known.cache_clear()
    return codehash.code_digest(tree / "script.py")


@pytest.mark.parametrize(
    "file, text, same",
    [
        ("waferbench/near.py", '"""Other words."""\nimport numpy  # remark\n\nfrom waferbench import far\n', True),
        ("waferbench/other.py", "VALUE = 2\n", True),
        ("waferbench/far.py", "VALUE = 2\n", False),
        ("script.py", SCRIPT.replace("x\n", "y\n"), False),
        ("waferbench/far.py", 'VALUE = 1\n"""What the value is for."""\n', True),
        ("waferbench/engine/job.py", "import requests\nMESSAGE = 'none is free'\n", True),
        ("waferbench/engine/job.py", "import other\n", True),
        ("waferbench/near.py", "import scipy\nfrom waferbench import far\n", False),
    ],
)
def test_digest_follows_code_and_nothing_else(tree, file, text, same):
    before = digest(tree)
    (tree / file).write_text(text)
    assert (digest(tree) == before) is same


def test_package_versions_count(tree, monkeypatch):
    before = digest(tree)
    monkeypatch.setattr(codehash, "_version", lambda package: "0")
    assert digest(tree) != before


def test_a_module_beside_the_script_counts(tree):
    (tree / "script.py").write_text(SCRIPT + "import helper\n")
    without = digest(tree)
    (tree / "helper.py").write_text("from waferbench import other\n")
    before = digest(tree)
    assert before != without
    (tree / "waferbench/other.py").write_text("VALUE = 2\n")
    assert digest(tree) != before


@pytest.mark.parametrize("call", ["importlib.import_module('waferbench.far')", "__import__(name)", "import_module(x)"])
def test_an_import_by_name_is_refused_as_the_digest_could_not_follow_it(tree, call):
    (tree / "waferbench/near.py").write_text(f"import importlib\nfar = {call}\n")
    with pytest.raises(InputError, match=r"near\.py: line 2: .*write an import statement"):
        digest(tree)


@pytest.mark.parametrize("line", ["from . import far", "from .far import VALUE", "from .. import x"])
def test_a_relative_import_is_refused_and_not_skipped(tree, line):
    (tree / "waferbench/near.py").write_text(f"import numpy\n{line}\n")
    with pytest.raises(InputError, match=r"near\.py: line 2: a relative import"):
        digest(tree)


def test_no_digest_of_a_script_holds_the_engine_or_the_settings():
    folders = ("wafers", "synthesis")  # provenance looks at studies and makes no result
    scripts = [script for folder in folders for script in sorted((ROOT / "workflow/scripts" / folder).glob("*.py"))]
    assert len(scripts) > 30
    for script in scripts:
        files, packages = codehash._reach(script)
        inside = {file.relative_to(ROOT / "workflow/scripts/waferbench").parts[0] for file in files if file != script}
        assert not inside & {"engine", "config", "tracks"}, script
        assert "pydantic" not in packages
