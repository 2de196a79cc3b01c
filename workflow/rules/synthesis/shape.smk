# The circular-shape filter: fitted on a fold's training wafers, applied to every source's raw samples.

UNFILTERED = [name for name in SYNTHESIS.sources if not SYNTHESIS.filtered(name)]


rule fit_shape_filter:
    input:
        unpack(folds_table),
        store=rules.ingest.output.store,
        selected=rules.select_wafers.output.selected,
    output:
        **{name: f"{SYNTHESIS.shape}/{file}" for name, file in FILTER.items()},
    log:
        f"{RUN_LOGS}-fit_shape_filter-{{scope}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(3000),
        runtime=growing(30),
    params:
        settings=lambda w: pack(stages.FitShapeFilter, seed=w.seed),
        code=code("synthesis/fit_shape_filter"),
    script:
        "../../scripts/synthesis/fit_shape_filter.py"


rule apply_shape_filter:  # to a source whose training samples it decides on
    input:
        thresholds=rules.fit_shape_filter.output.thresholds,
        cnn=rules.fit_shape_filter.output.cnn,
        samples=SYNTHESIS.raw(),
    output:
        scores=f"{SYNTHESIS.shape}/{{source}}.parquet",
    log:
        f"{RUN_LOGS}-apply_shape_filter-{{scope}}-{{source}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
        source="|".join(map(re.escape, filter(SYNTHESIS.filtered, SYNTHESIS.sources))) or "(?!)",
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=lambda w: pack(
            stages.ApplyShapeFilter,
            filtered=True,
            n_accepted=CFG.pool.n_accepted,
            **of_run(w),
        ),
        code=code("synthesis/apply_shape_filter"),
    script:
        "../../scripts/synthesis/apply_shape_filter.py"


rule score_shapes:  # of all other sources, which cells wait for where a judge chooses alone: a scope's in one job
    input:
        thresholds=rules.fit_shape_filter.output.thresholds,
        cnn=rules.fit_shape_filter.output.cnn,
        samples=SYNTHESIS.each(SYNTHESIS.raw(), UNFILTERED),
    output:
        scores=SYNTHESIS.each(f"{SYNTHESIS.shape}/{{source}}.parquet", UNFILTERED),
    log:
        f"{RUN_LOGS}-score_shapes-{{scope}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "scope"),
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=lambda w: pack(stages.ApplyShapeFilter, filtered=False, n_accepted=CFG.pool.n_accepted, **of_run(w)),
        parts=parts_text(source=UNFILTERED),
        code=code("synthesis/apply_shape_filter"),
    script:
        "../../scripts/synthesis/apply_shape_filter.py"


rule gather_shape_filter:
    input:
        parts=SYNTHESIS.every_scope(f"{SYNTHESIS.shape}/{{source}}.parquet", SYNTHESIS.sources),
    output:
        table=f"{STUDY}/shape_filter.parquet",
    log:
        f"{LOGS}/gather_shape_filter.log",
    group:
        "tables"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=pack(CollectTables, table="shape_filter"),
        code=code("synthesis/gather_table"),
    script:
        "../../scripts/synthesis/gather_table.py"
