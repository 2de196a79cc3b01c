# The answer on one page.

from waferbench.base.places import RESOURCES, TEMPLATES

PAGE = [TEMPLATES / "kit", TEMPLATES / "synthesis", RESOURCES / "published.yaml"]


rule make_report:
    input:
        scores=rules.collect_scores.output.scores,
        per_class=rules.collect_scores.output.per_class,
        predictions=rules.collect_scores.output.predictions,
        findings=rules.make_findings.output.findings,
        comparisons=rules.compare_conditions.output.comparisons,
        intervals=rules.resample_wafers.output.intervals,
        backbones=rules.analyse_grid.output.backbones,
        heads=rules.analyse_grid.output.heads,
        ranks=rules.analyse_grid.output.ranks,
        rank_pairs=rules.analyse_grid.output.rank_pairs,
        decomposition=rules.analyse_grid.output.decomposition,
        saturation=rules.analyse_grid.output.saturation,
        ceiling=rules.analyse_grid.output.ceiling,
        mixed_model=rules.analyse_grid.output.mixed_model,
        calibration=rules.calibrate.output.calibration,
        reliability=rules.calibrate.output.reliability,
        rare_recall=rules.measure_rare_recall.output.rare_recall,
        label_noise=rules.audit_labels.output.label_noise,
        explanations=[f"{STUDY}/explanations/{name}.h5" for name in CFG.backbones],
        quality=rules.gather_quality.output.table,
        shape_filter=rules.gather_shape_filter.output.table,
        agreement=rules.gather_agreement.output.table,
        reconstruction=rules.gather_reconstruction.output.table,
        texture=rules.gather_texture.output.table,
        budget=rules.check_budget.output.budget,
        audit=rules.gather_splits.output.audit,
        store=rules.ingest.output.store,
        selected=selected_wafers(SimpleNamespace(**SYNTHESIS.first)),
        folds=rules.gather_splits.output.folds,
        samples=[path for source in SYNTHESIS.sources for path in SYNTHESIS.raw(source, **SYNTHESIS.first_scope)],
        closest=of_first(f"{RUN}/{{scope}}/quality/{{source}}_closest.parquet"),
        histories=[path for source in SYNTHESIS.sources for path in SYNTHESIS.histories(source)],
        priors=[
            path for path in of_first(f"{SYNTHESIS.base}/base_samples.h5") if SYNTHESIS.native(Path(path).parent.name)
        ],
        thresholds=SYNTHESIS.every_scope(f"{SYNTHESIS.shape}/{FILTER['thresholds']}") if SYNTHESIS.sources else [],
        facts=SYNTHESIS.every_scope(f"{SYNTHESIS.source}/facts.json", SYNTHESIS.of_kind(Gan)),
    output:
        report=f"{STUDY}/report.html",
        table1=report(f"{STUDY}/report/table1.csv", caption="../../report/synthesis/table1.rst", category="Scores"),
        gain=report(f"{STUDY}/report/gain.png", caption="../../report/synthesis/gain.rst", category="Scores"),
        samples_grid=report(
            f"{STUDY}/report/samples.png", caption="../../report/synthesis/samples.rst", category="Synthesis"
        ),
    log:
        f"{LOGS}/make_report.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=slice_text(SYNTHESIS.reported),
        code=page_code("synthesis/make_report", PAGE),
    script:
        "../../scripts/synthesis/make_report.py"
