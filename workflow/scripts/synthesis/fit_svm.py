"""Makes the ECOC-SVM head of one classifier from its features, and that head's predictions on the test fold."""

import json

from waferbench.base.artifacts import read_h5, write_table
from waferbench.classification.predictions import prediction_table
from waferbench.classification.svm.kernels import cuda_device
from waferbench.classification.svm.svm import fit_ecoc_svm, warn_of_unseen
from waferbench.engine.job import Job

with Job(snakemake) as job:
    data = read_h5(snakemake.input.features)
    settings = {**job.settings["svm"], "memory_gb": job.machine["svm_memory_gb"]}
    warn_of_unseen(data["train_labels"], data["test_labels"], data["classes"])
    device = cuda_device(job.gpus)
    model = fit_ecoc_svm(data["train_features"], data["train_labels"], settings, job.threads, device)
    predicted = model.predict(data["test_features"], settings["memory_gb"], device)
    table = prediction_table(
        json.loads(data["cell"][0]), "ecoc_svm", data["test_ids"], data["test_labels"], predicted, data["classes"]
    )
    model.write(snakemake.output.model, job.provenance)
    write_table(snakemake.output.predictions, table, job.provenance)
