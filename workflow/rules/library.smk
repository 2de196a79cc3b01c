# The library behind the rules: beside them in a clone, else installed, at the version of the rules. No rule here.

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from snakemake.exceptions import WorkflowError

RULES = str(workflow.current_basedir)  # a folder, or an address where Snakemake reads the rules from a repository
CLONE = Path(RULES).resolve().parents[1] if Path(RULES, "../scripts/waferbench").is_dir() else None


def library():
    """The folder that holds the library, which jobs will import, too."""
    if CLONE:
        scripts = CLONE / "workflow/scripts"
        known = find_spec("waferbench")
        if known and known.origin and Path(known.origin).resolve().parents[1] != scripts:  # jobs would find that first
            paths = filter(None, [str(scripts), os.environ.get("PYTHONPATH")])
            os.environ.update(PYTHONPATH=os.pathsep.join(paths))
        sys.path.insert(0, str(scripts))
    try:
        from waferbench.engine.version import VERSION
    except ImportError:
        raise WorkflowError(
            f"waferbench: the library is neither beside the rules ({RULES}) nor installed; pip install the repository "
            "that they are from, at the same version"
        ) from None
    found = Path(sys.modules["waferbench"].__file__).resolve().parents[1]
    if CLONE and found != CLONE / "workflow/scripts":
        raise WorkflowError(f"waferbench: found loaded from {found}, expected {CLONE}: one Snakefile, one waferbench")
    text = source_of("waferbench/engine/version", beside=True).read_text()
    stated = re.search(r'^VERSION = "(.+)"$', text, re.M)[1]
    if stated != VERSION:
        raise WorkflowError(
            f"waferbench: found version {VERSION} installed in {found}, expected {stated}, that of the rules ({RULES}); "
            "pip install the repository at that version"
        )
    return found


def source_of(script, beside=False):
    """The file of a script, or of a module of the library, by its path in the folder of scripts without the suffix.

    beside: of the library, the module that is beside the rules and not the installed one."""
    if CLONE:
        return CLONE / f"workflow/scripts/{script}.py"
    if script.startswith("waferbench/") and not beside:
        return LIBRARY / f"{script}.py"
    return Path(workflow.source_path(f"../scripts/{script}.py"))


LIBRARY = library()
