# Settings, paths and digests that the rules share. No rule here, and nothing that imports torch.

import json
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from waferbench.engine.codehash import code_digest, own_digest
from waferbench.tools.doctor.visit import visit
from waferbench.base.errors import InputError
from waferbench.base.machine import may_write
from waferbench.learning.manifest import load_manifest
from waferbench.base.names import slugs
from waferbench.engine.objectstore import check_bucket
from waferbench.base.protocols import NONE, protocol
from waferbench.config.settings import load_schema, require_runnable, resolve
from waferbench.base.sourcefiles import fingerprint, own_weights


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
CFG = checked(resolve, config, load_schema(Path(workflow.basedir) / "workflow/schemas/config.schema.yaml"))
if workflow.storage_settings.default_storage_provider == "s3":
    provider = workflow.storage_registry.default_storage_provider
    checked(check_bucket, workflow.storage_settings.default_storage_prefix, provider.settings)

CLASSES = CFG["dataset"]["classes"]
LABELS = list(checked(slugs, CLASSES).values())
CONDITIONS = {name: CFG["define"]["conditions"][name] for name in CFG["conditions"]}
SOURCES = {
    name: CFG["define"]["sources"][name]
    for name in dict.fromkeys(condition["source"] for condition in CONDITIONS.values())
    if name in CFG["define"]["sources"]
}
PROTOCOLS = {name: protocol(name) for name in CFG["folds"]["protocols"]}
CLASSES_OF = {name: PROTOCOLS[name].classes(CLASSES) for name in PROTOCOLS}
SEEDS = [CFG["seed"] + repeat for repeat in range(CFG["repeats"])]

STUDY = f"results/{CFG['study']}"
RUN = f"{STUDY}/{{protocol}}/seed{{seed}}"
LOGS = f"{STUDY}/logs"
RUN_LOGS = f"{LOGS}/{{protocol}}-seed{{seed}}"
FILTER = {"thresholds": "thresholds.json", "cnn": "cnn.safetensors"}
CELL = f"{RUN}/fold{{fold}}/cells/{{backbone}}/{{condition}}"
WEIGHTS = checked(load_manifest, Path(workflow.basedir) / "resources/weights.yaml")
USED = {  # the configuration, but for definitions that this study does not use and what only predictions read
    **{key: value for key, value in CFG.items() if key not in ("wafers", "predict", "cache")},
    "define": {
        "conditions": CONDITIONS,
        "backbones": {name: CFG["define"]["backbones"][name] for name in CFG["backbones"]},
        "sources": SOURCES,
    },
}
config["machine"] = {  # what a machine offers and results do not depend on: scripts see it, no digest does
    "study": CFG["study"],
    "cache": CFG["cache"],
    "weights": CFG["weights"],
    "svm_memory_gb": CFG["svm"]["memory_gb"],
}


wildcard_constraints:
    protocol="|".join([*PROTOCOLS, "pooled"]),  # pooled: generators that saw all wafers, shared by all protocols
    seed=r"\d+",
    scope=r"fold\d+|pooled",
    fold=r"\d+",
    source=r"[^/]+",
    label=r"[^/]+",
    backbone=r"[^/]+",
    condition=r"[^/]+",


