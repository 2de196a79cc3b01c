"""Makes the tables that look across the grid: heads, ranks, steps of the gain, ceiling, saturation, costs."""

from waferbench.config.synthesis.stages import AnalyseGrid
from waferbench.engine.job import Job, run


def analyse(job: Job[AnalyseGrid]) -> None:
    import pandas as pd

    from waferbench.base.artifacts import read_json, read_table, write_table
    from waferbench.base.tables import TABLES
    from waferbench.statistics.ceiling import share_of_ceiling
    from waferbench.statistics.comparisons import comparable
    from waferbench.statistics.gains import compare_heads, decompose, saturation
    from waferbench.statistics.mixed import mixed_effects
    from waferbench.statistics.ranks import rank_conditions

    settings, confidence = job.settings, job.settings.confidence
    everything = read_table(job.input.scores)
    scores = comparable(everything, settings.leaky)
    backbones = pd.DataFrame([read_json(path) for path in job.input.backbones])
    parameters = backbones.set_index("backbone")["parameters"].to_dict()
    ranked = [one.name for one in settings.conditions if one.source not in settings.oracles]  # a ceiling is no rival
    ranks, rank_pairs = rank_conditions(scores[scores["condition"].isin(ranked)], confidence)
    tables = {
        "heads": compare_heads(everything, confidence),
        "ranks": ranks,
        "rank_pairs": rank_pairs,
        "decomposition": decompose(scores, settings.conditions, confidence),
        "ceiling": share_of_ceiling(scores, settings.conditions, settings.baseline, settings.oracles, confidence),
        "mixed_model": mixed_effects(scores, settings.baseline, confidence),
        "saturation": saturation(scores, parameters, settings.baseline, confidence),
        "backbones": backbones[list(TABLES["backbones"])],
    }
    for name, table in tables.items():
        write_table(job.output[name], table, job.provenance)


run(analyse, snakemake, AnalyseGrid)
