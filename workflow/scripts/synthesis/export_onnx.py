"""Makes an ONNX file of the study's best cell, and holds it against the network on validation wafers."""

import sys

from waferbench.base.artifacts import read_json, read_table
from waferbench.classification.data import drawn_for
from waferbench.classification.predict.export import check_parity, export_onnx
from waferbench.classification.predict.model import Exported, temperature_of
from waferbench.classification.trained import load_classifier
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.wafers.render import render
from waferbench.wafers.store import open_store, slugs

CHECKED = 64  # wafers that both runtimes are asked about

with Job(snakemake) as job:
    settings, given = job.settings, snakemake.input
    cell, classifier = read_json(given.model), settings["classifier"]
    names, drawn = list(slugs(cell["classes"]).values()), drawn_for(settings["render"], classifier)
    device(0, job.threads)
    model, normalise = load_classifier(
        given.checkpoint, cell["backbone"], names, classifier, drawn["levels"], settings["weights"][cell["backbone"]]
    )
    temperature = temperature_of(given.validation, names)
    module = Exported(model, normalise, temperature).eval()
    facts = {"classes": cell["classes"], "levels": drawn["levels"], "temperature": temperature, "cell": cell}
    export_onnx(module, drawn["size"], snakemake.output.onnx, facts, job.provenance)
    table = read_table(given.wafers)
    rows = table[table["wafer_id"].isin(read_table(given.validation)["wafer_id"])]["row"][:CHECKED]
    worst = check_parity(snakemake.output.onnx, module, render(open_store(given.store).take(rows), **drawn))
    print(f"onnxruntime and torch agree on {len(rows)} wafers to {worst:.1e}", file=sys.stderr)
