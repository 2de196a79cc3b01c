# The grid: what enters training, a backbone fine-tuned per condition and fold, an ECOC-SVM on its features.


rule make_injection:
    input:
        unpack(injection_scores),
        selected=rules.select_wafers.output.selected,
        folds=rules.make_folds.output.folds,
    output:
        injection=f"{RUN}/fold{{fold}}/injection/{{condition}}.parquet",
    log:
        f"{RUN_LOGS}-make_injection-fold{{fold}}-{{condition}}.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=lambda w: pack(
            source=CFG["define"]["conditions"][w.condition]["source"],
            budget=CFG["budget"] if adds_wafers(w) else None,
            n_accepted=CFG["pool"]["n_accepted"] if source_of(w) else 0,
            classes=CLASSES,
            **ids(w),
        ),
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
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(int(2500 + 0.2 * CFG["classifier"]["image_size"] ** 2)),  # with room for 200,000 images
    params:
        settings=lambda w: pack(
            classifier=CFG["classifier"] if augments(w) else without(CFG["classifier"], "rotation", "flip"),
            condition=CFG["define"]["conditions"][w.condition],
            backbone={"name": w.backbone, **CFG["define"]["backbones"][w.backbone]},
            render=drawn_for(w),
            classes=CLASSES_OF[w.protocol],
            weights=weights_of(w.backbone),
            **ids(w),
        ),
        code=code("synthesis/train_classifier"),
    script:
        "../../scripts/synthesis/train_classifier.py"


rule fit_svm:
    input:
        features=rules.train_classifier.output.features,
    output:
        model=f"{CELL}/svm.h5",
        predictions=f"{CELL}/ecoc_svm.parquet",
    log:
        f"{RUN_LOGS}-fit_svm-fold{{fold}}-{{backbone}}-{{condition}}.log",
    conda:
        "../../../envs/torch.yaml"
    threads: svm_threads
    resources:
        gpu=lambda w: gpu(w) if CFG["svm"]["gpu"] else 0,
        mem_mb=growing(int(1000 + 2000 * CFG["svm"]["memory_gb"])),
    params:
        settings=lambda w: pack(svm=without(CFG["svm"], "memory_gb", "gpu"), classes=CLASSES_OF[w.protocol], **ids(w)),
        code=code("synthesis/fit_svm"),
    script:
        "../../scripts/synthesis/fit_svm.py"
