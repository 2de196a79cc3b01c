"""Settings of the synthesis study that must agree with one another: names used here and defined there, sizes."""

from __future__ import annotations

from collections.abc import Mapping

from waferbench.base.errors import InputError
from waferbench.base.protocols import protocol
from waferbench.config.checks import among
from waferbench.config.grid import protocols_of
from waferbench.config.section import NAME
from waferbench.config.study import Render
from waferbench.config.synthesis.settings import Pool, SynthesisSettings
from waferbench.config.synthesis.sources import ADAPTER_WAFERS, DieFlow, DieLora, Gan, Lora, Oracle, Source

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
    for name in (*NOT_SYNTHETIC, "real"):
        if name in define.sources:
            raise InputError(f"define.sources.{name}: the name is taken, for real wafers; call the source otherwise")
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
    _check_conditions(settings, sources)
    _check_budget(settings, sources)
    _check_oracle(settings, sources)
    _check_replicates(settings)
    _check_cap(settings, sources)
    if sources:
        _check_judge(settings)
    _check_images(settings.render, sources)
    _check_die_flows(sources)
    _check_pool(settings.pool)


def _check_conditions(settings: SynthesisSettings, sources: Mapping[str, Source]) -> None:
    for name in settings.conditions:
        condition, where = settings.define.conditions[name], f"define.conditions.{name}"
        if condition.keep_if_judged and condition.source not in sources:
            raise InputError(
                f"{where}.keep_if_judged: true, but its source is {condition.source}, whose labels are the real ones; "
                "set it to false or name one of define.sources"
            )
        for label in condition.exclude:
            among(f"{where}.exclude", label, settings.dataset.classes, "dataset.classes")
        if condition.exclude and settings.budget.equal:
            raise InputError(
                f"{where}.exclude: {', '.join(condition.exclude)} get nothing here and something elsewhere, which "
                "budget.equal = true refuses; put them into budget.exclude, for all conditions, or set budget.equal to "
                "false, as published"
            )


def _check_budget(settings: SynthesisSettings, sources: Mapping[str, Source]) -> None:
    if sources and settings.budget.equal and settings.budget.reading == "all":
        raise InputError(
            "budget.reading: all adds whatever a source has, which differs between conditions, so that budget.equal = "
            "true refuses it; take topup_train, topup_full or min_full, or set budget.equal to false"
        )


def _check_oracle(settings: SynthesisSettings, sources: Mapping[str, Source]) -> None:
    reserve, simulated = settings.oracle.reserve, settings.dataset.source == "simulated"
    used = [name for name, entry in sources.items() if isinstance(entry, Oracle)]
    if simulated and reserve:
        raise InputError(
            f"oracle.reserve: {reserve}, but simulated wafers are drawn fresh for the oracle and none need be "
            "withheld; set it to 0"
        )
    if used and not simulated and not reserve:
        raise InputError(
            "oracle.reserve: 0, but a condition adds real wafers that nothing else has seen, and no data hold such "
            "wafers unless some are withheld; set it to a share of the training wafers such as 0.3, or leave the "
            "condition out of conditions"
        )
    if used and settings.generators.train_on == "pooled":
        raise InputError(
            "generators.train_on: pooled generators see all wafers, so none is left for an oracle; set it to fold or "
            "leave the condition out of conditions"
        )
    leaky = next((name for name in protocols_of(settings) if protocol(name).leaky), "")
    if used and leaky:
        raise InputError(
            f"folds.protocols: under {leaky} all wafers are seen, so none is left for an oracle; take another protocol "
            "or leave the condition out of conditions"
        )
    filtered = next((name for name in used if name in settings.shape_filter.apply_to), "")
    if filtered:
        raise InputError(
            f"shape_filter.apply_to: {filtered!r} draws no samples but real wafers, of which none is rejected; take it "
            "out of the list"
        )


def _check_replicates(settings: SynthesisSettings) -> None:
    replicated = next((name for name in protocols_of(settings) if protocol(name).replicates), "")
    if replicated and settings.generators.train_on == "pooled":
        raise InputError(
            f"generators.train_on: pooled generators see the wafers of all replicates, which {replicated} keeps apart; "
            "set it to fold, or take cv5"
        )


def _check_cap(settings: SynthesisSettings, sources: Mapping[str, Source]) -> None:
    most = settings.classifier.max_train_per_class
    adapter = next((name for name, entry in sources.items() if isinstance(entry, Lora | DieLora)), "")
    if adapter and 0 < most < ADAPTER_WAFERS:
        raise InputError(
            f"classifier.max_train_per_class: {most}, but an adapter of {adapter!r} needs {ADAPTER_WAFERS} wafers of a "
            f"class; raise it to {ADAPTER_WAFERS} or more, set it to 0 for all, or leave the source out of conditions"
        )
    leaky = next((name for name in protocols_of(settings) if protocol(name).leaky), "")
    if most and (leaky or settings.generators.train_on == "pooled"):
        raise InputError(
            f"classifier.max_train_per_class: {most}, but under {leaky or 'generators.train_on = pooled'} generators "
            "see all wafers, those beyond it too; set it to 0, or take what keeps to training wafers"
        )


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


def _check_die_flows(sources: Mapping[str, Source]) -> None:
    for name, source in sources.items():
        if isinstance(source, DieFlow) and source.guidance != 1 and not source.drop_label:
            raise InputError(
                f"define.sources.{name}.guidance: {source.guidance}, but with drop_label = 0 its network never sees a "
                "wafer without a label, which guidance starts from; set drop_label to a share such as 0.15, or "
                "guidance to 1"
            )


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
