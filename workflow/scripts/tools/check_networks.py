"""Makes the list of the study's networks: each known, its weights found and unaltered, its adapters' targets there."""

from waferbench.base.artifacts import write_json
from waferbench.engine.job import Job
from waferbench.learning.backbones import check_backbone
from waferbench.synthesis.quality.features import INCEPTION, find_inception

with Job(snakemake, shared=False) as job:
    found = {}
    for name, entry in job.settings["backbones"].items():
        found[name] = check_backbone(entry["name"], entry["pretrained"], job.weights(entry["weights"]))
    quality = job.settings["quality"]
    if quality and quality["network"] == INCEPTION:
        found[INCEPTION] = find_inception(quality["image_size"], job.weights(quality["weights"])).name
    elif quality:
        found[quality["network"]] = check_backbone(quality["network"], True, job.weights(quality["weights"]))
    for name, source in job.settings["sources"].items():
        from waferbench.synthesis.diffusion.check import check_source  # slow to import, and not every study needs it

        found[name] = check_source(source, job.machine["weights"])
    write_json(snakemake.output.networks, {"networks": found}, job.provenance)
