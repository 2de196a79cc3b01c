"""Makes the ECOC-SVM head of one classifier from its features, and that head's predictions on validation and test."""

from waferbench.config.synthesis.stages import FitSvm
from waferbench.engine.job import Job, run


def fit(job: Job[FitSvm]) -> None:
    from waferbench.base.artifacts import read_h5, read_provenance, write_table
    from waferbench.classification.predictions import prediction_table
    from waferbench.classification.svm.svm import fit_ecoc_svm, warn_of_unseen

    settings, data = job.settings.svm, read_h5(job.input.features)
    warn_of_unseen(data["train_labels"], data["test_labels"], data["classes"])
    model = fit_ecoc_svm(data["train_features"], data["train_labels"], settings, job.threads)
    cell = read_provenance(job.input.features)["cell"]
    provenance = {**job.provenance, "cell": cell}
    model.write(job.output.model, provenance)
    for split, path in (("test", job.output.predictions), ("val", job.output.validation)):
        outputs = model.decision_function(data[f"{split}_features"], settings.memory_gb)
        by_book = model.nearest_by_book(outputs) if settings.code_seeds > 1 else None
        ids, y = data[f"{split}_ids"], data[f"{split}_labels"]
        table = prediction_table(cell, "ecoc_svm", ids, y, model.nearest(outputs), data["classes"], by_book=by_book)
        write_table(path, table, provenance)


run(fit, snakemake, FitSvm)
