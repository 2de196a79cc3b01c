# The study's grid, and what its rules are given as inputs and settings. No rule here.

import json
import re

from waferbench.config.synthesis.grid import FILTER, SynthesisGrid
from waferbench.config import classification
from waferbench.config.synthesis import stages
from waferbench.config.synthesis.sources import Lora
from waferbench.engine.bases import planned_base

SYNTHESIS = SynthesisGrid(CFG)
CELL = SYNTHESIS.cell
BASES = {  # identities of ready bases, of this very moment: one may be downloaded while the study runs
    name: checked(planned_base, SYNTHESIS.sources[name].base, CFG.weights.folder, Path(STUDY))
    for name in SYNTHESIS.of_kind(Lora)
    if not SYNTHESIS.native(name)
}


def of_kind(kind):
    """A wildcard constraint: the sources of one kind."""
    return "|".join(map(re.escape, SYNTHESIS.of_kind(kind))) or "(?!)"


def verdict_of(wildcards):
    """The shape filter that says when enough samples of a source are accepted, where it applies."""
    if not SYNTHESIS.filtered(wildcards.source):
        return {}
    return {name: f"{SYNTHESIS.shape}/{file}" for name, file in FILTER.items()}


def native_base(wildcards):
    """The base that this study pretrains, or nothing where the source names a ready one. Snakemake knows a folder by its
    time alone, which a jump of the clock changes: the digests of its files say whether it is another one."""
    base = f"{SYNTHESIS.base}/base"
    return {"base": ancient(base), "base_files": f"{base}.json"} if SYNTHESIS.native(wildcards.source) else {}


def ready_base(wildcards):
    """The identity of a base that is here, a folder or a download, and not pretrained by this study."""
    return BASES.get(wildcards.source, "")


def feature_classifier(wildcards):
    """The classifier whose features quality is measured in, where the network is `backbone@condition`."""
    backbone, _, condition = CFG.quality.network.partition("@")
    where = {"seed": wildcards.seed, "backbone": backbone, "condition": condition}
    if wildcards.scope == "pooled":
        where |= {"fold": SYNTHESIS.first["fold"], "protocol": SYNTHESIS.first["protocol"]}
    else:
        where |= {"fold": wildcards.scope.removeprefix("fold"), "protocol": wildcards.protocol}
    return {"classifier": f"{CELL}/checkpoint.safetensors".format(**where)} if condition else {}


def injection_scores(wildcards):
    """The shape scores that say which samples of a condition's source may enter training, where it is filtered."""
    source = SYNTHESIS.source_of(wildcards.condition)
    where = (wildcards.protocol, wildcards.seed, wildcards.fold, source)
    return {"scores": SYNTHESIS.samples(*where)[1]} if SYNTHESIS.filtered(source) else {}


def samples_of_fold(wildcards):
    """The synthetic samples that a fold's cells take from, source by source, and their shape scores."""
    found = [SYNTHESIS.samples(wildcards.protocol, wildcards.seed, wildcards.fold, name) for name in SYNTHESIS.sources]
    return {"samples": [path for samples, _ in found for path in samples], "scores": [scores for _, scores in found]}


def cell_samples(wildcards):
    """The synthetic samples of a condition, where it has a synthesizer."""
    source = SYNTHESIS.source_of(wildcards.condition)
    where = (wildcards.protocol, wildcards.seed, wildcards.fold, source)
    return {"samples": SYNTHESIS.samples(*where)[0]} if source else {}


def cell_settings(wildcards):
    """What training a cell reads: a condition that adds nothing does not see how synthetic wafers are drawn."""
    backbone = CFG.define.backbones[wildcards.backbone]
    augments = SYNTHESIS.conditions[wildcards.condition].augment
    return pack(
        stages.TrainClassifier,
        augmentation=classification.Augmentation.of(CFG.classifier) if augments else None,
        backbone=stages.ChosenBackbone.of(backbone, name=wildcards.backbone),
        drawn=SYNTHESIS.drawn(wildcards.condition),
        classes=SYNTHESIS.classes_of[wildcards.protocol],
        weights=checked(WEIGHTS.of, wildcards.backbone),
        **of_run(wildcards),
    )


def of_first(pattern):
    """A file of each source in the first scope, which the page shows pictures of."""
    return [pattern.format(**SYNTHESIS.first_scope, source=source) for source in SYNTHESIS.sources]


def chosen():
    """The chosen cell, known once the study is done."""
    return json.loads(Path(checkpoints.choose_model.get().output.model).read_text())


def chosen_cell(_):
    """The files of the chosen cell."""
    folder = CELL.format(**chosen())
    files = ("checkpoint.safetensors", "features.h5", "svm.h5", "validation.parquet")
    return {Path(file).stem: f"{folder}/{file}" for file in files}


def own_wafers(_):
    """The file of wafers to be judged; a folder is known by the identity of its files alone."""
    if not CFG.wafers:
        raise WorkflowError("predict: no wafers are named; add --config wafers=FILE")
    if not checked(OWN.exists):
        raise WorkflowError(f"wafers: nothing at {OWN}; give the path of a file or folder of wafers")
    return {"own": ancient(local(str(OWN)))} if OWN.is_file() else {}


def judging(stage, **given):
    """What the chosen cell needs to judge wafers, and what no other cell does."""
    return pack(stage, drawn=SYNTHESIS.drawn(), weights=WEIGHTS.entry(chosen()["backbone"]), **given)


def oracle_wafers(wildcards):
    """What it draws from: the reserve of a fold, or the simulator, for which no wafer but the study's own may come out."""
    selected = {"selected": rules.select_wafers.output.selected}
    return selected if FRESH else {**selected, **folds_table(wildcards), "store": rules.ingest.output.store}


def judged_files(wildcards):
    """The samples that a fold's cells take from and their shape scores, source by source; last the judge's own predictions
    of the test wafers, once for each class as samples have a file each."""
    of, own = samples_of_fold(wildcards), f"{JUDGE_CELL}/softmax.parquet".format(**wildcards)
    return {"samples": [*of["samples"], *[own] * len(SYNTHESIS.labels)], "scores": [*of["scores"], own]}


def pool_of(wildcards):
    """What says which samples of a condition's source may enter training: the shape filter, where it applies, and the
    judge, where the condition asks it. The judge's own cell is one of real wafers alone."""
    name = wildcards.condition
    judged = f"{RUN}/fold{{fold}}/judged/{SYNTHESIS.source_of(name)}.parquet"
    return injection_scores(wildcards) | ({"judged": judged} if SYNTHESIS.conditions[name].keep_if_judged else {})


def injection_settings(wildcards):
    """What choosing a condition's wafers reads: one that adds no samples sees nothing of how they are drawn."""
    condition, source = SYNTHESIS.conditions[wildcards.condition], SYNTHESIS.source_of(wildcards.condition)
    return pack(
        stages.MakeInjection,
        source=condition.source,
        pool=SYNTHESIS.budgeted(source) if source else None,
        take_all=CFG.budget.reading == "all" and source is not None,
        exclude=condition.exclude,
        equal=CFG.budget.equal,
        **of_run(wildcards),
    )
