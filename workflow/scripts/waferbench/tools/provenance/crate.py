"""A study as an RO-Crate 1.1 by the terms of the Provenance Run Crate profile.

https://w3id.org/ro/crate/1.1, https://w3id.org/ro/wfrun/provenance/0.5: the workflow, its steps (rules) and tools
(scripts), an action for the run, one for each job, and every file with its sha256.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from waferbench.base.files import canonical_json, digest
from waferbench.base.seals import describe
from waferbench.tools.provenance.files import CODE, SETTINGS, Outside
from waferbench.tools.provenance.jobs import MadeJob

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
PROFILES = [
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/ro/wfrun/provenance/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
]
FORMATS = {
    ".h5": "application/x-hdf5",
    ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json",
    ".html": "text/html",
    ".csv": "text/csv",
    ".png": "image/png",
    ".yaml": "application/yaml",
    ".js": "text/javascript",
    ".css": "text/css",
    ".safetensors": "application/octet-stream",
}
WORKFLOW = f"{CODE}/Snakefile"
ABOUT = "Every artifact of one study, the code and settings that made it, and the run itself."
LICENCES = "Code: MIT. Data and weights keep their own licences, named at their entities where they are known."


@dataclass(frozen=True)
class Made:
    """Everything that a crate tells.

    study: its name. folder: from the workflow's. questions: that it answers, one a track. jobs: all.
    scripts: of each rule, its path in the folder of scripts without suffix. code: files of the workflow, from its
    folder. digests: of every input and output, by path.
    data: the source file or folder of the wafers, None for simulated ones. weights: by network or base.
    """

    study: str
    folder: Path
    questions: Sequence[str]
    jobs: Sequence[MadeJob]
    scripts: Mapping[str, str]
    code: frozenset[str]
    digests: Mapping[str, str]
    seeds: Sequence[int]
    data: Outside | None
    weights: Mapping[str, Outside]
    packages: Mapping[str, str]


def build_crate(made: Made) -> dict:
    """The crate's metadata; the files it tells of must lie in ``made.folder``."""
    entities: dict[str, dict] = {}
    for entity in [
        *_steps(made),  # before the files: the scripts among them say more here
        *_files(made),
        *_software(made),
        *(entity for job in made.jobs for entity in _job(made, job)),
        *_run(made),
    ]:
        entities.setdefault(entity["@id"], entity)
    return {"@context": CONTEXT, "@graph": [*_head(made, entities), *(entities[key] for key in sorted(entities))]}


def _ref(*ids: str) -> list[dict[str, str]] | dict[str, str]:
    """Names of entities as JSON-LD has them: one stands alone."""
    return {"@id": ids[0]} if len(ids) == 1 else [{"@id": name} for name in ids]


def _head(made: Made, entities: Mapping[str, dict]) -> list[dict]:
    parts = [key for key, entity in entities.items() if {"File", "Dataset"} & set(_types(entity))]
    return [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "conformsTo": _ref("https://w3id.org/ro/crate/1.1", PROFILES[-1]),
            "about": {"@id": "./"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": f"waferbench study {made.study}",
            "description": " ".join([*made.questions, ABOUT]),
            "datePublished": _span(made)[1],
            "license": LICENCES,
            "conformsTo": _ref(*PROFILES),
            "mainEntity": {"@id": WORKFLOW},
            "mentions": _ref("#run", "#engine-run", *(_action(job) for job in made.jobs)),
            "hasPart": _ref(*sorted(parts)),
        },
        *({"@id": profile, "@type": "CreativeWork", "version": profile.rpartition("/")[2]} for profile in PROFILES),
    ]


def _types(entity: Mapping) -> list[str]:
    return entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]


def _file(path: str, place: Path, sha256: str, **more: object) -> dict:
    """A file of the crate; ``place``: where it lies now."""
    facts = {"name": path, "contentSize": str(place.stat().st_size), "sha256": sha256}
    kind = FORMATS.get(place.suffix, "text/plain")
    return {"@id": quote(path), "@type": "File", **facts, "encodingFormat": kind, **more}


