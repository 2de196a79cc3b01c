# What the grid's predictions say: scores, comparisons, ranks, where gains come from, calibration, rare defects, labels.

from types import SimpleNamespace

EXPLAINED_CELL = expand(CELL, **FIRST, condition=CFG["baseline"], allow_missing=True)[0]
# Labels are judged by networks that no generator has touched: the baseline, or else the first such condition.
REAL_ONLY = [name for name in (CFG["baseline"], *CONDITIONS) if CONDITIONS[name]["source"] == "none"][:1]
LEAKY = [name for name in PROTOCOLS if PROTOCOLS[name].leaky]  # test each condition on other wafers: no comparisons
CONDITIONS_IN_ORDER = [{"name": name, **CONDITIONS[name]} for name in CONDITIONS]


rule collect_scores:
    input:
        cells=every_cell(rules.train_classifier.output.predictions) + every_cell(rules.fit_svm.output.predictions),
    output:
        predictions=f"{STUDY}/predictions.parquet",
        scores=f"{STUDY}/scores.parquet",
        per_class=f"{STUDY}/per_class.parquet",
    log:
        f"{LOGS}/collect_scores.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        settings=pack(classes=CLASSES_OF),
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
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        settings=pack(
            classes=CLASSES_OF,
            baseline=CFG["baseline"],
            leaky=LEAKY,
            conditions=CONDITIONS_IN_ORDER,
            seed=CFG["seed"],
            **only(CFG["statistics"], "confidence", "bootstrap"),
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
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=pack(baseline=CFG["baseline"], leaky=LEAKY, **only(CFG["statistics"], "confidence")),
        code=code("synthesis/compare_conditions"),
    script:
        "../../scripts/synthesis/compare_conditions.py"


rule measure_backbone:
    output:
        cost=f"{STUDY}/backbones/{{backbone}}.json",
    log:
        f"{LOGS}/measure_backbone-{{backbone}}.log",
    conda:
        "../../../envs/torch.yaml"
    threads: lambda w: network_threads(w) if gpu(w) or submitted() else workflow.cores  # alone: its speed is measured
    resources:
        gpu=gpu,
        mem_mb=growing(2500),
    params:
        settings=pack(
            n_classes=len(CLASSES_OF[FIRST["protocol"]]), **only(CFG["classifier"], "image_size", "precision")
        ),
        code=code("synthesis/measure_backbone"),
    script:
        "../../scripts/synthesis/measure_backbone.py"


rule analyse_grid:
    input:
        scores=rules.collect_scores.output.scores,
        backbones=expand(written(rules.measure_backbone.output.cost), backbone=CFG["backbones"]),
    output:
        heads=f"{STUDY}/heads.parquet",
        ranks=f"{STUDY}/ranks.parquet",
        rank_pairs=f"{STUDY}/rank_pairs.parquet",
        decomposition=f"{STUDY}/decomposition.parquet",
        saturation=f"{STUDY}/saturation.parquet",
        backbones=f"{STUDY}/backbones.parquet",
    log:
        f"{LOGS}/analyse_grid.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=pack(
            baseline=CFG["baseline"],
            leaky=LEAKY,
            conditions=CONDITIONS_IN_ORDER,
            **only(CFG["statistics"], "confidence"),
        ),
        code=code("synthesis/analyse_grid"),
    script:
        "../../scripts/synthesis/analyse_grid.py"


rule calibrate:
    input:
        validation=every_cell(f"{CELL}/validation.parquet"),
        softmax=every_cell(f"{CELL}/softmax.parquet"),
    output:
        calibration=f"{STUDY}/calibration.parquet",
        reliability=f"{STUDY}/reliability.parquet",
    log:
        f"{LOGS}/calibrate.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=pack(classes=CLASSES_OF),
        code=code("synthesis/calibrate"),
    script:
        "../../scripts/synthesis/calibrate.py"


rule measure_rare_recall:
    input:
        validation=every_cell(f"{CELL}/validation.parquet"),
        softmax=every_cell(f"{CELL}/softmax.parquet"),
    output:
        rare_recall=f"{STUDY}/rare_recall.parquet",
    log:
        f"{LOGS}/measure_rare_recall.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(4000),
    params:
        settings=pack(
            classes=CLASSES_OF,
            baseline=CFG["baseline"],
            leaky=LEAKY,
            seed=CFG["seed"],
            **only(CFG["statistics"], "confidence", "rare_classes", "precision", "bootstrap"),
        ),
        code=code("synthesis/measure_rare_recall"),
    script:
        "../../scripts/synthesis/measure_rare_recall.py"


rule audit_labels:
    input:
        softmax=every_fold(f"{CELL}/softmax.parquet", backbone=CFG["backbones"], condition=REAL_ONLY),
    output:
        label_noise=f"{STUDY}/label_noise.parquet",
    log:
        f"{LOGS}/audit_labels.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        settings=pack(classes=CLASSES_OF, condition="".join(REAL_ONLY)),
        code=code("synthesis/audit_labels"),
    script:
        "../../scripts/synthesis/audit_labels.py"


rule explain_mistakes:
    input:
        store=rules.ingest.output.store,
        selected=selected_wafers(SimpleNamespace(**FIRST)),
        checkpoint=f"{EXPLAINED_CELL}/checkpoint.safetensors",
        predictions=f"{EXPLAINED_CELL}/softmax.parquet",
    output:
        explanations=f"{STUDY}/explanations/{{backbone}}.h5",
    log:
        f"{LOGS}/explain_mistakes-{{backbone}}.log",
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(2500),
    params:
        settings=lambda w: pack(
            classifier=only(CFG["classifier"], "image_size", "draw_real_at", "input"),
            render=DRAWN,
            classes=CLASSES_OF[FIRST["protocol"]],
            examples=CFG["report"]["examples"],
            weights=weights_of(w.backbone),
        ),
        code=code("synthesis/explain_mistakes"),
    script:
        "../../scripts/synthesis/explain_mistakes.py"
