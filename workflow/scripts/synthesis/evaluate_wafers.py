"""Makes the scores of the study's best cell on another labelled data set, and says how far from home its wafers are."""

from waferbench.config.classification import EvaluateWafers
from waferbench.engine.job import Job, run


def evaluate(job: Job[EvaluateWafers]) -> None:
    import sys
    from pathlib import Path

    from waferbench.base.artifacts import read_h5, read_json, read_table, write_table
    from waferbench.base.errors import InputError
    from waferbench.base.places import TEMPLATES
    from waferbench.base.protocols import protocol
    from waferbench.classification.evaluate.classes import map_classes
    from waferbench.classification.evaluate.scores import at_home, confusion, score
    from waferbench.classification.evaluate.shift import shift, warnings
    from waferbench.classification.predict.model import read_classifier
    from waferbench.classification.predict.table import predict_wafers
    from waferbench.learning.runtime import device
    from waferbench.report.evaluation import write_evaluation
    from waferbench.wafers.ingest import read_unlabelled
    from waferbench.wafers.ingest.isolated import read_isolated

    settings, given, output = job.settings, job.input, job.output
    cell, file = read_json(given.model), Path(job.settings.wafers).name
    wafers, bins = read_isolated(read_unlabelled, settings.wafers, settings.pass_bins)
    classes = map_classes(wafers.classes, cell["classes"], settings.rename, file)
    for sentence in classes.told:
        print(f"{file}: class {sentence}", file=sys.stderr)
    wafers = wafers._replace(classes=[classes.to.get(name, "") for name in wafers.classes])

    table = read_table(given.wafers)
    classifier = read_classifier(given, cell, settings, job.weights(settings.weights), table["wafer_id"])
    names = list(classifier.labels.values())
    held_out = set(read_h5(given.features, ["test_ids"])["test_ids"].astype(str))
    training = table[table["wafer_id"].isin(classifier.neighbours.ids)]
    judged = predict_wafers(wafers, bins, classifier, settings, device(job.gpus, job.threads), training)
    counted = judged[(judged["label"] != "") & ~judged["in_training"]]
    if counted.empty:
        raise InputError(
            f"{file}: every labelled wafer is die for die a training wafer of the model; give other wafers"
        )

    scores = score(counted, names, settings.bootstrap, settings.confidence, settings.seed)
    far = shift(counted, training, table[table["wafer_id"].isin(held_out)])
    loud = warnings(far)
    for sentence in loud:
        job.warn(f"WARNING: {file}: {sentence}")
    found = scores.set_index("metric")["value"]
    home = at_home(read_table(given.home), set(counted["label"]))
    told = (
        f"{file}: macro-F1 {found['macro_f1']:.3f} on {len(counted)} wafers ({home:.3f} at home, of the same classes)"
    )
    print(told, file=sys.stderr)
    pairs = confusion(counted, names)
    facts = {
        **cell,
        "home": home,
        "study": job.study.name,
        "file": file,
        "unit": "replicate" if protocol(cell["protocol"]).replicates else "fold",
        "confidence": settings.confidence,
        "n": len(counted),
        "n_left_out": int((judged["label"] == "").sum()),
        "n_in_training": int(((judged["label"] != "") & judged["in_training"]).sum()),
    }
    by_label = {label: name for name, label in classifier.labels.items()}
    write_evaluation(
        TEMPLATES / "evaluation.html.j2", output.page, scores, pairs, far, loud, classes.told, by_label, facts
    )  # fmt: skip
    for path, part in ((output.scores, scores), (output.confusion, pairs), (output.shift, far)):
        write_table(path, part, job.provenance)
    write_table(output.predictions, judged, job.provenance)


run(evaluate, snakemake, EvaluateWafers, kept=False)
