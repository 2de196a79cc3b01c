# The wafers: read, selected, split, audited.

from waferbench.base.protocols import NONE
from waferbench.config.stages import Ingest, MakeFolds, Replicated, SelectWafers
from waferbench.engine.identities import data_file, ingested, place

DATA = checked(place, CFG.dataset)
REPLICATES = max(one.replicates for one in GRID.protocols.values())
REPLICATED = Replicated.of(CFG.dataset.simulated, count=REPLICATES) if REPLICATES else None


rule ingest:
    input:
        **{"data": ancient(local(file)) for file in [data_file(CFG.dataset)] if file},
    output:
        store=f"{STUDY}/data/wafers.h5",
        wafers=f"{STUDY}/data/wafers.parquet",
    log:
        f"{LOGS}/ingest.log",
    group:
        "data"
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(6000),
        runtime=growing(30),
    params:
        settings=slice_text(Ingest.of(ingested(CFG.dataset, CFG.seed), replicated=REPLICATED)),
        place=slice_text(DATA),
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
    group:
        "data"
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=slice_text(SelectWafers.of(CFG.filter, classes=GRID.classes)),
        code=code("wafers/select_wafers"),
    script:
        "../scripts/wafers/select_wafers.py"


use rule select_wafers as select_wafers_with_none with:
    output:
        selected=f"{STUDY}/data/selected_with_none.parquet",
    log:
        f"{LOGS}/select_wafers_with_none.log",
    params:
        settings=slice_text(SelectWafers.of(CFG.filter, classes=[*GRID.classes, NONE])),
        code=code("wafers/select_wafers"),


rule make_folds:
    input:
        selected=selected_wafers,
    output:
        folds=f"{RUN}/folds.parquet",
    log:
        f"{RUN_LOGS}-make_folds.log",
    wildcard_constraints:
        **held("protocol", "seed"),
    priority: 100  # what the budget is checked by, before generators are trained
    group:
        "data"
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        # SYNTHESIS stands in synthesis/common.smk, the one track that withholds wafers
        settings=lambda w: pack(
            MakeFolds,
            fold_seed=CFG.folds.seed,
            reserve=SYNTHESIS.reserve,
            max_train_per_class=CFG.classifier.max_train_per_class,
            **of_run(w),
        ),
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
    wildcard_constraints:
        **held("protocol", "seed"),
    group:
        "data"
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=lambda w: pack(Run, **of_run(w)),
        code=code("wafers/audit"),
    script:
        "../scripts/wafers/audit.py"


rule gather_splits:
    input:
        folds=GRID.every_run(f"{RUN}/folds.parquet"),
        audit=GRID.every_run(f"{RUN}/audit.parquet"),
    output:
        folds=f"{STUDY}/folds.parquet",
        audit=f"{STUDY}/audit.parquet",
    log:
        f"{LOGS}/gather_splits.log",
    group:
        "data"
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=pack(Nothing),
        code=code("wafers/gather_splits"),
    script:
        "../scripts/wafers/gather_splits.py"
