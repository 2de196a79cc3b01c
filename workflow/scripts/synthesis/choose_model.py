"""Makes the choice of the cell that predicts: the recipe by test scores, its fold by validation scores."""

from waferbench.config.synthesis.stages import ChooseModel
from waferbench.engine.job import Job, run


def choose(job: Job[ChooseModel]) -> None:
    import sys

    from waferbench.base.artifacts import read_table, write_json
    from waferbench.base.names import labels_of
    from waferbench.classification.predict.choose import choose_cell

    settings = job.settings
    sound = [name for name in settings.protocols if name not in settings.leaky]
    if not sound:
        print(
            "every protocol of this study leaks test wafers into training: its scores promise too much", file=sys.stderr
        )
    scores, protocols = read_table(job.input.scores), sound or settings.protocols
    tables = (read_table(path) for path in job.input.validation)
    first = next((name for name in protocols if (scores["protocol"] == name).any()), protocols[0])
    names = settings.classes[first]
    cell = choose_cell(scores, tables, [first], labels_of(names))
    write_json(job.output.model, {**cell, "classes": names, "leaky": not sound}, job.provenance)


run(choose, snakemake, ChooseModel)
