# What the grid's predictions say: scores, comparisons, ranks, where gains come from, calibration, rare defects, labels.

from types import SimpleNamespace

from waferbench.config.synthesis.sources import Oracle

EXPLAINED_CELL = CELL.format(**SYNTHESIS.first, backbone="{backbone}", condition=CFG.baseline)
VALIDATION, SOFTMAX, ECOC_SVM = map(SYNTHESIS.every_cell, ("validation.parquet", "softmax.parquet", "ecoc_svm.parquet"))
COMPARED = {  # what looks across conditions reads of the grid
    "leaky": SYNTHESIS.leaky,
    "conditions": SYNTHESIS.named_conditions,
    "oracles": SYNTHESIS.of_kind(Oracle),
}


rule collect_scores:
    input:
        cells=SOFTMAX + ECOC_SVM,
    output:
        predictions=f"{STUDY}/predictions.parquet",
        scores=f"{STUDY}/scores.parquet",
        per_class=f"{STUDY}/per_class.parquet",
    log:
        f"{LOGS}/collect_scores.log",
    group:
        "statistics"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=pack(stages.Scored, classes=SYNTHESIS.classes_of),
        code=code("synthesis/collect_scores"),
    script:
        "../../scripts/synthesis/collect_scores.py"


rule resample_wafers:
    input:
        predictions=rules.collect_scores.output.predictions,
    output:
        intervals=f"{STUDY}/intervals.parquet",
    log:
        f"{LOGS}/resample_wafers.log",
    group:
        "statistics"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=slice_text(
            stages.ResampleWafers.of(
                CFG.statistics,
                CFG,
                classes=SYNTHESIS.classes_of,
                leaky=SYNTHESIS.leaky,
                conditions=SYNTHESIS.named_conditions,
            )
        ),
        code=code("synthesis/resample_wafers"),
    script:
        "../../scripts/synthesis/resample_wafers.py"


rule compare_conditions:
    input:
        scores=rules.collect_scores.output.scores,
    output:
        comparisons=f"{STUDY}/comparisons.parquet",
    log:
        f"{LOGS}/compare_conditions.log",
    group:
        "statistics"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=slice_text(
            stages.CompareConditions.of(
                CFG.statistics,
                CFG,
                leaky=SYNTHESIS.leaky,
                references=[one.name for one in SYNTHESIS.named_conditions if one.source == "repeat"],
            )
        ),
        code=code("synthesis/compare_conditions"),
    script:
        "../../scripts/synthesis/compare_conditions.py"


rule measure_backbone:
    output:
        cost=f"{STUDY}/backbones/{{backbone}}.json",
    log:
        f"{LOGS}/measure_backbone-{{backbone}}.log",
    wildcard_constraints:
        **held("backbone"),
    conda:
        "../../../envs/torch.yaml"
    threads: lambda w: network_threads(w) if gpu(w) or submitted() else workflow.cores  # alone: its speed is measured
    resources:
        gpu=gpu,
        mem_mb=growing(2500),
        runtime=growing(30),
    params:
        settings=slice_text(
            stages.MeasureBackbone.of(CFG.classifier, n_classes=len(SYNTHESIS.classes_of[SYNTHESIS.first["protocol"]]))
        ),
        code=code("synthesis/measure_backbone"),
    script:
        "../../scripts/synthesis/measure_backbone.py"


rule analyse_grid:
    input:
        scores=rules.collect_scores.output.scores,
        backbones=[f"{STUDY}/backbones/{name}.json" for name in CFG.backbones],
    output:
        heads=f"{STUDY}/heads.parquet",
        ranks=f"{STUDY}/ranks.parquet",
        rank_pairs=f"{STUDY}/rank_pairs.parquet",
        decomposition=f"{STUDY}/decomposition.parquet",
        saturation=f"{STUDY}/saturation.parquet",
        ceiling=f"{STUDY}/ceiling.parquet",
        mixed_model=f"{STUDY}/mixed_model.parquet",
        backbones=f"{STUDY}/backbones.parquet",
    log:
        f"{LOGS}/analyse_grid.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=slice_text(stages.AnalyseGrid.of(CFG.statistics, CFG, **COMPARED)),
        code=code("synthesis/analyse_grid"),
    script:
        "../../scripts/synthesis/analyse_grid.py"


