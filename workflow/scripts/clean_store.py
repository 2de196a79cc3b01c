"""Clears what a study's own store holds beyond its present results. No job: it leaves no record."""

import sys
from pathlib import Path

from waferbench.base.errors import InputError
from waferbench.engine.store import Store

try:
    entries, freed = Store(snakemake.params.store, linked=True).clean()
except InputError as error:
    sys.exit(str(error))
told = f"{snakemake.params.store}: {entries} earlier results cleared, {freed / 1e6:,.1f} MB freed"
Path(snakemake.log[0]).write_text(f"{told}\n")
print(told)
