# How good the samples are: distances to real wafers, memorisation, and whether they carry their class.

JUDGE = CFG.quality.judge


def feature_classifier(wildcards):
    """The classifier whose features quality is measured in, where the network is `backbone@condition`."""
    backbone, _, condition = CFG.quality.network.partition("@")
    where = {"seed": wildcards.seed, "backbone": backbone, "condition": condition}
    if wildcards.scope == "pooled":
        where |= {"fold": GRID.first["fold"], "protocol": GRID.first["protocol"]}
    else:
        where |= {"fold": wildcards.scope.removeprefix("fold"), "protocol": wildcards.protocol}
    return {"classifier": f"{CELL}/checkpoint.safetensors".format(**where)} if condition else {}


rule measure_quality:
    input:
        unpack(folds_table),
        unpack(feature_classifier),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
        samples=GRID.raw(),
        scores=rules.apply_shape_filter.output.scores,
    output:
        quality=f"{RUN}/{{scope}}/quality/{{source}}.parquet",
        closest=f"{RUN}/{{scope}}/quality/{{source}}_closest.parquet",
    log:
        f"{RUN_LOGS}-measure_quality-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope", "source"),
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=lambda w: pack(
            stages.MeasureQuality,
            weights=checked(WEIGHTS.of, CFG.quality.network.partition("@")[0]),
            n_accepted=CFG.pool.n_accepted,
            **of_run(w),
        ),
        code=code("synthesis/measure_quality"),
    script:
        "../../scripts/synthesis/measure_quality.py"


rule judge_samples:
    input:
        checkpoint=f"{RUN}/fold{{fold}}/cells/{JUDGE.backbone}/{JUDGE.condition}/checkpoint.safetensors",
        samples=lambda w: GRID.samples(w.protocol, w.seed, w.fold, w.source)[0],
        scores=lambda w: GRID.samples(w.protocol, w.seed, w.fold, w.source)[1],
    output:
        judged=f"{RUN}/fold{{fold}}/judged/{{source}}.parquet",
    log:
        f"{RUN_LOGS}-judge_samples-fold{{fold}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "fold", "source"),
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(3000),
        runtime=growing(30),
    params:
        settings=lambda w: pack(
            stages.JudgeSamples,
            backbone=JUDGE.backbone,
            weights=WEIGHTS.entry(JUDGE.backbone),
            drawn=GRID.judging(),
            classes=GRID.classes_of[w.protocol],
            **of_run(w),
        ),
        code=code("synthesis/judge_samples"),
    script:
        "../../scripts/synthesis/judge_samples.py"


rule gather_quality:
    input:
        parts=GRID.every_scope(f"{RUN}/{{scope}}/quality/{{source}}.parquet", GRID.sources),
    output:
        table=f"{STUDY}/quality.parquet",
    log:
        f"{LOGS}/gather_quality.log",
    group:
        "tables"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=pack(CollectTables, table="quality"),
        code=code("synthesis/gather_table"),
    script:
        "../../scripts/synthesis/gather_table.py"


rule gather_agreement:
    input:
        parts=GRID.every_fold(f"{RUN}/fold{{fold}}/judged/{{source}}.parquet", source=list(GRID.sources)),
    output:
        table=f"{STUDY}/agreement.parquet",
    log:
        f"{LOGS}/gather_agreement.log",
    group:
        "tables"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=pack(CollectTables, table="agreement"),
        code=code("synthesis/gather_table"),
    script:
        "../../scripts/synthesis/gather_table.py"
