"""Makes the choice of the cell that predicts, by validation scores; a tie goes to the simplest recipe."""

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
    costs = job.input.get("backbones")
    sizes = read_table(costs).set_index("backbone")["parameters"].to_dict() if costs else None
    cell = choose_cell(
        scores, tables, [first], labels_of(names), settings.backbones, settings.conditions, parameters=sizes
    )
    if len(cell["tied"]) > 1:
        others = ", ".join(" ".join(recipe.values()) for recipe in cell["tied"][1:])
        print(f"a tie on validation wafers, won by the simplest; tied with it: {others}", file=sys.stderr)
    write_json(job.output.model, {**cell, "classes": names, "leaky": not sound}, job.provenance)


run(choose, snakemake, ChooseModel)
