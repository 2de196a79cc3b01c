"""What makes this Python compute something else than its packages say is found; what every Python has is not."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from waferbench.engine import interpreter
from waferbench.engine.interpreter import distribution_digest, patched

SCRIPTS = Path(interpreter.__file__).parents[2]


def seen(*options: str, **variables: str) -> str:
    """What an interpreter that starts with these variables says of itself."""
    code = f"import sys\nsys.path.insert(0, {str(SCRIPTS)!r})\nfrom waferbench.engine import interpreter\n"
    code += "print(interpreter.patched())"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, *options, "-c", code], env={**clean, **variables}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The only place of packages."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(interpreter.site, "getsitepackages", lambda: [str(tmp_path)])
    monkeypatch.setattr(interpreter.site, "ENABLE_USER_SITE", False)
    monkeypatch.setattr(interpreter, "CUSTOM", ())
    return tmp_path


def test_an_interpreter_as_it_was_installed_is_not_patched():
    assert seen(PYTHONPATH=str(SCRIPTS)) == seen() == seen(PYTHONSTARTUP="/dev/null")
    assert "PYTHONPATH" not in seen() and "customize" not in seen()


def test_packages_of_another_folder_are_found(tmp_path: Path):
    assert seen(PYTHONPATH=f"{SCRIPTS}{os.pathsep}{tmp_path}") == f"PYTHONPATH names {tmp_path}"
    assert "PYTHONPATH" not in seen(PYTHONPATH=str(tmp_path / "none"))
    assert "PYTHONPATH" not in seen("-E", PYTHONPATH=str(tmp_path)), "which this one does not heed"


def test_a_module_run_at_the_start_is_found(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for name in ("sitecustomize", "usercustomize"):
        file = tmp_path / f"{name}.py"
        monkeypatch.setitem(sys.modules, name, type(sys)(name))
        sys.modules[name].__file__ = str(file)
        assert patched() == f"{file} is run at its start"
        monkeypatch.delitem(sys.modules, name)


def test_pythons_own_is_not(folder: Path, monkeypatch):
    monkeypatch.setattr(interpreter, "CUSTOM", ("sitecustomize",))
    monkeypatch.setitem(sys.modules, "sitecustomize", type(sys)("sitecustomize"))
    sys.modules["sitecustomize"].__file__ = str(Path(os.__file__).with_name("sitecustomize.py"))
    assert patched() == ""
    sys.modules["sitecustomize"].__file__ = str(Path(os.__file__).with_name("site-packages") / "sitecustomize.py")
    assert "is run at its start" in patched()


def test_code_among_the_packages_is_found_unless_a_package_brought_it(folder: Path):
    (folder / "paths.pth").write_text("/somewhere\n# import this\n")
    assert patched() == ""
    (folder / "hook.pth").write_text("/somewhere\nimport hook; hook.patch()\n")
    assert patched() == f"{folder / 'hook.pth'} is run at its start, which no installed package brought"
    (folder / "other-1.dist-info").mkdir()
    (folder / "other-1.dist-info" / "RECORD").write_text("a-hook.pth,sha256=0,1\nhook.pth.txt,,\n")
    assert patched()
    (folder / "hook-1.dist-info").mkdir()
    (folder / "hook-1.dist-info" / "RECORD").write_text("hook.py,sha256=0,1\nhook.pth,sha256=0,1\n")
    assert patched() == ""


def test_what_makes_environments_is_no_patch(folder: Path):
    (folder / "_virtualenv.pth").write_text("import _virtualenv")
    assert patched() == ""


def install(folder: Path, record: str | None, version: str = "1.0") -> str:
    """The digest of a package with this list of files."""
    info = folder / f"made_up-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-up\nVersion: {version}\n")
    (info / "RECORD").unlink(missing_ok=True)
    if record is not None:
        (info / "RECORD").write_text(record)
    distribution_digest.cache_clear()
    return distribution_digest("made-up")


RECORD = "made_up/a.py,sha256=aa,10\nmade_up/b.so,sha256=bb,20\n"
NOTES = (
    "../../../bin/made-up,sha256=of-this-environment,200\nmade_up-1.0.dist-info/INSTALLER,sha256=pip,4\n"
    "made_up/__pycache__/a.cpython-311.pyc,,\nmade_up-1.0.dist-info/RECORD,,\n"
)


def test_the_files_of_a_package_tell_it_from_another_and_nothing_else_does(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    first = install(tmp_path, RECORD)
    assert len(first) == 64 and install(tmp_path, NOTES + RECORD) == first
    assert install(tmp_path, "\n".join(reversed(RECORD.splitlines()))) == first
    assert install(tmp_path, RECORD.replace("bb", "cc")) != first
    assert install(tmp_path, None) not in (first, "absent")
    (tmp_path / "made_up-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 2\n")
    distribution_digest.cache_clear()
    assert distribution_digest("made-up") not in (first, "absent")
    distribution_digest.cache_clear()


def test_installed_packages_have_digests_and_others_none():
    assert distribution_digest("numpy") != distribution_digest("pandas")
    assert metadata.version("numpy") and distribution_digest("no-such-package") == "absent"
