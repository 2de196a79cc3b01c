# The answer on one page.


rule make_report:
    input:
        scores=rules.collect_scores.output.scores,
        per_class=rules.collect_scores.output.per_class,
        predictions=rules.collect_scores.output.predictions,
        comparisons=rules.compare_conditions.output.comparisons,
        intervals=rules.resample_wafers.output.intervals,
        backbones=rules.analyse_grid.output.backbones,
        heads=rules.analyse_grid.output.heads,
        ranks=rules.analyse_grid.output.ranks,
        rank_pairs=rules.analyse_grid.output.rank_pairs,
        decomposition=rules.analyse_grid.output.decomposition,
        saturation=rules.analyse_grid.output.saturation,
        calibration=rules.calibrate.output.calibration,
        reliability=rules.calibrate.output.reliability,
        rare_recall=rules.measure_rare_recall.output.rare_recall,
        label_noise=rules.audit_labels.output.label_noise,
        explanations=expand(written(rules.explain_mistakes.output.explanations), backbone=CFG["backbones"]),
        quality=rules.gather_quality.output.table,
        shape_filter=rules.gather_shape_filter.output.table,
        agreement=rules.gather_agreement.output.table,
        audit=rules.gather_splits.output.audit,
        store=rules.ingest.output.store,
        selected=selected_wafers(SimpleNamespace(**FIRST)),
        folds=rules.gather_splits.output.folds,
        samples=first([path for source in SOURCES for path in raw_samples("{scope}", source)]),
        closest=first(expand(written(rules.measure_quality.output.closest), source=SOURCES, allow_missing=True)),
        histories=first([path for source in SOURCES for path in histories(source)]),
        priors=first(
            [f"{RUN}/{{scope}}/sources/{source}/base_samples.h5" for source in SOURCES if has_native_base(source)]
        ),
        thresholds=every_scope(rules.fit_shape_filter.output.thresholds) if SOURCES else [],
        facts=every_scope(rules.train_gan.output.facts, source=sources_of_kind("ts_hinge_gan")),
        published=local("resources/published.yaml"),
        template=local("workflow/report/report.html.j2"),
        parts=[local(str(path)) for path in sorted(Path("workflow/report/parts").iterdir())],
    output:
        report=f"{STUDY}/report.html",
        table1=report(f"{STUDY}/report/table1.csv", caption="../../report/table1.rst", category="Scores"),
        gain=report(f"{STUDY}/report/gain.png", caption="../../report/gain.rst", category="Scores"),
        samples_grid=report(f"{STUDY}/report/samples.png", caption="../../report/samples.rst", category="Synthesis"),
    log:
        f"{LOGS}/make_report.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        settings=pack(**USED),
        code=code("synthesis/make_report"),
    script:
        "../../scripts/synthesis/make_report.py"
