# The wafers: read, selected, split, audited.


rule ingest:
    input:
        unpack(source_file),
    output:
        store=f"{STUDY}/data/wafers.h5",
        wafers=f"{STUDY}/data/wafers.parquet",
    log:
        f"{LOGS}/ingest.log",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(6000),
    params:
        settings=pack(
            dataset=dataset_settings(),
            seed=CFG["seed"] if CFG["dataset"]["source"] == "simulated" else None,
        ),
        place=pack(**dataset_place()),
        code=code("wafers/ingest"),
    script:
        "../scripts/wafers/ingest.py"


rule select_wafers:
    input:
        wafers=rules.ingest.output.wafers,
    output:
        selected=f"{STUDY}/data/selected.parquet",
    log:
        f"{LOGS}/select_wafers.log",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=pack(classes=CLASSES, **CFG["filter"]),
        code=code("wafers/select_wafers"),
    script:
        "../scripts/wafers/select_wafers.py"


use rule select_wafers as select_wafers_with_none with:
    output:
        selected=f"{STUDY}/data/selected_with_none.parquet",
    log:
        f"{LOGS}/select_wafers_with_none.log",
    params:
        settings=pack(classes=[*CLASSES, NONE], **CFG["filter"]),
        code=code("wafers/select_wafers"),


rule make_folds:
    input:
        selected=selected_wafers,
    output:
        folds=f"{RUN}/folds.parquet",
    log:
        f"{RUN_LOGS}-make_folds.log",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=lambda w: pack(folds=only(CFG["folds"], "seed"), **ids(w)),
        code=code("wafers/make_folds"),
    script:
        "../scripts/wafers/make_folds.py"


rule audit:
    input:
        wafers=rules.ingest.output.wafers,
        selected=selected_wafers,
        folds=rules.make_folds.output.folds,
    output:
        audit=f"{RUN}/audit.parquet",
    log:
        f"{RUN_LOGS}-audit.log",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=lambda w: pack(**ids(w)),
        code=code("wafers/audit"),
    script:
        "../scripts/wafers/audit.py"


rule gather_splits:
    input:
        folds=every_run(rules.make_folds.output.folds),
        audit=every_run(rules.audit.output.audit),
    output:
        folds=f"{STUDY}/folds.parquet",
        audit=f"{STUDY}/audit.parquet",
    log:
        f"{LOGS}/gather_splits.log",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=pack(),
        code=code("wafers/gather_splits"),
    script:
        "../scripts/wafers/gather_splits.py"