def _inside(made: Made, path: str) -> str:
    """The identifier of a path from the workflow's folder, in the crate or outside."""
    if made.data is not None and path == made.data.path:
        return made.data.uri
    if path in made.code:
        return quote(f"{CODE}/{path}")
    inner = Path(path).relative_to(made.folder).as_posix()
    return quote(inner) + ("/" if (made.folder / inner).is_dir() else "")


def _files(made: Made) -> Iterable[dict]:
    for path in sorted(made.code):
        place = made.folder / CODE / path
        yield _file(f"{CODE}/{path}", place, digest(place))
    settings = made.folder / SETTINGS
    about = "All settings of the study, for --configfile of its workflow."
    yield _file(SETTINGS, settings, digest(settings), description=about)
    for job in made.jobs:
        for path in job.outputs:
            yield from _artifact(made, path)
        if job.record_file:
            place = made.folder / job.record_file
            yield _file(job.record_file, place, digest(place), description="What varies from run to run.")
    for name, thing in [("wafers", made.data), *made.weights.items()]:
        if thing is not None:
            yield _outside(name, thing)


def _artifact(made: Made, path: str) -> Iterable[dict]:
    inner = Path(path).relative_to(made.folder).as_posix()
    place = made.folder / inner
    if not place.is_dir():
        yield _file(inner, place, made.digests[path])
        return
    inside = describe(place)
    names = [f"{inner}/{name}" for name in inside]
    yield {
        "@id": f"{quote(inner)}/",
        "@type": "Dataset",
        "name": inner,
        "identifier": f"sha256 over names and digests: {made.digests[path]}",
        "hasPart": _ref(*map(quote, names)),
    }
    yield from (_file(f"{inner}/{name}", place / name, found) for name, found in inside.items())


def _outside(name: str, thing: Outside) -> dict:
    folder = Path(thing.path).is_dir()
    entity = {
        "@id": thing.uri,
        "@type": "Dataset" if folder else "File",
        "name": name,
        "description": f"{thing.role}; not in the crate. Found at {thing.path}.",
        "contentSize": str(thing.size),
        "sha256": thing.sha256,
        "encodingFormat": "application/octet-stream",
        "dateModified": thing.modified,
        "location": thing.path,
    }
    if thing.licence:
        entity["license"] = thing.licence
    if thing.origin:
        entity["isBasedOn"] = thing.origin
    return entity


def _software(made: Made) -> Iterable[dict]:
    for name, version in made.packages.items():
        yield {"@id": f"#package/{name}", "@type": "SoftwareApplication", "name": name, "softwareVersion": version}
    python = platform.python_version()
    yield {"@id": "#python", "@type": "SoftwareApplication", "name": "Python", "softwareVersion": python}
    engine = made.packages.get("snakemake", "")
    yield {"@id": "#snakemake", "@type": "SoftwareApplication", "name": "Snakemake", "softwareVersion": engine}
    yield {"@id": "#snakemake-language", "@type": "ComputerLanguage", "name": "Snakemake", "version": engine}


def _steps(made: Made) -> Iterable[dict]:
    rules = sorted({job.rule for job in made.jobs})
    codes = {job.rule: job.code for job in made.jobs if job.code}
    for position, rule in enumerate(rules):
        tool = f"{CODE}/workflow/scripts/{made.scripts[rule]}.py"
        yield {
            "@id": f"{WORKFLOW}#{rule}",
            "@type": "HowToStep",
            "name": rule,
            "position": str(position),
            "workExample": {"@id": tool},
        }
        place = made.folder / tool
        version = {"version": codes[rule]} if rule in codes else {}
        yield {
            **_file(tool, place, digest(place), **version),
            "@type": ["File", "SoftwareSourceCode", "SoftwareApplication"],
            "description": "version: digest of the code that it reaches, and of its packages' versions.",
        }
    tools = sorted({f"{CODE}/workflow/scripts/{made.scripts[rule]}.py" for rule in rules})
    place = made.folder / WORKFLOW
    makers = sorted({job.made_by.removeprefix("waferbench ") for job in made.jobs if job.made_by})
    yield {
        **_file(WORKFLOW, place, digest(place), **({"version": ", ".join(makers)} if makers else {})),
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": "waferbench",
        "license": "MIT",
        "programmingLanguage": {"@id": "#snakemake-language"},
        "step": _ref(*(f"{WORKFLOW}#{rule}" for rule in rules)),
        "hasPart": _ref(*tools),
        "softwareRequirements": _ref("#python", *(f"#package/{name}" for name in made.packages)),
    }


