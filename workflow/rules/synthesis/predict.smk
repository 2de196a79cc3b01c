# The study's best classifier put to work: the class of one's own wafers, scores on another labelled set, an ONNX file.

import re

from waferbench.base.places import TEMPLATES
from waferbench.engine.identities import own_wafers as identity_of_wafers

OWN = Path(CFG.wafers)
OWN_NAME = re.sub(r"[^A-Za-z0-9._-]+", "-", OWN.name).strip(".-") or "none"
PREDICTED = f"{STUDY}/predictions/{OWN_NAME}"
EVALUATED = f"{STUDY}/evaluation/{OWN_NAME}"


checkpoint choose_model:
    input:
        scores=rules.collect_scores.output.scores,
        validation=VALIDATION + SYNTHESIS.every_cell("ecoc_svm_validation.parquet"),
        backbones=rules.analyse_grid.output.backbones,
    output:
        model=f"{STUDY}/model.json",
    log:
        f"{LOGS}/choose_model.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=pack(
            stages.ChooseModel,
            protocols=list(SYNTHESIS.protocols),
            leaky=[name for name in SYNTHESIS.protocols if SYNTHESIS.pooled(name)],
            classes=SYNTHESIS.classes_of,
            conditions=SYNTHESIS.choosable,
        ),
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
        runtime=growing(60),
    params:
        settings=lambda _: judging(
            classification.PredictWafers,
            neighbours=CFG.predict.neighbours,
            gallery=CFG.predict.gallery,
            memory_gb=CFG.svm.memory_gb,
            wafers_stat=checked(identity_of_wafers, CFG.wafers) if CFG.wafers else "",
        ),
        code=page_code("synthesis/predict_wafers", [TEMPLATES / "gallery.html.j2"]),
    script:
        "../../scripts/synthesis/predict_wafers.py"


rule predict:
    input:
        rules.predict_wafers.output,


rule evaluate_wafers:
    input:
        unpack(chosen_cell),
        unpack(own_wafers),
        home=lambda _: f"{CELL}/{{head}}.parquet".format(**chosen()),
        model=f"{STUDY}/model.json",
        wafers=rules.ingest.output.wafers,
    output:
        scores=f"{EVALUATED}/scores.parquet",
        predictions=f"{EVALUATED}/predictions.parquet",
        confusion=f"{EVALUATED}/confusion.parquet",
        shift=f"{EVALUATED}/shift.parquet",
        page=f"{EVALUATED}/report.html",
    log:
        f"{LOGS}/evaluate_wafers-{OWN_NAME}.log",
    conda:
        "../../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        settings=lambda _: judging(
            classification.EvaluateWafers,
            neighbours=1,
            gallery=1,
            memory_gb=CFG.svm.memory_gb,
            rename=CFG.evaluate.rename,
            bootstrap=CFG.evaluate.bootstrap,
            confidence=CFG.statistics.confidence,
            seed=CFG.seed,
            wafers_stat=checked(identity_of_wafers, CFG.wafers) if CFG.wafers else "",
        ),
        code=page_code("synthesis/evaluate_wafers", [TEMPLATES / "kit", TEMPLATES / "evaluation.html.j2"]),
    script:
        "../../scripts/synthesis/evaluate_wafers.py"


rule evaluate:
    input:
        rules.evaluate_wafers.output,


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
        runtime=growing(30),
    params:
        settings=lambda _: judging(classification.ExportOnnx),
        code=code("synthesis/export_onnx"),
    script:
        "../../scripts/synthesis/export_onnx.py"


rule export:
    input:
        rules.export_onnx.output,
