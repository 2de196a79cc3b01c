"""Settings of the synthesis study that must agree with one another: names used here and defined there, sizes."""

from __future__ import annotations

from collections.abc import Mapping

from waferbench.base.errors import InputError
from waferbench.config.checks import among
from waferbench.config.section import NAME
from waferbench.config.study import Render
from waferbench.config.synthesis.settings import Pool, SynthesisSettings
from waferbench.config.synthesis.sources import Gan, Source

NOT_SYNTHETIC = ("none", "repeat")  # sources of a condition that need no synthesizer
SEED_EDGE = 4  # pixels of a GAN's first feature map


def check_synthesis(settings: SynthesisSettings) -> None:
    """Raise an `InputError` at the first setting that contradicts another."""
    define = settings.define
    for key in ("conditions", "backbones"):
        for name in getattr(settings, key):
            among(key, name, getattr(define, key), f"define.{key}")
    for name, condition in define.conditions.items():
        known = [*NOT_SYNTHETIC, *define.sources]
        among(f"define.conditions.{name}.source", condition.source, known, "define.sources")
    for name in settings.shape_filter.apply_to:
        among("shape_filter.apply_to", name, define.sources, "define.sources")
    for name in settings.budget.exclude:
        among("budget.exclude", name, settings.dataset.classes, "dataset.classes")
    for name in settings.statistics.rare_classes:
        among("statistics.rare_classes", name, settings.dataset.classes, "dataset.classes")
    _check_network(settings.quality.network.partition("@")[0])
    among("baseline", settings.baseline, settings.conditions, "conditions")
    used = {define.conditions[name].source for name in settings.conditions}
    sources = {name: entry for name, entry in define.sources.items() if name in used}
    if sources:
        _check_judge(settings)
    _check_images(settings.render, sources)
    _check_pool(settings.pool)


def _check_network(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError(f"quality.network: found {name!r}, expected a timm name: letters, digits, '.', '_' and '-'")


def _check_judge(settings: SynthesisSettings) -> None:
    judge, conditions = settings.quality.judge, settings.define.conditions
    backbone, _, condition = settings.quality.network.partition("@")
    size, trained_at = settings.quality.image_size, settings.classifier.image_size
    if condition and settings.classifier.input == "one_hot":
        raise InputError(
            "quality.network: features of a classifier need grey images, but classifier.input is one_hot; take "
            "bilinear, nearest or another network"
        )
    if condition and size != trained_at:
        raise InputError(
            f"quality.image_size: {size}, but the classifiers that quality.network names are trained at "
            f"classifier.image_size = {trained_at}; set it to that"
        )
    judges = {"quality.judge.backbone": judge.backbone, "quality.judge.condition": judge.condition}
    if condition:  # features of a classifier of the study
        judges |= {"quality.network backbone": backbone, "quality.network condition": condition}
    for key, name in judges.items():
        of = "backbones" if key.endswith("backbone") else "conditions"
        among(key, name, getattr(settings, of), of)
        if of == "conditions" and conditions[name].source != "none":
            real = [name for name in settings.conditions if conditions[name].source == "none"]
            raise InputError(
                f"{key}: {name!r} adds wafers, but what judges synthetic wafers is trained on real ones alone; "
                f"take one of {', '.join(real) or 'those with source: none, and add it to conditions'}"
            )


def _check_pool(pool: Pool) -> None:
    if pool.max_raw < pool.n_accepted:
        raise InputError(
            f"pool.max_raw: {pool.max_raw} raw samples cannot hold the {pool.n_accepted} accepted ones of "
            "pool.n_accepted; raise it"
        )


def _check_images(render: Render, sources: Mapping[str, Source]) -> None:
    for name, source in sources.items():
        if isinstance(source, Gan):
            _check_gan(f"define.sources.{name}", source, render.size)


def _check_gan(where: str, gan: Gan, size: int) -> None:
    drawn = SEED_EDGE * 2 ** (len(gan.generator_channels) - 1)
    expected = SEED_EDGE * 2 ** len(gan.discriminator_channels)
    if drawn != expected:
        raise InputError(
            f"{where}: generator_channels has {len(gan.generator_channels)} entries, which draws {drawn} pixels; "
            f"discriminator_channels has {len(gan.discriminator_channels)}, which expects {expected}; give the "
            "generator one entry more than the discriminator"
        )
    if drawn != size:
        raise InputError(
            f"{where}.generator_channels: {len(gan.generator_channels)} entries draw {drawn} pixels, but render.size = "
            f"{size}; each entry doubles, from 4"
        )
