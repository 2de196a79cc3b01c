"""Makes the tables that look across the grid: heads, ranks and their pairs, steps of the gain, saturation, costs."""

import pandas as pd

from waferbench.base.artifacts import read_json, read_table, write_table
from waferbench.engine.job import Job
from waferbench.statistics.comparisons import comparable
from waferbench.statistics.gains import compare_heads, decompose, saturation
from waferbench.statistics.ranks import rank_conditions

with Job(snakemake) as job:
    settings, confidence = job.settings, job.settings["confidence"]
    everything = read_table(snakemake.input.scores)
    scores = comparable(everything, settings["leaky"])
    conditions = {condition["name"]: condition for condition in settings["conditions"]}  # in the study's order
    backbones = pd.DataFrame([read_json(path) for path in snakemake.input.backbones])
    parameters = backbones.set_index("backbone")["parameters"].to_dict()
    ranks, rank_pairs = rank_conditions(scores, confidence)
    tables = {
        "heads": compare_heads(everything, confidence),
        "ranks": ranks,
        "rank_pairs": rank_pairs,
        "decomposition": decompose(scores, conditions, confidence),
        "saturation": saturation(scores, parameters, settings["baseline"], confidence),
        "backbones": backbones[["backbone", "parameters", "macs", "image_size"]],
    }
    for name, table in tables.items():
        write_table(snakemake.output[name], table, job.provenance)
