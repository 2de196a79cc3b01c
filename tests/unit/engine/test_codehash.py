import pytest

from waferbench.engine import codehash


@pytest.fixture
def tree(tmp_path):
    library = tmp_path / "waferbench"
    library.mkdir()
    (library / "__init__.py").write_text("")
    (library / "near.py").write_text('"""Doc."""\nimport numpy\nfrom waferbench import far\n')
    (library / "far.py").write_text("VALUE = 1\n")
    (library / "other.py").write_text("VALUE = 1\n")
    (tmp_path / "script.py").write_text("from waferbench.near import x\n")
    return tmp_path


def digest(tree):
    codehash._imports.cache_clear()
    codehash._file_digest.cache_clear()
    return codehash.code_digest(tree / "script.py")


@pytest.mark.parametrize(
    "file, text, same",
    [
        ("waferbench/near.py", '"""Other words."""\nimport numpy  # remark\n\nfrom waferbench import far\n', True),
        ("waferbench/other.py", "VALUE = 2\n", True),
        ("waferbench/far.py", "VALUE = 2\n", False),
        ("script.py", "from waferbench.near import y\n", False),
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