def _action(job: MadeJob) -> str:
    return f"#job/{quote(job.name)}"


def _job(made: Made, job: MadeJob) -> Iterable[dict]:
    given = [_inside(made, path) for path in job.inputs]
    if made.data is not None and job.data == made.data.sha256:
        given.append(made.data.uri)
    given += [thing.uri for name, thing in made.weights.items() if _reads(job, name)]
    if job.settings is None:
        given.append(SETTINGS)
    else:
        text = canonical_json(dict(job.settings))
        key = f"#settings/{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        given.append(key)
        yield {"@id": key, "@type": "PropertyValue", "name": "settings", "value": text}
    action = {
        "@id": _action(job),
        "@type": "CreateAction",
        "name": job.name,
        "instrument": {"@id": f"{CODE}/workflow/scripts/{made.scripts[job.rule]}.py"},
        "object": _ref(*sorted(set(given))),
        "result": _ref(*(_inside(made, path) for path in job.outputs)),
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    if job.made_by:
        action["description"] = f"Made by {job.made_by}."
    if job.record:
        start, end = _times(job.record)
        told = [job.record.get(key) for key in ("host", "hardware", "device", "cuda")]
        value = ", ".join(str(part) for part in told if part)
        machine = f"#machine/{quote(value)}"
        action |= {"startTime": start, "endTime": end, "environment": _ref(machine)}
        action["subjectOf"] = {"@id": quote(job.record_file)}
        yield {"@id": machine, "@type": "PropertyValue", "name": "machine", "value": value}
    yield action
    yield {
        "@id": f"#control/{quote(job.name)}",
        "@type": "ControlAction",
        "name": f"run of {job.rule}",
        "instrument": {"@id": f"{WORKFLOW}#{job.rule}"},
        "object": {"@id": _action(job)},
    }


def _reads(job: MadeJob, network: str) -> bool:
    """Whether a job's settings name a network or a base, weights of which lie outside the study."""
    return job.settings is not None and json.dumps(network) in canonical_json(dict(job.settings))


def _times(record: Mapping) -> tuple[str, str]:
    end = datetime.fromisoformat(record["finished"]).astimezone()
    start = end - timedelta(seconds=record["seconds"] + record.get("startup_seconds", 0))
    return start.isoformat(timespec="seconds"), end.isoformat(timespec="seconds")


def _span(made: Made) -> tuple[str, str]:
    times = [_times(job.record) for job in made.jobs if job.record]
    if not times:
        newest = made.folder.joinpath(SETTINGS).stat().st_mtime
        times = [(datetime.fromtimestamp(newest).astimezone().isoformat(timespec="seconds"),) * 2]
    return min(start for start, _ in times), max(end for _, end in times)


def _run(made: Made) -> Iterable[dict]:
    start, end = _span(made)
    given = [SETTINGS, "#seeds", *(thing.uri for thing in [made.data, *made.weights.values()] if thing is not None)]
    yield {"@id": "#seeds", "@type": "PropertyValue", "name": "seeds", "value": ", ".join(map(str, made.seeds))}
    yield {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"run of the study {made.study}",
        "instrument": {"@id": WORKFLOW},
        "object": _ref(*sorted(set(given))),
        "result": _ref(*sorted(_inside(made, path) for job in made.jobs for path in job.outputs)),
        "startTime": start,
        "endTime": end,
    }
    yield {
        "@id": "#engine-run",
        "@type": "OrganizeAction",
        "name": "Snakemake's run of the workflow",
        "instrument": {"@id": "#snakemake"},
        "object": _ref(*(f"#control/{quote(job.name)}" for job in made.jobs)),
        "result": {"@id": "#run"},
        "startTime": start,
        "endTime": end,
    }