rule make_findings:
    input:
        scores=rules.collect_scores.output.scores,
        validation=VALIDATION + SYNTHESIS.every_cell("ecoc_svm_validation.parquet"),
        agreement=rules.gather_agreement.output.table,
        texture=rules.gather_texture.output.table,
        reconstruction=rules.gather_reconstruction.output.table,
    output:
        findings=f"{STUDY}/findings.parquet",
    log:
        f"{LOGS}/make_findings.log",
    group:
        "statistics"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=slice_text(
            stages.MakeFindings.of(
                CFG.statistics,
                CFG,
                classes=SYNTHESIS.classes_of,
                protocols=list(SYNTHESIS.protocols),
                **COMPARED,
            )
        ),
        code=code("synthesis/make_findings"),
    script:
        "../../scripts/synthesis/make_findings.py"


rule calibrate:
    input:
        validation=VALIDATION,
        softmax=SOFTMAX,
    output:
        calibration=f"{STUDY}/calibration.parquet",
        reliability=f"{STUDY}/reliability.parquet",
    log:
        f"{LOGS}/calibrate.log",
    group:
        "statistics"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=pack(stages.Scored, classes=SYNTHESIS.classes_of),
        code=code("synthesis/calibrate"),
    script:
        "../../scripts/synthesis/calibrate.py"


rule measure_rare_recall:
    input:
        validation=VALIDATION,
        softmax=SOFTMAX,
    output:
        rare_recall=f"{STUDY}/rare_recall.parquet",
    log:
        f"{LOGS}/measure_rare_recall.log",
    group:
        "statistics"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=slice_text(
            stages.MeasureRareRecall.of(CFG.statistics, CFG, classes=SYNTHESIS.classes_of, leaky=SYNTHESIS.leaky)
        ),
        code=code("synthesis/measure_rare_recall"),
    script:
        "../../scripts/synthesis/measure_rare_recall.py"


rule audit_labels:
    input:
        softmax=SYNTHESIS.every_fold(
            f"{CELL}/softmax.parquet",
            backbone=CFG.backbones,
            condition=[name for name in [SYNTHESIS.real_only] if name],
        ),
    output:
        label_noise=f"{STUDY}/label_noise.parquet",
    log:
        f"{LOGS}/audit_labels.log",
    group:
        "statistics"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=pack(stages.AuditLabels, classes=SYNTHESIS.classes_of, condition=SYNTHESIS.real_only),
        code=code("synthesis/audit_labels"),
    script:
        "../../scripts/synthesis/audit_labels.py"


rule explain_mistakes:
    input:
        store=rules.ingest.output.store,
        selected=selected_wafers(SimpleNamespace(**SYNTHESIS.first)),
        checkpoint=f"{EXPLAINED_CELL}/checkpoint.safetensors",
        predictions=f"{EXPLAINED_CELL}/softmax.parquet",
    output:
        explanations=f"{STUDY}/explanations/{{backbone}}.h5",
    log:
        f"{LOGS}/explain_mistakes-{{backbone}}.log",
    wildcard_constraints:
        **held("backbone"),
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(2500),
        runtime=growing(30),
    params:
        settings=lambda w: pack(
            stages.ExplainMistakes,
            drawn=SYNTHESIS.drawn(),
            classes=SYNTHESIS.classes_of[SYNTHESIS.first["protocol"]],
            examples=CFG.report.examples,
            weights=checked(WEIGHTS.of, w.backbone),
        ),
        code=code("synthesis/explain_mistakes"),
    script:
        "../../scripts/synthesis/explain_mistakes.py"
