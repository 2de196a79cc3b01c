# Settings, paths and digests that the rules share. No rule here, and nothing that imports torch.

from pathlib import Path

from snakemake.exceptions import WorkflowError

from waferbench.base.errors import InputError
from waferbench.base.places import RESOURCES, files_digest
from waferbench.base.scope import PATTERN as SCOPES
from waferbench.config.grid import Grid
from waferbench.config.resolve import require_runnable, resolve
from waferbench.config.stages import CollectTables, Nothing, Run
from waferbench.engine.codehash import code_digest, own_digest
from waferbench.engine.identities import Weights
from waferbench.engine.slices import parts_text, slice_text
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


checked(require_runnable, CLONE or RULES)
TRACKS = all_tracks()
for track in TRACKS:  # the keys of a section are shown in a file of their own, beside the one of the top level
    if track.section and Path(f"config/{track.name}.yaml").exists():

        configfile: f"config/{track.name}.yaml"


CFG = checked(resolve, config, settings_model(TRACKS), checks_of(TRACKS))
GRID = Grid(CFG)
STUDY, RUN, LOGS, RUN_LOGS = GRID.study, GRID.run, GRID.logs, GRID.run_logs
WEIGHTS = Weights(checked(load_manifest, RESOURCES / "weights.yaml"), CFG.weights.folder)


def pack(stage, **given):
    """A stage's slice of the settings as a parameter: each field is the one given, else the study's of that name."""
    forgotten = {"protocol", "seed"} & stage.model_fields.keys() - given.keys()
    if forgotten:  # the study's own seed would stand in for that of the run
        raise WorkflowError(f"a rule gives {stage.__name__} no {' and no '.join(sorted(forgotten))}")
    return slice_text(stage.of(CFG, CFG.dataset, **given))


def of_run(wildcards):
    """What tells one run of the grid from another, for tables and seeds."""
    return {"protocol": wildcards.protocol, "seed": int(wildcards.seed)}


def code(script):
    """The digest of everything that a script runs."""
    return checked(code_digest, source_of(script))


def sampler_code(script, module):
    """What decides a sample: the script's own file and all that the sampler runs, but not the filter or the pool."""
    return f"{own_digest(source_of(script))} {code(module)}"


def page_code(script, files):
    """What decides a page: the digest of its script, and of the templates and tables that it is made of."""
    return f"{code(script)} {files_digest(*files)}"


def held(*names):
    """What wildcards may be, by their names. Every rule states its own, so that tracks do not meet."""
    known = {"protocol": "|".join([*GRID.protocols, "pooled"]), "seed": r"\d+", "fold": r"\d+", "scope": SCOPES}
    return {name: known.get(name, r"[^/]+") for name in names}


def selected_wafers(wildcards):
    """The wafers that a protocol tells apart; generators always get those of the configured classes."""
    with_none = GRID.with_none(wildcards.protocol)
    return (rules.select_wafers_with_none if with_none else rules.select_wafers).output.selected


def folds_table(wildcards):
    """The folds, for what is trained on one of them; what sees all wafers needs none."""
    return {} if wildcards.scope == "pooled" else {"folds": rules.make_folds.output.folds}
