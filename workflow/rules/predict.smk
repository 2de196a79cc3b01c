# The study's best classifier put to work: the class of one's own wafers, and an ONNX file.
OWN = Path(CFG["wafers"]).expanduser()
OWN_NAME = re.sub(r"[^A-Za-z0-9._-]+", "-", OWN.name).strip(".-") or "none"
PREDICTED = f"{STUDY}/predictions/{OWN_NAME}"


checkpoint choose_model:
    input:
        scores=rules.collect_scores.output.scores,
        validation=every_cell(f"{CELL}/validation.parquet"),
    output:
        model=f"{STUDY}/model.json",
    log:
        f"{LOGS}/choose_model.log",
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=1000,
    params:
        study=CFG["study"],
        settings=pack(protocols=list(PROTOCOLS), leaky=[name for name in PROTOCOLS if pooled(name)], classes=CLASSES_OF),
        code=code("choose_model"),
    script:
        "../scripts/choose_model.py"


def chosen():
    """The chosen cell, known once the study is done."""
    return json.loads(Path(checkpoints.choose_model.get().output.model).read_text())


def chosen_cell(_):
    """The files of the chosen cell."""
    cell = chosen()
    files = ("checkpoint.safetensors", "features.h5", "svm.h5", "validation.parquet")
    return {Path(file).stem: f"{CELL.format(**cell)}/{file}" for file in files}


def own_wafers(_):
    """The file of wafers to be judged; a folder is known by the identity of its files alone."""
    if not CFG["wafers"]:
        raise WorkflowError("predict: no wafers are named; add --config wafers=FILE")
    if not OWN.exists():
        raise WorkflowError(f"wafers: nothing at {OWN}; give the path of a file or folder of wafers")
    return {"own": OWN} if OWN.is_file() else {}


def judging(*keys):
    """What the chosen cell needs to judge wafers, and what no other cell does."""
    backbone = chosen()["backbone"]
    return {
        "classifier": only(CFG["classifier"], "image_size", "draw_real_at", "input", *keys),
        "render": DRAWN,
        "weights": {backbone: only(weights_of(backbone), "manifest")},
    }


rule predict_wafers:
    input:
        unpack(chosen_cell),
        unpack(own_wafers),
        model=f"{STUDY}/model.json",
        store=rules.ingest.output.store,
        wafers=rules.ingest.output.wafers,
        template="workflow/report/gallery.html.j2",
    output:
        predictions=f"{PREDICTED}/predictions.parquet",
        gallery=f"{PREDICTED}/gallery.html",
    log:
        f"{LOGS}/predict_wafers-{OWN_NAME}.log",
    conda:
        "../../envs/torch.yaml"
    threads: network_threads
    resources:
        gpu=gpu,
        mem_mb=6000,
    params:
        study=CFG["study"],
        settings=lambda _: pack(
            **judging("precision"),
            **CFG["predict"],
            pass_bins=CFG["dataset"]["pass_bins"],
            wafers=str(OWN),
            wafers_stat=own_weights("", [], OWN) if CFG["wafers"] else "",
        ),
        code=code("predict_wafers"),
    script:
        "../scripts/predict_wafers.py"


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
        "../../envs/torch.yaml"
    threads: network_threads
    resources:
        mem_mb=3000,
    params:
        study=CFG["study"],
        settings=lambda _: pack(**judging()),
        code=code("export_onnx"),
    script:
        "../scripts/export_onnx.py"


rule export:
    input:
        rules.export_onnx.output,
