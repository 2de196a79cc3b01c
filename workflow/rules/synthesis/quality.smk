# How good the samples are: distances to real wafers, memorisation, and whether they carry their class.

JUDGE = CFG["quality"]["judge"]


rule measure_quality:
    input:
        unpack(folds_table),
        unpack(feature_classifier),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
        samples=lambda w: raw_samples(w.scope, w.source),
        scores=rules.apply_shape_filter.output.scores,
    output:
        quality=f"{RUN}/{{scope}}/quality/{{source}}.parquet",
        closest=f"{RUN}/{{scope}}/quality/{{source}}_closest.parquet",
    log:
        f"{RUN_LOGS}-measure_quality-{{scope}}-{{source}}.log",
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(4000),
    params:
        settings=lambda w: pack(
            quality=without(CFG["quality"], "judge"),
            render=CFG["render"],
            classes=CLASSES,
            weights=weights_of(CFG["quality"]["network"].partition("@")[0]),
            n_accepted=CFG["pool"]["n_accepted"],
            **ids(w),
        ),
        code=code("synthesis/measure_quality"),
    script:
        "../../scripts/synthesis/measure_quality.py"


rule judge_samples:
    input:
        checkpoint=f"{RUN}/fold{{fold}}/cells/{JUDGE['backbone']}/{JUDGE['condition']}/checkpoint.safetensors",
        samples=lambda w: samples_for(w, w.source)[0],
        scores=lambda w: samples_for(w, w.source)[1],
    output:
        judged=f"{RUN}/fold{{fold}}/judged/{{source}}.parquet",
    log:
        f"{RUN_LOGS}-judge_samples-fold{{fold}}-{{source}}.log",
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(3000),
    params:
        settings=lambda w: pack(
            backbone={"name": JUDGE["backbone"]},
            weights=only(weights_of(JUDGE["backbone"]), "manifest"),
            classifier=only(CFG["classifier"], "image_size", "draw_real_at", "input", "precision"),
            render=CFG["render"],
            classes=CLASSES_OF[w.protocol],
            **ids(w),
        ),
        code=code("synthesis/judge_samples"),
    script:
        "../../scripts/synthesis/judge_samples.py"


rule gather_quality:
    input:
        parts=every_scope(rules.measure_quality.output.quality, source=SOURCES),
    output:
        table=f"{STUDY}/quality.parquet",
    log:
        f"{LOGS}/gather_quality.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=pack(table="quality"),
        code=code("synthesis/gather_table"),
    script:
        "../../scripts/synthesis/gather_table.py"


rule gather_agreement:
    input:
        parts=every_fold(rules.judge_samples.output.judged, source=SOURCES),
    output:
        table=f"{STUDY}/agreement.parquet",
    log:
        f"{LOGS}/gather_agreement.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=pack(table="agreement"),
        code=code("synthesis/gather_table"),
    script:
        "../../scripts/synthesis/gather_table.py"
