# The study's best classifier put to work: the class of one's own wafers, and an ONNX file.


checkpoint choose_model:
    input:
        scores=rules.collect_scores.output.scores,
        validation=every_cell(f"{CELL}/validation.parquet"),
    output:
        model=f"{STUDY}/model.json",
    log:
        f"{LOGS}/choose_model.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
    params:
        settings=pack(protocols=list(PROTOCOLS), leaky=[name for name in PROTOCOLS if pooled(name)], classes=CLASSES_OF),
        code=code("synthesis/choose_model"),
    script:
        "../../scripts/synthesis/choose_model.py"


rule predict_wafers:
    input:
        unpack(chosen_cell),
        unpack(own_wafers),
        model=f"{STUDY}/model.json",
        store=rules.ingest.output.store,
        wafers=rules.ingest.output.wafers,
        template=local("workflow/report/gallery.html.j2"),
    output:
        predictions=f"{PREDICTED}/predictions.parquet",
        gallery=f"{PREDICTED}/gallery.html",
    log:
        f"{LOGS}/predict_wafers-{OWN_NAME}.log",
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(6000),
    params:
        settings=lambda _: pack(
            **judging("precision"),
            **CFG["predict"],
            pass_bins=CFG["dataset"]["pass_bins"],
            wafers=str(OWN),
            wafers_stat=checked(own_weights, "", [], OWN) if CFG["wafers"] else "",
        ),
        code=code("synthesis/predict_wafers"),
    script:
        "../../scripts/synthesis/predict_wafers.py"


rule predict:
    input:
        rules.predict_wafers.output,


rule export_onnx:
    input:
        unpack(chosen_cell),
        model=f"{STUDY}/model.json",
        store=rules.ingest.output.store,
        wafers=rules.ingest.output.wafers,
    output:
        onnx=f"{STUDY}/model.onnx",
    log:
        f"{LOGS}/export_onnx.log",
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        mem_mb=growing(3000),
    params:
        settings=lambda _: pack(**judging()),
        code=code("synthesis/export_onnx"),
    script:
        "../../scripts/synthesis/export_onnx.py"


rule export:
    input:
        rules.export_onnx.output,
