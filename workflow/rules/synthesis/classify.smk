# The grid: what enters training, a backbone fine-tuned per condition and fold, an ECOC-SVM on its features.


PLAN = f"{RUN}/fold{{fold}}/budget.parquet"


rule plan_budget:  # what every condition adds to a fold
    input:
        selected=rules.select_wafers.output.selected,
        folds=rules.make_folds.output.folds,
    output:
        plan=PLAN,
    log:
        f"{RUN_LOGS}-plan_budget-fold{{fold}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "fold"),
    priority: 100
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=lambda w: pack(stages.PlanBudget, **of_run(w)),
        code=code("synthesis/plan_budget"),
    script:
        "../../scripts/synthesis/plan_budget.py"


rule check_budget:  # by its priority before generators, but for those that start with it; no condition waits for it
    input:
        plans=SYNTHESIS.every_fold(PLAN),
    output:
        budget=f"{STUDY}/budget.parquet",
    log:
        f"{LOGS}/check_budget.log",
    priority: 100
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=pack(stages.CheckBudget, sources=[SYNTHESIS.budgeted(name) for name in SYNTHESIS.sources]),
        code=code("synthesis/check_budget"),
    script:
        "../../scripts/synthesis/check_budget.py"


rule make_injection:
    input:
        unpack(pool_of),
        unpack(lambda w: {} if SYNTHESIS.conditions[w.condition].source == "none" else {"plan": PLAN}),
        selected=rules.select_wafers.output.selected,
        folds=rules.make_folds.output.folds,
    output:
        injection=f"{RUN}/fold{{fold}}/injection/{{condition}}.parquet",
    log:
        f"{RUN_LOGS}-make_injection-fold{{fold}}-{{condition}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "fold", "condition"),
    group:
        "injections"
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=injection_settings,
        code=code("synthesis/make_injection"),
    script:
        "../../scripts/synthesis/make_injection.py"


rule train_classifier:
    input:
        unpack(cell_samples),
        store=rules.ingest.output.store,
        selected=selected_wafers,
        folds=rules.make_folds.output.folds,
        injection=rules.make_injection.output.injection,
    output:
        checkpoint=f"{CELL}/checkpoint.safetensors",
        features=f"{CELL}/features.h5",
        predictions=f"{CELL}/softmax.parquet",
        validation=f"{CELL}/validation.parquet",
        history=f"{CELL}/history.parquet",
    log:
        f"{RUN_LOGS}-train_classifier-fold{{fold}}-{{backbone}}-{{condition}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "fold", "backbone", "condition"),
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(int(2500 + 0.2 * CFG.classifier.image_size**2)),  # with room for 200,000 images
        runtime=growing(240),
    params:
        settings=cell_settings,
        code=code("synthesis/train_classifier"),
    script:
        "../../scripts/synthesis/train_classifier.py"


rule fit_svm:  # a fold's cells in one job: each takes a moment
    input:
        features=SYNTHESIS.cells_of_fold("features.h5"),
    output:
        model=SYNTHESIS.cells_of_fold("svm.h5"),
        predictions=SYNTHESIS.cells_of_fold("ecoc_svm.parquet"),
        validation=SYNTHESIS.cells_of_fold("ecoc_svm_validation.parquet"),
    log:
        f"{RUN_LOGS}-fit_svm-fold{{fold}}.log",
    wildcard_constraints:
        **held("protocol", "seed", "fold"),
    conda:
        "../../../envs/torch.yaml"
    threads: svm_threads
    resources:
        mem_mb=growing(int(1000 + 2000 * CFG.svm.memory_gb)),
        runtime=growing(120),
    params:
        settings=lambda w: pack(stages.FitSvm, classes=SYNTHESIS.classes_of[w.protocol], **of_run(w)),
        parts=parts_text(backbone=CFG.backbones, condition=CFG.conditions),
        code=code("synthesis/fit_svm"),
    script:
        "../../scripts/synthesis/fit_svm.py"
