"""A script of the workflow, run as Snakemake would run it: in a folder of its own, with a study called `s`."""

import json
import runpy
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from waferbench.config.section import Section

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"


class Files(dict):
    """Named files, reached as Snakemake's are: by name, as an attribute, by position; iterated as paths."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key):
        return list(self)[key] if isinstance(key, int) else super().__getitem__(key)

    def __iter__(self):
        return (file for files in self.values() for file in (files if isinstance(files, list) else [files]))


def snakemake(
    rule: str,
    settings: Section | Mapping[str, Any],
    inputs: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    wildcards: Mapping[str, str] | None = None,
    place: Mapping[str, str] | None = None,
    code: str = "0",
    log: str = "",
    **config: Any,
) -> SimpleNamespace:
    """What Snakemake hands a script."""
    text = settings.model_dump_json() if isinstance(settings, Section) else json.dumps(settings)
    return SimpleNamespace(
        params=SimpleNamespace(settings=text, code=code, sampler="0", place=json.dumps(place or {})),
        config={"study": "s", **config},
        wildcards=dict(wildcards or {}),
        input=Files({name: _paths(files) for name, files in (inputs or {}).items()}),
        output=Files({name: _paths(files) for name, files in (outputs or {}).items()}),
        threads=1,
        resources={},
        rule=rule,
        log=[log] if log else [],
    )


def _paths(files: Any) -> Any:
    return [str(file) for file in files] if isinstance(files, (list, tuple)) else str(files)


def run_script(script: str, folder: Path, settings: Section | Mapping[str, Any], **given: Any) -> None:
    """Run `workflow/scripts/<script>.py` in a folder; its results lie in `results/s` there."""
    with chdir(folder):
        given = snakemake(Path(script).name, settings, **given)
        runpy.run_path(str(SCRIPTS / f"{script}.py"), {"snakemake": given})
