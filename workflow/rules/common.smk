# Settings, paths and digests that the rules share. No rule here, and nothing that imports torch.

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from waferbench.base.errors import InputError
from waferbench.base.scope import PATTERN as SCOPES
from waferbench.config.grid import Grid
from waferbench.config.resolve import require_runnable, resolve
from waferbench.config.stages import CollectTables, Nothing, Run
from waferbench.engine.codehash import code_digest, own_digest
from waferbench.engine.identities import Weights
from waferbench.engine.slices import slice_text
from waferbench.learning.manifest import load_manifest
from waferbench.tracks import all_tracks, checks_of, settings_model


def checked(function, *arguments):
    """Call `function`; what is wrong with the input is said without a traceback."""
    try:
        return function(*arguments)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    except PermissionError as error:
        where = f"{error.filename}: {error.strerror}"
        raise WorkflowError(f"{where}; ask its owner for the right to read it, or name a file of your own") from None


checked(require_runnable, workflow.basedir)
TRACKS = all_tracks()
CFG = checked(resolve, config, settings_model(TRACKS), checks_of(TRACKS))
GRID = Grid(CFG)
STUDY, RUN, CELL, LOGS, RUN_LOGS = GRID.study, GRID.run, GRID.cell, GRID.logs, GRID.run_logs
WEIGHTS = Weights(checked(load_manifest, Path(workflow.basedir) / "resources/weights.yaml"), CFG.weights.folder)


def pack(stage, **given):
    """A stage's slice of the settings as a parameter: each field is the one given, else the study's of that name."""
    return slice_text(stage.of(CFG, CFG.dataset, **given))


def of_run(wildcards):
    """What tells one run of the grid from another, for tables and seeds."""
    return {"protocol": wildcards.protocol, "seed": int(wildcards.seed)}


def code(script):
    """The digest of everything that a script runs."""
    return checked(code_digest, SCRIPTS / f"{script}.py")


def sampler_code(script, module):
    """What decides a sample: the script's own file and all that the sampler runs, but not the filter or the pool."""
    return f"{own_digest(SCRIPTS / f'{script}.py')} {code(module)}"


def held(*names):
    """What the wildcards of a rule may be: constrained rule by rule, so that each track has its own."""
    known = {"protocol": "|".join([*GRID.protocols, "pooled"]), "seed": r"\d+", "fold": r"\d+", "scope": SCOPES}
    return {name: known.get(name, r"[^/]+") for name in names}
