"""What a study needs and has: wafers, weights, room on the disk, artifacts that are whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from waferbench.base.errors import InputError
from waferbench.base.sourcefiles import files_of
from waferbench.tools.doctor import OK, PROBLEM, WARNING, Finding


def check_data(dataset: Mapping, study: Path) -> Iterator[Finding]:
    """The wafers' file or folder, and whether they are still those that the study has read."""
    if dataset["source"] == "simulated":
        yield Finding(OK, "wafers", f"simulated: {sum(dataset['simulated']['counts'].values())}")
        return
    path = Path(dataset["path"])
    if not path.exists():
        yield Finding(PROBLEM, "wafers", f"nothing at {path}", "give the path of your data as dataset.path")
    elif not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        yield Finding(PROBLEM, "wafers", f"{path} is not readable for you", f"chmod -R u+rX '{path}', or ask its owner")
    else:
        files = files_of(path)
        size = sum(file.stat().st_size for file in files)
        if size == 0:
            yield Finding(PROBLEM, "wafers", f"{path} is empty", "copy the data again")
        else:
            yield Finding(OK, "wafers", f"{path}: {len(files)} file{'s' * (len(files) > 1)}, {_size(size)}")
            yield from _same_data(path, study / "data/wafers.h5")


def _same_data(path: Path, store: Path) -> Iterator[Finding]:
    from waferbench.base.artifacts import read_provenance
    from waferbench.base.files import data_digest

    try:
        made = read_provenance(store) if store.exists() else {}
    except InputError:  # the check of artifacts names it
        return
    read, now = made.get("inputs", {}).get("data") or made.get("data"), data_digest(path)
    if read == now:
        yield Finding(OK, "wafers", f"{path} has sha256 {now[:12]}..., as when the study read it")
    elif read:
        told = f"{path} has sha256 {now[:12]}..., the study has read {read[:12]}..."
        yield Finding(WARNING, "wafers", told, "if the change is meant, run the study: it reads the data again")


def check_weights(settings: Mapping, networks: Mapping, places: Mapping) -> Iterator[Finding]:
    """Each network of the study, its weights by the manifest and their digest.

    Args:
        settings: the study's.
        networks: name -> its entry for `waferbench.learning.backbones.find_weights`, of those that are pretrained.
        places: the config section ``weights``; nothing is fetched here whatever it says.
    """
    from waferbench.learning.backbones import check_backbone, find_weights

    known = {name: entry for name, entry in settings["define"]["backbones"].items() if name in settings["backbones"]}
    for name, entry in known.items():
        if not entry["pretrained"]:
            yield from _network(name, lambda name=name: check_backbone(name, False) or "not pretrained", False)
    for name, entry in networks.items():
        find = {**places, **entry, "download": False}
        yield from _network(name, lambda name=name, find=find: find_weights(name, find)[0].name, places["download"])
    used = {settings["define"]["conditions"][name]["source"] for name in settings["conditions"]}
    for name, source in settings["define"]["sources"].items():
        if name in used and source["kind"] == "db_sd_lora":
            from waferbench.synthesis.diffusion.check import check_source

            find = {**places, "download": False}
            ready = lambda source=source, find=find: f"base {check_source(source, find)}"  # noqa: E731
            yield from _network(name, ready, places["download"])


def _network(name, look, download: bool) -> Iterator[Finding]:
    try:
        yield Finding(OK, "weights", f"{name}: {look()}")
    except InputError as error:
        found, _, advice = str(error).partition("; ")
        missing = "not found" in found or "no such folder" in found
        if download and missing:
            yield Finding(WARNING, "weights", f"{name}: not here", "nothing: it is fetched when first needed")
        else:
            yield Finding(PROBLEM, "weights", found, advice)


def check_disk(settings: Mapping, folder: Path) -> Iterator[Finding]:
    """Free room against what samples, classifiers and their features take."""
    place = next(path for path in [folder, *folder.parents, Path(".")] if path.exists())
    free, needed = shutil.disk_usage(place).free, study_size(settings)
    told = f"{_size(free)} free; samples, classifiers and features of the study take about {_size(needed)}"
    if free < needed:
        yield Finding(WARNING, "disk", told, f"make room at {place.resolve()}, unless most of it is there already")
    else:
        yield Finding(OK, "disk", told)


def study_size(settings: Mapping) -> int:
    """Bytes that a study takes at most, without the weights of its generators.

    Samples are counted uncompressed and twice (artifact and shards), a classifier as its float32 parameters, features
    for the wafers of its training alone. Real wafers are left out: how many there are is known once they are read.
    """
    import timm
    import torch

    from waferbench.base.protocols import protocol

    protocols = [protocol(name) for name in settings["folds"]["protocols"]]
    runs = settings["repeats"] * sum(len(one.run(settings["folds"]["run"])) for one in protocols)
    classes, pool = len(settings["dataset"]["classes"]), settings["pool"]
    used = {settings["define"]["conditions"][name]["source"] for name in settings["conditions"]}
    sources = [name for name in settings["define"]["sources"] if name in used]
    drawn = sum(pool["max_raw" if name in settings["shape_filter"]["apply_to"] else "n_accepted"] for name in sources)
    samples = 2 * runs * classes * drawn * settings["render"]["size"] ** 2
    cells = 0
    for name in settings["backbones"]:
        with torch.device("meta"):  # shapes without weights
            network = timm.create_model(name, pretrained=False, num_classes=classes)
        parameters = sum(tensor.numel() for tensor in network.state_dict().values())
        cells += parameters + classes * settings["budget"]["target"] * network.num_features
    return samples + 4 * runs * len(settings["conditions"]) * cells


def check_artifacts(study: Path) -> Iterator[Finding]:
    """Whether every artifact of the study is what it was when written."""
    from waferbench.base.progress import progress
    from waferbench.base.seals import sealed_in, verify

    paths, broken = list(sealed_in(study)), 0
    for path in progress(paths, "artifacts"):
        try:
            verify(path)
        except (InputError, OSError) as error:
            broken += 1
            told, _, remedy = str(error).partition("; ")
            yield Finding(PROBLEM, "artifacts", told, remedy or f"mend the rights of {path}")
    if not paths:
        yield Finding(OK, "artifacts", "none yet")
    elif not broken:
        yield Finding(OK, "artifacts", f"{len(paths)} of {study} are as they were written")


def _size(count: int) -> str:
    """Bytes for a reader."""
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1000:,.0f} kB"
