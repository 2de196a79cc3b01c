"""Makes one backbone's surest mistakes on test wafers, each with the Grad-CAM of the class called."""

from waferbench.config.synthesis.stages import ExplainMistakes
from waferbench.engine.job import Job, run


def explain_mistakes(job: Job[ExplainMistakes]) -> None:
    import numpy as np

    from waferbench.base.artifacts import read_table, write_h5
    from waferbench.base.names import labels_of
    from waferbench.classification.explain import explain, surest_mistakes
    from waferbench.classification.trained import load_classifier
    from waferbench.learning.runtime import device
    from waferbench.wafers.render import render
    from waferbench.wafers.store import open_store

    settings, name, drawn = job.settings, job.wildcards["backbone"], job.settings.drawn
    labels = labels_of(settings.classes)
    rows = read_table(job.input.selected).set_index("wafer_id")["row"]
    predictions = read_table(job.input.predictions)
    predictions = predictions[predictions["wafer_id"].isin(rows.index)]  # a leaky protocol tests on added ones as well
    mistakes = surest_mistakes(predictions, labels, settings.examples)
    images = render(open_store(job.input.store).take(rows.loc[mistakes["wafer_id"]]), drawn)

    target, weights = device(job.gpus, job.threads), job.weights(settings.weights)
    model, normalise = load_classifier(job.input.checkpoint, name, labels, settings.classifier, drawn.levels, weights)
    called = mistakes["called"].to_numpy()
    arrays = {
        "images": images,
        "maps": explain(model, normalise, images, called, target),
        "ids": mistakes["wafer_id"].to_numpy(dtype=object).astype(str),
        "true": mistakes["true"].to_numpy(),
        "called": called,
        "probability": mistakes["probability"].to_numpy(np.float32),
        "classes": np.array(labels),
    }
    write_h5(job.output.explanations, arrays, job.provenance)


run(explain_mistakes, snakemake, ExplainMistakes)
