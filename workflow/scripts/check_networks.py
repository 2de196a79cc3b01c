"""Makes the list of the study's networks, each known to timm and each with its weight file found and unaltered."""

from waferbench.artifacts import write_json
from waferbench.backbones import check_backbone
from waferbench.job import Job
from waferbench.quality.features import INCEPTION, find_inception

with Job(snakemake) as job:
    found = {}
    for name, entry in job.settings["backbones"].items():
        found[name] = check_backbone(entry["name"], entry["pretrained"], entry["weights"])
    quality = job.settings["quality"]
    if quality and quality["network"] == INCEPTION:
        found[INCEPTION] = find_inception(quality["image_size"], quality["weights"]).name
    elif quality:
        found[quality["network"]] = check_backbone(quality["network"], True, quality["weights"])
    write_json(snakemake.output.networks, {"networks": found}, job.provenance)
