"""Makes the ECOC-SVM head of one classifier from its features, and that head's predictions on the test fold."""

from waferbench.config.synthesis.stages import FitSvm
from waferbench.engine.job import Job, run


def fit(job: Job[FitSvm]) -> None:
    from waferbench.base.artifacts import read_h5, read_provenance, write_table
    from waferbench.classification.predictions import prediction_table
    from waferbench.classification.svm.svm import fit_ecoc_svm, warn_of_unseen

    settings, data = job.settings.svm, read_h5(job.input.features)
    warn_of_unseen(data["train_labels"], data["test_labels"], data["classes"])
    model = fit_ecoc_svm(data["train_features"], data["train_labels"], settings, job.threads)
    predicted = model.predict(data["test_features"], settings.memory_gb)
    cell = read_provenance(job.input.features)["cell"]
    table = prediction_table(cell, "ecoc_svm", data["test_ids"], data["test_labels"], predicted, data["classes"])
    provenance = {**job.provenance, "cell": cell}
    model.write(job.output.model, provenance)
    write_table(job.output.predictions, table, provenance)


run(fit, snakemake, FitSvm)
