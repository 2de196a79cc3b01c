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
        mem_mb=6000,
    params:
        study=CFG["study"],
        settings=pack(
            dataset=(
                without(CFG["dataset"], "path")
                if CFG["dataset"]["source"] == "simulated"
                else without(CFG["dataset"], "simulated")
            ),
            source_stat=checked(fingerprint, CFG["dataset"]),
            seed=CFG["seed"] if CFG["dataset"]["source"] == "simulated" else None,
        ),
        code=code("ingest"),
    script:
        "../scripts/ingest.py"


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
        mem_mb=1000,
    params:
        study=CFG["study"],
        settings=pack(classes=CLASSES, **CFG["filter"]),
        code=code("select_wafers"),
    script:
        "../scripts/select_wafers.py"


rule make_folds:
    input:
        selected=rules.select_wafers.output.selected,
    output:
        folds=f"{STUDY}/folds.parquet",
    log:
        f"{LOGS}/make_folds.log",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=1000,
    params:
        study=CFG["study"],
        settings=pack(folds=without(CFG["folds"], "run"), **IDS),
        code=code("make_folds"),
    script:
        "../scripts/make_folds.py"


rule audit:
    input:
        wafers=rules.ingest.output.wafers,
        selected=rules.select_wafers.output.selected,
        folds=rules.make_folds.output.folds,
    output:
        audit=f"{STUDY}/audit.parquet",
    log:
        f"{LOGS}/audit.log",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=1000,
    params:
        study=CFG["study"],
        settings=pack(**IDS),
        code=code("audit"),
    script:
        "../scripts/audit.py"
