# The circular-shape filter: fitted on a fold's training wafers, applied to every source's raw samples.


rule fit_shape_filter:
    input:
        unpack(folds_table),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
    output:
        **{name: f"{RUN}/{{scope}}/shape/{file}" for name, file in FILTER.items()},
    log:
        f"{RUN_LOGS}-fit_shape_filter-{{scope}}.log",
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(3000),
    params:
        settings=lambda w: pack(
            shape_filter=without(CFG["shape_filter"], "apply_to"),
            render=DRAWN,
            classes=CLASSES,
            seed=int(w.seed),
        ),
        code=code("synthesis/fit_shape_filter"),
    script:
        "../../scripts/synthesis/fit_shape_filter.py"


rule apply_shape_filter:
    input:
        thresholds=rules.fit_shape_filter.output.thresholds,
        cnn=rules.fit_shape_filter.output.cnn,
        samples=lambda w: raw_samples(w.scope, w.source),
    output:
        scores=f"{RUN}/{{scope}}/shape/{{source}}.parquet",
    log:
        f"{RUN_LOGS}-apply_shape_filter-{{scope}}-{{source}}.log",
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(2000),
    params:
        settings=lambda w: pack(
            shape_filter={
                **without(CFG["shape_filter"], "apply_to"),
                "apply_to": [w.source] if filtered(w.source) else [],
            },
            n_accepted=CFG["pool"]["n_accepted"],
            classes=CLASSES,
            **ids(w),
        ),
        code=code("synthesis/apply_shape_filter"),
    script:
        "../../scripts/synthesis/apply_shape_filter.py"


rule gather_shape_filter:
    input:
        parts=every_scope(rules.apply_shape_filter.output.scores, source=SOURCES),
    output:
        table=f"{STUDY}/shape_filter.parquet",
    log:
        f"{LOGS}/gather_shape_filter.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=pack(table="shape_filter"),
        code=code("synthesis/gather_table"),
    script:
        "../../scripts/synthesis/gather_table.py"
