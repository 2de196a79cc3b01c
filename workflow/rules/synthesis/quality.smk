# How good the samples are: distances to real wafers, memorisation, and whether they carry their class.

JUDGE = CFG.quality.judge


rule measure_quality:  # a scope's sources in one job
    input:
        unpack(folds_table),
        unpack(feature_classifier),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
        samples=SYNTHESIS.each(SYNTHESIS.raw()),
        scores=SYNTHESIS.each(f"{SYNTHESIS.shape}/{{source}}.parquet"),
    output:
        quality=SYNTHESIS.each(f"{RUN}/{{scope}}/quality/{{source}}.parquet"),
        closest=SYNTHESIS.each(f"{RUN}/{{scope}}/quality/{{source}}_closest.parquet"),
    log:
        f"{RUN_LOGS}-measure_quality-{{scope}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
        runtime=growing(60 * max(1, len(SYNTHESIS.sources))),
    params:
        settings=lambda w: pack(
            stages.MeasureQuality,
            weights=checked(WEIGHTS.of, CFG.quality.network.partition("@")[0]),
            n_accepted=CFG.pool.n_accepted,
            **of_run(w),
        ),
        parts=parts_text(source=SYNTHESIS.sources),
        code=code("synthesis/measure_quality"),
    script:
        "../../scripts/synthesis/measure_quality.py"


JUDGE_CELL = f"{RUN}/fold{{fold}}/cells/{JUDGE.backbone}/{JUDGE.condition}"
JUDGED = [*SYNTHESIS.sources, "real"]  # and held-out real wafers: the floor


rule judge_samples:  # a fold's sources in one job
    input:
        unpack(judged_files),
        checkpoint=f"{JUDGE_CELL}/checkpoint.safetensors",
    output:
        judged=[f"{RUN}/fold{{fold}}/judged/{name}.parquet" for name in JUDGED],
    log:
        f"{RUN_LOGS}-judge_samples-fold{{fold}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "fold"),
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
            drawn=SYNTHESIS.judging(),
            classes=SYNTHESIS.classes_of[w.protocol],
            **of_run(w),
        ),
        parts=parts_text(source=JUDGED),
        code=code("synthesis/judge_samples"),
    script:
        "../../scripts/synthesis/judge_samples.py"


rule gather_quality:
    input:
        parts=SYNTHESIS.every_measured(f"{RUN}/{{scope}}/quality/{{source}}.parquet", SYNTHESIS.sources),
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
        parts=SYNTHESIS.every_fold(
            f"{RUN}/fold{{fold}}/judged/{{source}}.parquet", source=JUDGED if SYNTHESIS.sources else []
        ),
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


TEXTURED = f"{RUN}/fold{{fold}}/texture/{{condition}}.parquet"


rule measure_texture:  # a fold's conditions in one job
    input:
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
        folds=rules.make_folds.output.folds,
        injection=[f"{RUN}/fold{{fold}}/injection/{name}.parquet" for name in SYNTHESIS.synthetic],
        samples=lambda w: [
            path
            for name in SYNTHESIS.synthetic
            for path in SYNTHESIS.samples(w.protocol, w.seed, w.fold, SYNTHESIS.source_of(name))[0]
        ],
    output:
        texture=[TEXTURED.replace("{condition}", name) for name in SYNTHESIS.synthetic or ["none"]],
    log:
        f"{RUN_LOGS}-measure_texture-fold{{fold}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "fold"),
    conda:
        "../../../envs/torch.yaml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(30),
    params:
        settings=lambda w: pack(
            stages.MeasureTexture,
            drawn=SYNTHESIS.judging(),
            **of_run(w),
        ),
        parts=parts_text(condition=SYNTHESIS.synthetic),
        code=code("synthesis/measure_texture"),
    script:
        "../../scripts/synthesis/measure_texture.py"


rule gather_texture:
    input:
        parts=SYNTHESIS.every_fold(TEXTURED, condition=SYNTHESIS.synthetic),
    output:
        table=f"{STUDY}/texture.parquet",
    log:
        f"{LOGS}/gather_texture.log",
    group:
        "tables"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=pack(CollectTables, table="texture"),
        code=code("synthesis/gather_table"),
    script:
        "../../scripts/synthesis/gather_table.py"
