"""The grid of the synthesis study: scopes, sources, conditions and cells, and what each of them reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

from waferbench.base.scope import POOLED, Fold, Scope
from waferbench.config.grid import Grid, Wildcards
from waferbench.config.study import Drawn
from waferbench.config.synthesis.settings import Condition, NamedCondition, Pool, SynthesisSettings
from waferbench.config.synthesis.sources import ADAPTER_WAFERS, DieFlow, DieLora, Gan, Lora, Oracle, Source
from waferbench.config.synthesis.stages import BudgetedSource, MakeReport

ADAPTERS = ("adapters_history",)
HISTORIES = {Gan: ("history",), DieFlow: ("history",), Lora: ADAPTERS, DieLora: ADAPTERS}  # of a training's losses
FILTER = {"thresholds": "thresholds.json", "cnn": "cnn.safetensors"}  # files of a fitted shape filter


@dataclass(frozen=True)
class SynthesisGrid(Grid):
    """What follows from the settings of a synthesis study.

    >>> [str(scope) for scope in SynthesisGrid(SynthesisSettings()).scopes("cv5")]
    ['fold0', 'fold1', 'fold2']
    """

    settings: SynthesisSettings

    @property
    def cell(self) -> str:
        """Of one trained classifier."""
        return f"{self.run}/fold{{fold}}/cells/{{backbone}}/{{condition}}"

    @property
    def source(self) -> str:
        """Of one source in one scope."""
        return f"{self.run}/{{scope}}/sources/{{source}}"

    @property
    def shape(self) -> str:
        """Of one scope's shape filter."""
        return f"{self.run}/{{scope}}/shape"

    @property
    def base(self) -> str:
        """Of a diffusion base that the study pretrains once, on wafers that are none of its own."""
        return f"{self.study}/bases/{{source}}"

    @property
    def elsewhere(self) -> Literal["standard", "elsewhere"]:
        """The simulator that such a base learns from: in a simulated study another one than its wafers come from."""
        return "elsewhere" if self.settings.dataset.source == "simulated" else "standard"

    @cached_property
    def reserve(self) -> float:
        """Share of real training wafers that is kept for the oracle, where the study has one."""
        return self.settings.oracle.reserve if self.of_kind(Oracle) else 0.0

    @cached_property
    def conditions(self) -> dict[str, Condition]:
        """The conditions of the study, in its order."""
        return {name: self.settings.define.conditions[name] for name in self.settings.conditions}

    @cached_property
    def sources(self) -> dict[str, Source]:
        """The synthesizers that the conditions use, in their order."""
        names = dict.fromkeys(condition.source for condition in self.conditions.values())
        return {name: self.settings.define.sources[name] for name in names if name in self.settings.define.sources}

    @cached_property
    def named_conditions(self) -> list[NamedCondition]:
        return [NamedCondition.of(condition, name=name) for name, condition in self.conditions.items()]

    @cached_property
    def choosable(self) -> list[str]:
        """The conditions whose classifiers may be put to work: a ceiling is none."""
        oracles = self.of_kind(Oracle)
        return [name for name, condition in self.conditions.items() if condition.source not in oracles]

    @cached_property
    def real_only(self) -> str:
        """The condition whose networks no generator has touched: the baseline, or else the first such; "" for none."""
        names = (self.settings.baseline, *self.conditions)
        return next((name for name in names if self.conditions[name].source == "none"), "")

    def of_kind(self, kind: type) -> list[str]:
        """The names of this study's sources of one kind."""
        return [name for name, source in self.sources.items() if isinstance(source, kind)]

    def pooled(self, name: str) -> bool:
        """Whether generators see all wafers under a protocol, test wafers among them."""
        return self.settings.generators.train_on == "pooled" or self.protocols[name].leaky

    def generators_under(self, name: str) -> str:
        """The protocol that generators lie under: the same, or `pooled`, where they are trained once for all."""
        return "pooled" if self.pooled(name) else name

    def scopes(self, name: str) -> list[Scope]:
        """What generators are trained on under a protocol: each fold's training wafers, or all wafers."""
        return [POOLED] if self.pooled(name) else [Fold(fold) for fold in self.folds(name)]

    def scope(self, name: str, fold: int | str) -> Scope:
        """Where a fold's synthetic samples come from."""
        return POOLED if self.pooled(name) else Fold(int(fold))

    @cached_property
    def first_scope(self) -> Wildcards:
        """The same of what generators were trained on."""
        name = next(iter(self.protocols))
        return {"protocol": self.generators_under(name), "seed": self.seeds[0], "scope": self.scopes(name)[0]}

    def every_scope(self, pattern: str, sources: Sequence[str] = ("",), first: bool = False) -> list[str]:
        """A pattern for everything that generators are trained on, of every run, and for each of some sources.

        Args:
            first: of each protocol's scopes the first alone.
        """
        found = dict.fromkeys(
            (self.generators_under(name), scope)
            for name in self.protocols
            for scope in (self.scopes(name)[:1] if first else self.scopes(name))
        )
        return [
            pattern.format(protocol=name, seed=seed, scope=scope, source=source)
            for name, scope in found
            for seed in self.seeds
            for source in sources
        ]

    def every_measured(self, pattern: str, sources: Sequence[str] = ("",)) -> list[str]:
        """As `every_scope`, of the scopes that quality is measured in."""
        return self.every_scope(pattern, sources, first=self.settings.quality.scopes == "first")

    def every_cell(self, file: str) -> list[str]:
        """A file of every cell of the grid."""
        lists = {"backbone": self.settings.backbones, "condition": self.settings.conditions}
        return self.every_fold(f"{self.cell}/{file}", **lists)

    def each(self, patterns: str | Sequence[str], sources: Sequence[str] | None = None) -> list[str]:
        """Patterns for each source in turn, or for each of some, other wildcards left as they are. A study without them
        asks for no such file, but its rules need names."""
        patterns = [patterns] if isinstance(patterns, str) else patterns
        sources = (self.sources if sources is None else sources) or ["none"]
        return [pattern.replace("{source}", source) for source in sources for pattern in patterns]

    def cells_of_fold(self, file: str) -> list[str]:
        """A file of every cell of one fold, as patterns."""
        names = product(self.settings.backbones, self.settings.conditions)
        return [f"{self.run}/fold{{fold}}/cells/{backbone}/{condition}/{file}" for backbone, condition in names]

    def raw(self, source: str | None = None, **where: object) -> list[str]:
        """The raw samples of a source, one file a class: patterns, or paths where wildcards are given."""
        pattern = f"{self.source}/raw/{{label}}.h5"
        given = {"source": source} if source else {}
        keep = {name: f"{{{name}}}" for name in ("protocol", "seed", "scope", "source")}
        return [pattern.format(**{**keep, **given, **where, "label": label}) for label in self.labels]

    def samples(self, name: str, seed: int | str, fold: int | str, source: str) -> tuple[list[str], str]:
        """The samples of a source that a fold's cells take from, and their shape scores."""
        where = {"protocol": self.generators_under(name), "seed": seed, "scope": self.scope(name, fold)}
        return self.raw(source, **where), f"{self.shape}/{{source}}.parquet".format(**where, source=source)

    def histories(self, source: str) -> list[str]:
        """The losses of the trainings behind the samples that the report shows."""
        names = HISTORIES.get(type(self.sources[source]), ())
        own = [f"{self.source}/{name}.parquet".format(**self.first_scope, source=source) for name in names]
        return own + ([f"{self.base}/base_history.parquet".format(source=source)] if self.native(source) else [])

    def source_of(self, condition: str) -> str | None:
        """The synthesizer of a condition, or None for those that use real wafers alone."""
        source = self.conditions[condition].source
        return source if source in self.sources else None

    def budgeted(self, source: str) -> BudgetedSource:
        """What is known of a source's samples before any is drawn. Generators that see all wafers lack none."""
        entry, pooled = self.sources[source], self.settings.generators.train_on == "pooled"
        return BudgetedSource(
            name=source,
            n_accepted=self.settings.pool.n_accepted,
            reserved=isinstance(entry, Oracle) and self.settings.dataset.source != "simulated",
            fewest=ADAPTER_WAFERS if isinstance(entry, Lora | DieLora) and not pooled else 0,
        )

    @cached_property
    def judged_sources(self) -> set[str]:
        """The sources that a condition keeps only judged samples of."""
        return {condition.source for condition in self.conditions.values() if condition.keep_if_judged}

    @cached_property
    def synthetic(self) -> list[str]:
        """The conditions that add samples of a source."""
        return [name for name in self.conditions if self.source_of(name)]

    def filtered(self, source: str | None) -> bool:
        """Whether the shape filter's verdict decides which samples of a source are accepted."""
        return source in self.settings.shape_filter.apply_to

    def pool(self, source: str) -> Pool:
        """How many samples are drawn of a source: the cap matters where not every sample is accepted.

        Where a judge chooses, more are drawn, and all else goes on with the first ``pool.n_accepted`` accepted. Of a
        filtered source these are the same, but for a class that the cap alone had left without as many: it gets more.
        """
        pool = self.settings.pool
        times = pool.judged if source in self.judged_sources else 1.0
        accepted, raw = (math.ceil(round(times * number, 6)) for number in (pool.n_accepted, pool.max_raw))
        return Pool(n_accepted=accepted, max_raw=raw if self.filtered(source) else accepted, shard=pool.shard)

    def native(self, source: str) -> bool:
        """Whether a source's diffusion base is pretrained by this study."""
        entry = self.sources[source]
        return isinstance(entry, DieLora) or (isinstance(entry, Lora) and entry.base == "native")

    def drawn(self, condition: str | None = None) -> Drawn:
        """How a classifier's wafers become images; of a condition, or of what it has learned from real wafers alone.

        Real wafers take the way that samples take, drawn at ``render.size`` and resized on the device: drawn any finer,
        their sharpness alone would tell them from synthetic ones. ``draw_real_at: image`` draws at the classifier's own
        size at once, as published. Inputs without greys between the levels need pixels of the levels alone, so that
        nothing is blended.
        """
        classifier, changes = self.settings.classifier, {}
        if classifier.draw_real_at == "image":
            changes["size"] = classifier.image_size
        if classifier.input != "bilinear":
            changes |= {"resize": "nearest", "snap": True}
        drawn = Drawn.of(self.settings.render).model_copy(update=changes)
        synthetic = condition is not None and self.source_of(condition) is not None
        return drawn if synthetic else drawn.model_copy(update={"snap": False})

    def judging(self) -> Drawn:
        """How the judge's wafers become images, synthetic ones among them."""
        synthetic = next((name for name in self.conditions if self.source_of(name)), None)
        return self.drawn(synthetic)

    @cached_property
    def reported(self) -> MakeReport:
        """The settings that the page tells: all, but for definitions that the study does not use."""
        define = self.settings.define
        used = {
            "conditions": self.conditions,
            "backbones": {name: define.backbones[name] for name in self.settings.backbones},
            "sources": self.sources,
        }
        folds = self.settings.folds.model_copy(update={"protocols": tuple(self.protocols)})
        return MakeReport.of(self.settings, define=define.model_copy(update=used), folds=folds)
