"""Makes the choice of the cell that predicts: the recipe by test scores, its fold by validation scores."""

import sys

from waferbench.base.artifacts import read_table, write_json
from waferbench.classification.predict.choose import choose_cell
from waferbench.engine.job import Job
from waferbench.wafers.store import slugs

with Job(snakemake) as job:
    settings = job.settings
    sound = [name for name in settings["protocols"] if name not in settings["leaky"]]
    if not sound:
        print(
            "every protocol of this study leaks test wafers into training: its scores promise too much", file=sys.stderr
        )
    scores, protocols = read_table(snakemake.input.scores), sound or settings["protocols"]
    tables = (read_table(path) for path in snakemake.input.validation)
    first = next((name for name in protocols if (scores["protocol"] == name).any()), protocols[0])
    names = settings["classes"][first]
    cell = choose_cell(scores, tables, [first], list(slugs(names).values()))
    write_json(snakemake.output.model, {**cell, "classes": names, "leaky": not sound}, job.provenance)
