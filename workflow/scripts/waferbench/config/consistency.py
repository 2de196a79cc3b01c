"""Settings that must agree with one another: names used here and defined there, sizes, orders."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from waferbench.base import protocols
from waferbench.base.errors import InputError, nearest
from waferbench.synthesis.gan.sizes import image_size

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NOT_SYNTHETIC = ("none", "repeat")  # sources of a condition that need no synthesizer


def check_consistency(settings: Mapping[str, Any]) -> None:
    """Raise an `InputError` at the first setting that contradicts another."""
    define = settings["define"]
    for key in ("conditions", "backbones"):
        for name in settings[key]:
            _among(key, name, define[key], f"define.{key}")
    for name, condition in define["conditions"].items():
        known = [*NOT_SYNTHETIC, *define["sources"]]
        _among(f"define.conditions.{name}.source", condition["source"], known, "define.sources")
    for name in settings["shape_filter"]["apply_to"]:
        _among("shape_filter.apply_to", name, define["sources"], "define.sources")
    for name in settings["budget"]["exclude"]:
        _among("budget.exclude", name, settings["dataset"]["classes"], "dataset.classes")
    for name in settings["statistics"]["rare_classes"]:
        _among("statistics.rare_classes", name, settings["dataset"]["classes"], "dataset.classes")
    _check_network(settings["quality"]["network"].partition("@")[0])
    _among("baseline", settings["baseline"], settings["conditions"], "conditions")
    _check_dataset(settings["dataset"])
    _check_folds(settings["folds"])
    used = {define["conditions"][name]["source"] for name in settings["conditions"]}
    sources = {name: entry for name, entry in define["sources"].items() if name in used}
    if sources:
        _check_judge(settings)
    _check_images(settings["render"], sources)
    _check_pool(settings["pool"])


def _among(key: str, name: str, known: Collection[str], where: str) -> None:
    if name not in known:
        raise InputError(f"{key}: {name!r} is not in {where}{nearest(name, known)}; there are {', '.join(known)}")


def _check_network(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError(f"quality.network: found {name!r}, expected a timm name: letters, digits, '.', '_' and '-'")


def _check_judge(settings: Mapping[str, Any]) -> None:
    judge, conditions = settings["quality"]["judge"], settings["define"]["conditions"]
    backbone, _, condition = settings["quality"]["network"].partition("@")
    size, trained_at = settings["quality"]["image_size"], settings["classifier"]["image_size"]
    if condition and settings["classifier"]["input"] == "one_hot":
        raise InputError(
            "quality.network: features of a classifier need grey images, but classifier.input is one_hot; take "
            "bilinear, nearest or another network"
        )
    if condition and size != trained_at:
        raise InputError(
            f"quality.image_size: {size}, but the classifiers that quality.network names are trained at "
            f"classifier.image_size = {trained_at}; set it to that"
        )
    judges = {"quality.judge.backbone": judge["backbone"], "quality.judge.condition": judge["condition"]}
    if condition:  # features of a classifier of the study
        judges |= {"quality.network backbone": backbone, "quality.network condition": condition}
    for key, name in judges.items():
        of = "backbones" if key.endswith("backbone") else "conditions"
        _among(key, name, settings[of], of)
        if of == "conditions" and conditions[name]["source"] != "none":
            real = [name for name in settings["conditions"] if conditions[name]["source"] == "none"]
            raise InputError(
                f"{key}: {name!r} adds wafers, but what judges synthetic wafers is trained on real ones alone; "
                f"take one of {', '.join(real) or 'those with source: none, and add it to conditions'}"
            )


def _check_pool(pool: Mapping[str, Any]) -> None:
    if pool["max_raw"] < pool["n_accepted"]:
        raise InputError(
            f"pool.max_raw: {pool['max_raw']} raw samples cannot hold the {pool['n_accepted']} accepted ones of "
            "pool.n_accepted; raise it"
        )


def _check_dataset(dataset: Mapping[str, Any]) -> None:
    if dataset["source"] != "simulated" and not dataset["path"]:
        raise InputError(f"dataset.path: empty, but dataset.source = {dataset['source']} reads from there; give a path")


def _check_folds(folds: Mapping[str, Any]) -> None:
    for protocol in map(protocols.protocol, folds["protocols"]):
        for fold in folds["run"]:
            if fold >= protocol.folds > 1:
                raise InputError(f"folds.run: found fold {fold}, but {protocol.name} has 0 to {protocol.folds - 1}")


def _check_images(render: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]]) -> None:
    levels = render["levels"]
    if levels != sorted(levels):
        raise InputError(f"render.levels: found {levels}, expected greys that rise: off-wafer, pass, fail")
    if levels[0] != 0:
        raise InputError(f"render.levels: found {levels}, expected 0 first: the shape filter takes black for off-wafer")
    for name, source in sources.items():
        if source["kind"] == "ts_hinge_gan":
            drawn = image_size(source, f"define.sources.{name}")
            if drawn != render["size"]:
                raise InputError(
                    f"define.sources.{name}.generator_channels: {len(source['generator_channels'])} entries draw "
                    f"{drawn} pixels, but render.size = {render['size']}; each entry doubles, from 4"
                )
