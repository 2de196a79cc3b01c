# How good the samples are: distances to real wafers, memorisation, and whether they carry their class.


rule measure_quality:
    input:
        unpack(feature_classifier),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
        folds=rules.make_folds.output.folds,
        samples=lambda w: raw_samples(w.scope, w.source),
        scores=rules.apply_shape_filter.output.scores,
    output:
        quality=f"{RUN}/{{scope}}/quality/{{source}}.parquet",
        closest=f"{RUN}/{{scope}}/quality/{{source}}_closest.parquet",
    log:
        f"{LOGS}/measure_quality-{{scope}}-{{source}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=4000,
    params:
        study=CFG["study"],
        settings=pack(
            quality=without(CFG["quality"], "judge"),
            render=CFG["render"],
            classes=CLASSES,
            weights=weights_of(CFG["quality"]["network"].partition("@")[0]),
            n_accepted=CFG["pool"]["n_accepted"],
            **IDS,
        ),
        code=code("measure_quality"),
    script:
        "../scripts/measure_quality.py"


rule judge_samples:
    input:
        checkpoint=(
            f"{RUN}/fold{{fold}}/cells/{CFG['quality']['judge']['backbone']}/"
            f"{CFG['quality']['judge']['condition']}/checkpoint.safetensors"
        ),
        samples=lambda w: raw_samples(scope_of(w), w.source),
        scores=lambda w: f"{RUN}/{scope_of(w)}/shape/{w.source}.parquet",
    output:
        judged=f"{RUN}/fold{{fold}}/judged/{{source}}.parquet",
    log:
        f"{LOGS}/judge_samples-fold{{fold}}-{{source}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=3000,
    params:
        study=CFG["study"],
        settings=lambda w: pack(
            backbone={"name": CFG["quality"]["judge"]["backbone"]},
            weights=only(weights_of(CFG["quality"]["judge"]["backbone"]), "manifest"),
            classifier=only(CFG["classifier"], "image_size", "batch", "precision"),
            render=CFG["render"],
            classes=CLASSES,
            **IDS,
        ),
        code=code("judge_samples"),
    script:
        "../scripts/judge_samples.py"


rule gather_quality:
    input:
        parts=expand(f"{RUN}/{{scope}}/quality/{{source}}.parquet", scope=SCOPES, source=SOURCES),
    output:
        table=f"{STUDY}/quality.parquet",
    log:
        f"{LOGS}/gather_quality.log",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=1000,
    params:
        study=CFG["study"],
        settings=pack(table="quality"),
        code=code("gather_table"),
    script:
        "../scripts/gather_table.py"


rule gather_agreement:
    input:
        parts=expand(f"{RUN}/fold{{fold}}/judged/{{source}}.parquet", fold=CFG["folds"]["run"], source=SOURCES),
    output:
        table=f"{STUDY}/agreement.parquet",
    log:
        f"{LOGS}/gather_agreement.log",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=1000,
    params:
        study=CFG["study"],
        settings=pack(table="agreement"),
        code=code("gather_table"),
    script:
        "../scripts/gather_table.py"
