"""Makes an ONNX file of the study's best cell, and holds it against the network on validation wafers."""

from waferbench.config.classification import ExportOnnx
from waferbench.engine.job import Job, run

CHECKED = 64  # wafers that both runtimes are asked about


def export(job: Job[ExportOnnx]) -> None:
    import sys

    from waferbench.base.artifacts import read_json, read_table
    from waferbench.base.names import labels_of
    from waferbench.classification.predict.export import check_parity, export_onnx
    from waferbench.classification.predict.model import Exported, temperature_of
    from waferbench.classification.trained import load_classifier
    from waferbench.learning.runtime import device
    from waferbench.wafers.render import render
    from waferbench.wafers.store import open_store

    settings, given, drawn = job.settings, job.input, job.settings.drawn
    cell = read_json(given.model)
    names = labels_of(cell["classes"])
    device(0, job.threads)
    backbone, weights = cell["backbone"], job.weights(settings.weights)
    model, normalise = load_classifier(given.checkpoint, backbone, names, settings.classifier, drawn.levels, weights)
    temperature = temperature_of(given.validation, names)
    module = Exported(model, normalise, temperature).eval()
    facts = {"classes": cell["classes"], "levels": list(drawn.levels), "temperature": temperature, "cell": cell}
    export_onnx(module, drawn.size, job.output.onnx, facts, job.provenance)
    table = read_table(given.wafers)
    rows = table[table["wafer_id"].isin(read_table(given.validation)["wafer_id"])]["row"][:CHECKED]
    worst = check_parity(job.output.onnx, module, render(open_store(given.store).take(rows), drawn))
    print(f"onnxruntime and torch agree on {len(rows)} wafers to {worst:.1e}", file=sys.stderr)


run(export, snakemake, ExportOnnx)