def pack(**slices):
    """A rule's own slice of the settings as one canonical text: equal settings, equal parameter.

    In texts `{` and `<` are written as JSON escapes: Snakemake takes `{fold}` in a class name for a wildcard, and puts
    parameters into its report as they are, where `</script>` would end the script.
    """
    text = json.dumps(slices, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    text = re.sub(r'\{(?=[^"}])', r"\\u007b", text)  # braces of JSON itself stand before a quote or a brace
    return text.replace("<", r"\u003c")


def code(script):
    """The digest of everything that `script` runs."""
    return code_digest(SCRIPTS / f"{script}.py")


def sampler_code(script, module):
    """What decides a sample: the script's own file and all that the sampler runs, but not the filter or the pool."""
    return f"{own_digest(SCRIPTS / f'{script}.py')} {code(module)}"


def only(section, *keys):
    """These keys of a section: what a stage does not read cannot re-run it."""
    return {key: section[key] for key in keys if key in section}


def without(section, *keys):
    """A section without these keys."""
    return {key: value for key, value in section.items() if key not in keys}


DRAWN = without(CFG["render"], "snap")  # how real wafers become images


def sources_of_kind(kind):
    """The names of this study's sources of one kind."""
    return [name for name in SOURCES if SOURCES[name]["kind"] == kind]


def of_kind(kind):
    """A wildcard constraint: the sources of one kind."""
    return "|".join(map(re.escape, sources_of_kind(kind))) or "(?!)"


def scope_of(wildcards):
    """Where a fold's synthetic samples come from."""
    return "pooled" if pooled(wildcards.protocol) else f"fold{wildcards.fold}"


def pooled(name):
    """Whether generators see all wafers under a protocol, test wafers among them."""
    return CFG["generators"]["train_on"] == "pooled" or PROTOCOLS[name].leaky


def home(name):
    """The protocol that generators lie under: the same, or `pooled`, where they are trained once for all protocols."""
    return "pooled" if pooled(name) else name


def ids(wildcards):
    """What tells one run of the grid from another, for tables and seeds."""
    return {"protocol": wildcards.protocol, "seed": int(wildcards.seed)}


def folds_of(name):
    """The folds to run under a protocol."""
    return PROTOCOLS[name].run(CFG["folds"]["run"])


def scopes_of(name):
    """What generators are trained on under a protocol: each fold's training wafers, or all wafers."""
    return ["pooled"] if pooled(name) else [f"fold{fold}" for fold in folds_of(name)]


FIRST = {"protocol": CFG["folds"]["protocols"][0], "seed": SEEDS[0]}
FIRST |= {"fold": folds_of(FIRST["protocol"])[0], "scope": scopes_of(FIRST["protocol"])[0]}
FIRST_HOME = {**FIRST, "protocol": home(FIRST["protocol"])}


def first(patterns):
    """Of what generators are trained on, the first: what the report shows pictures of."""
    return [pattern.format(**FIRST_HOME) for pattern in patterns]


def written(output):
    """An output as its rule writes it. Where object storage is the default, `rules` gives the place of a local copy, and
    `expand` refuses that."""
    stored = getattr(output, "flags", {}).get("storage_object")
    return stored.query.removeprefix(workflow.storage_settings.default_storage_prefix).lstrip("/") if stored else output


def every_run(pattern, **more):
    """`pattern` for every protocol and seed."""
    return expand(written(pattern), protocol=PROTOCOLS, seed=SEEDS, **more)


def every_fold(pattern, **more):
    """`pattern` for every fold of every run."""
    pattern = written(pattern)
    return [p for name in PROTOCOLS for p in expand(pattern, protocol=name, seed=SEEDS, fold=folds_of(name), **more)]


def every_scope(pattern, **more):
    """`pattern` for everything that generators are trained on, of every run."""
    pattern = written(pattern)
    found = dict.fromkeys((home(name), scope) for name in PROTOCOLS for scope in scopes_of(name))
    return [p for name, scope in found for p in expand(pattern, protocol=name, seed=SEEDS, scope=scope, **more)]


def every_cell(pattern):
    """`pattern` for every cell of the grid."""
    return every_fold(pattern, backbone=CFG["backbones"], condition=CFG["conditions"])


def source_of(wildcards):
    """The synthesizer of a condition, or None for those that use real wafers alone."""
    source = CFG["define"]["conditions"][wildcards.condition]["source"]
    return source if source in SOURCES else None


def adds_wafers(wildcards):
    """Whether a condition adds anything to the real training wafers, and so has a budget."""
    return CFG["define"]["conditions"][wildcards.condition]["source"] != "none"


def augments(wildcards):
    return CFG["define"]["conditions"][wildcards.condition]["augment"]


def weights_of(network):
    """A network's entry of the manifest, and the identity of the user's own file for it where there is one."""
    entry = WEIGHTS.get(network, {})
    names = [f"{network}.safetensors", *(Path(source["file"]).name for source in entry.get("sources", []))]
    return {"manifest": {network: entry}, "own_file": checked(own_weights, CFG["weights"]["folder"], names)}


def base_of(wildcards):
    """The identity of a diffusion base that is a folder here and not pretrained by this study."""
    base = SOURCES[wildcards.source]["base"]
    return (
        ""
        if has_native_base(wildcards.source)
        else checked(own_weights, CFG["weights"]["folder"], [base, Path(base).name], Path(base))
    )


def drawn_for(wildcards):
    """How a cell's wafers become images; the greys of synthetic ones matter where there are any."""
    if source_of(wildcards):
        return CFG["render"]
    return without(DRAWN, "size") if CFG["classifier"]["draw_real_at"] == "image" else DRAWN


def feature_classifier(wildcards):
    """The classifier whose features quality is measured in, where the network is `backbone@condition`."""
    backbone, _, condition = CFG["quality"]["network"].partition("@")
    scope = wildcards.scope
    where = {"fold": scope.removeprefix("fold"), "protocol": wildcards.protocol}
    where = only(FIRST, "fold", "protocol") if scope == "pooled" else where
    cell = expand(CELL, **where, seed=wildcards.seed, backbone=backbone, condition=condition)[0]
    return {"classifier": f"{cell}/checkpoint.safetensors"} if condition else {}


def raw_samples(scope, source):
    return expand(f"{RUN}/{scope}/sources/{source}/raw/{{label}}.h5", label=LABELS, allow_missing=True)


def samples_for(wildcards, source):
    """The samples of a source that a fold's cells take from, and their shape scores."""
    where = {"protocol": home(wildcards.protocol), "seed": wildcards.seed}
    scores = f"{RUN}/{scope_of(wildcards)}/shape/{source}.parquet"
    return expand(raw_samples(scope_of(wildcards), source), **where), scores.format(**where)


def folds_table(wildcards):
    """The folds, for what is trained on one of them; what sees all wafers needs none."""
    return {} if wildcards.scope == "pooled" else {"folds": f"{RUN}/folds.parquet"}


def filtered(source):
    """Whether the shape filter's verdict decides which samples of a source are accepted."""
    return source in CFG["shape_filter"]["apply_to"]


def pool_of(source):
    """How many samples are drawn of a source: the cap matters where not every sample is accepted."""
    pool = CFG["pool"]
    return pool if filtered(source) else {**pool, "max_raw": pool["n_accepted"]}


def verdict_of(wildcards):
    """The shape filter that says when enough samples of a source are accepted, where it applies."""
    if not filtered(wildcards.source):
        return {}
    return {name: f"{RUN}/{{scope}}/shape/{file}" for name, file in FILTER.items()}


def has_native_base(source):
    """Whether a source's diffusion base is pretrained by this study."""
    return SOURCES[source].get("base") == "native"


def histories(source):
    """The losses of a source's trainings."""
    names = ["adapters_history"] if SOURCES[source]["kind"] == "db_sd_lora" else ["history"]
    names += ["base_history"] if has_native_base(source) else []
    return [f"{RUN}/{{scope}}/sources/{source}/{name}.parquet" for name in names]


def source_file(_):
    """The file that ingest reads, where it reads one."""
    path = Path(CFG["dataset"]["path"])
    one_file = {"lswmd": True, "npz": True, "dielist": True, "g85": os.path.isfile(path)}
    return {"data": local(str(path))} if one_file.get(CFG["dataset"]["source"]) else {}


UNREAD = {"simulated": ["pass_bins"], "dielist": ["simulated"], "g85": ["simulated"]}


def dataset_settings():
    """The keys of `dataset` that its source reads; of the data's place the name alone, and where wafers are called so."""
    read = without(CFG["dataset"], "path", *UNREAD.get(CFG["dataset"]["source"], ["simulated", "pass_bins"]))
    path = CFG["dataset"]["path"]
    return {**read, "name": Path(path).name} if read["source"] == "g85" and os.path.isfile(path) else read


def dataset_place():
    """Where the data lie, and what tells a replaced file or folder from the one before."""
    if CFG["dataset"]["source"] == "simulated":
        return {}
    return {"path": CFG["dataset"]["path"], "identity": checked(fingerprint, CFG["dataset"])}


def native_base(wildcards):
    """The base that this study pretrains, or nothing where the source names a ready one. Snakemake knows a folder by its
    time alone, which a jump of the clock changes: the digests of its files say whether it is another one."""
    base = f"{RUN}/{{scope}}/sources/{{source}}/base"
    return {"base": ancient(base), "base_files": f"{base}.json"} if has_native_base(wildcards.source) else {}


def selected_wafers(wildcards):
    """The wafers that a protocol tells apart; generators always get those of the configured classes."""
    with_none = CLASSES_OF[wildcards.protocol] != CLASSES
    return (rules.select_wafers_with_none if with_none else rules.select_wafers).output.selected


def injection_scores(wildcards):
    """The shape scores that say which samples of a condition's source may enter training, where it is filtered."""
    source = source_of(wildcards)
    return {"scores": samples_for(wildcards, source)[1]} if filtered(source) else {}


def cell_samples(wildcards):
    """The synthetic samples of a condition, where it has a synthesizer."""
    source = source_of(wildcards)
    return {"samples": samples_for(wildcards, source)[0]} if source else {}


OWN = Path(CFG["wafers"])
OWN_NAME = re.sub(r"[^A-Za-z0-9._-]+", "-", OWN.name).strip(".-") or "none"
PREDICTED = f"{STUDY}/predictions/{OWN_NAME}"


def chosen():
    """The chosen cell, known once the study is done."""
    return json.loads(Path(checkpoints.choose_model.get().output.model).read_text())


def chosen_cell(_):
    """The files of the chosen cell."""
    cell = chosen()
    files = ("checkpoint.safetensors", "features.h5", "svm.h5", "validation.parquet")
    return {Path(file).stem: f"{CELL.format(**cell)}/{file}" for file in files}


def own_wafers(_):
    """The file of wafers to be judged; a folder is known by the identity of its files alone."""
    if not CFG["wafers"]:
        raise WorkflowError("predict: no wafers are named; add --config wafers=FILE")
    if not checked(OWN.exists):
        raise WorkflowError(f"wafers: nothing at {OWN}; give the path of a file or folder of wafers")
    return {"own": local(str(OWN))} if OWN.is_file() else {}


def judging(*keys):
    """What the chosen cell needs to judge wafers, and what no other cell does."""
    backbone = chosen()["backbone"]
    return {
        "classifier": only(CFG["classifier"], "image_size", "draw_real_at", "input", *keys),
        "render": DRAWN,
        "weights": {backbone: only(weights_of(backbone), "manifest")},
    }


def script_names():
    """The script of each rule, by its path in the folder of scripts without the suffix."""
    named = ((rule.name, Path(rule.script).with_suffix("").parts) for rule in workflow.rules if rule.script)
    return {name: "/".join(parts[parts.index("scripts") + 1 :]) for name, parts in named}


def pretrained_networks():
    """The networks whose weights come from elsewhere, with their entries of the manifest."""
    names = [name for name in CFG["backbones"] if CFG["define"]["backbones"][name]["pretrained"]]
    if SOURCES and "@" not in CFG["quality"]["network"]:
        names.append(CFG["quality"]["network"])
    return {name: weights_of(name) for name in names}
