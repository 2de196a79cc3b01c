"""Makes the table of findings: what the study says, in sentences, the first of which is its answer."""

from waferbench.config.synthesis.stages import MakeFindings
from waferbench.engine.job import Job, run


def make(job: Job[MakeFindings]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_by_protocol
    from waferbench.classification.scores import collect
    from waferbench.statistics.findings import Evidence, find

    settings, given = job.settings, job.input
    _, validation, _ = collect(map(read_table, given.validation), labels_by_protocol(settings.classes))
    tables = {name: read_table(given[name]) for name in ("scores", "agreement", "texture", "reconstruction")}
    first = next((name for name in settings.protocols if name not in settings.leaky), "")
    evidence = Evidence(
        **{name: table[table["protocol"] == first] for name, table in {**tables, "validation": validation}.items()},
        conditions=settings.conditions,
        baseline=settings.baseline,
        oracles=settings.oracles,
        confidence=settings.confidence,
    )
    write_table(job.output.findings, find(evidence), job.provenance)


run(make, snakemake, MakeFindings)
