"""Says what may keep a study from running. No job: it leaves no record, and packages may be missing."""

import sys
from pathlib import Path

from waferbench.base.errors import InputError
from waferbench.tools.doctor.cluster import Executor
from waferbench.tools.doctor.visit import visit
from waferbench.tracks import all_tracks, settings_model

tracks = all_tracks()
settings = settings_model(tracks).model_validate_json(snakemake.params.settings)
executor = Executor(snakemake.params.executor, dict(snakemake.resources.items()), snakemake.params.submit)
try:
    print(visit(settings, tracks, snakemake.params.memory, Path(snakemake.log[0]), executor))
except InputError as error:
    sys.exit(str(error))
