"""Prints how far a study has come; takes the options that say which study: those its run was started with.

``python workflow/scripts/status.py --configfile config/study.yaml``

From another folder than the clone it looks on at what runs there: by the Snakefile of that folder, or else the clone's.

A command and no target of the workflow: a target would plan itself and not the study, and a Snakemake that ends takes
the lock of the folder with it, that of a running study too.
"""

import argparse
import sys
import time
from pathlib import Path

import yaml
from snakemake.utils import update_config

from waferbench.base.errors import InputError, readable
from waferbench.config.resolve import resolve
from waferbench.engine.running import markers, parted
from waferbench.tools.plan import planned_jobs
from waferbench.tools.status import gpu_hours, read_records, status_text, survey
from waferbench.tracks import all_tracks, checks_of, settings_model

SNAKEFILES = (Path("Snakefile"), Path("workflow/Snakefile"))  # where Snakemake looks for it
GATHER = ("all", "everything")  # targets that are no track's alone; what gathers files is no work


def study_of(files: list[str], pairs: list[str]) -> Path:
    """The study's folder, by the settings as the Snakefile reads them."""
    config: dict = {}
    for file in [*(file for file in ["config/config.yaml"] if Path(file).exists()), *files]:
        with readable(file, "configuration file", "correct it"):
            update_config(config, dict(yaml.safe_load(Path(file).read_text()) or {}))
    for key, _, value in (pair.partition("=") for pair in pairs):
        with readable(f"--config {key}", "YAML value", "close its brackets and quotes"):
            update_config(config, {key: value if key == "set" else yaml.safe_load(value)})
    tracks = all_tracks()
    return Path("results", resolve(config, settings_model(tracks), checks_of(tracks)).study)


def main() -> None:
    """Print the status, or one line about what is wrong with the settings."""
    targets = sorted({*GATHER, *(track.target for track in all_tracks())})
    parser = argparse.ArgumentParser(description="How far a study has come.")
    parser.add_argument("target", nargs="?", choices=targets, help="without it what a plain run makes")
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[], help="as given to snakemake")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as given to snakemake")
    given = parser.parse_args()
    options = [given.target] if given.target else []
    options += ["--configfile", *given.configfile] if given.configfile else []
    options += ["--config", *given.config] if given.config else []
    if not any(map(Path.exists, SNAKEFILES)):
        options += ["--snakefile", str(Path(__file__).resolve().parents[2] / "Snakefile")]
    try:
        study = study_of(given.configfile, given.config)
        tallies = planned_jobs(options, targets)
    except (InputError, OSError) as error:
        sys.exit(str(error))
    now, records = time.time(), read_records(study / "runs")
    alive, dead = parted(markers(study / "runs"))
    print(status_text(study, survey(tallies, records, alive, now), alive, dead, gpu_hours(records), now), end="")


if __name__ == "__main__":
    main()
