"""What a report is made from: the tables of a study, read once and brought to one form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from waferbench.base import protocols
from waferbench.base.names import slugs
from waferbench.base.scope import POOLED, Scope
from waferbench.base.tables import CLOSEST, TABLES, WAFERS
from waferbench.config.synthesis.sources import Oracle
from waferbench.config.synthesis.stages import MakeReport
from waferbench.wafers.store import WaferStore

REFERENCE = "real"  # real wafers as they are; not every study has them
HEADS = {"ecoc_svm": "ECOC-SVM", "softmax": "softmax"}
READ = {**TABLES, "closest": CLOSEST, "selected": WAFERS}  # the tables of a study, and their columns
OF_ONE_SEED = ("audit", "folds", "shape_filter", "agreement", "budget")
SPEEDS = ["latency_ms", "images_per_second"]


@dataclass(frozen=True)
class Study:
    """The tables of a study; any of them may be empty, `scores` excepted.

    settings: of the study; what it defines and does not use may be left out.
    samples: (source, label) -> HDF5 file of raw samples of the first scope.
    sample_scope: that scope.
    histories: (source, name of its file) -> losses of a training behind these samples.
    priors: source -> HDF5 file of what its base draws without an adapter.
    bases: source -> what a base that the study pretrained has seen, as its provenance says.
    explanations: backbone -> HDF5 file of wafers and what the network looked at.
    thresholds: facts of every fitted shape filter, with its protocol and scope.
    trainings: (protocol, scope, source, facts) of every GAN: stage1 and labels -> converged, reason.
    origins: input name -> provenance of its artifact.
    """

    settings: MakeReport
    tables: Mapping[str, pd.DataFrame]
    published: Mapping[str, Any]
    store: WaferStore | None = None
    samples: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    sample_scope: Scope = POOLED
    histories: Mapping[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    priors: Mapping[str, Path] = field(default_factory=dict)
    bases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    explanations: Mapping[str, Path] = field(default_factory=dict)
    thresholds: Sequence[Mapping[str, Any]] = ()
    trainings: Sequence[tuple[str, Scope, str, Mapping[str, Any]]] = ()
    runs: Sequence[Mapping[str, Any]] = ()
    origins: Mapping[str, Mapping] = field(default_factory=dict)

    def __getattr__(self, name: str) -> pd.DataFrame:
        if name in READ:
            return self.tables[name]
        raise AttributeError(name)

    @cached_property
    def protocols(self) -> list[str]:
        """Protocols that have scores, in the order of the configuration; the report leads with the first."""
        found = set(self.scores["protocol"].dropna())
        configured = self.settings.folds.protocols
        return [p for p in configured if p in found] + sorted(found - set(configured))

    @property
    def protocol(self) -> str:
        """The protocol that tables and figures speak of."""
        return self.protocols[0] if self.protocols else ""

    @property
    def leaky(self) -> bool:
        """That protocol lets test wafers, or copies of them, into training."""
        return is_leaky(self.protocol)

    def of(self, protocol: str) -> Study:
        """The part of the study under one protocol; tables without protocols stay whole.

        Of splits and samples, which differ from seed to seed or repeat, the first seed's are kept.
        """
        pooled = self.settings.generators.train_on == "pooled" or is_leaky(protocol)
        homes = ("", protocol, *(["pooled"] if pooled else []))  # generators of all wafers serve several protocols
        tables = {name: _under(table, homes, name in OF_ONE_SEED) for name, table in self.tables.items()}
        thresholds = [facts for facts in self.thresholds if facts["protocol"] in homes]
        trainings = [training for training in self.trainings if training[0] in homes]
        return dataclasses.replace(self, tables=tables, thresholds=thresholds, trainings=trainings)

    @property
    def main(self) -> Study:
        """The part of the study under its first protocol."""
        return self.of(self.protocol)

    @cached_property
    def names(self) -> dict[str, str]:
        """Label -> class name: the configured ones in their order, then those that only some protocol has."""
        configured = {label: name for name, label in slugs(self.settings.dataset.classes).items()}
        more = sorted(set(self.per_class["label"].dropna()) - set(configured))
        return configured | {label: label for label in more}

    def name_of(self, label: str) -> str:
        """A class name, or the label itself where the study has no such class."""
        return self.names.get(label, label)

    @cached_property
    def n_seeds(self) -> int:
        """How many random seeds have scores."""
        return max(1, self.scores["seed"].nunique())

    @property
    def replicated(self) -> bool:
        """Folds of the protocol are replicates, which share no wafer."""
        return protocols.protocol(self.protocol).replicates > 0 if self.protocol else False

    @property
    def unit(self) -> str:
        """What the protocol makes several of: ``fold`` or ``replicate``."""
        return "replicate" if self.replicated else "fold"

    @property
    def over(self) -> str:
        """What means are taken over, in words."""
        return f"{self.unit}s" if self.n_seeds == 1 else f"{self.unit}s and {self.n_seeds} seeds"

    @cached_property
    def costs(self) -> pd.DataFrame:
        """Per backbone: parameters, macs (of one image), image_size, latency_ms, images_per_second; NaN if unknown."""
        table = self.tables["backbones"].drop_duplicates("backbone").set_index("backbone")
        columns = ["parameters", "macs", "image_size"]
        known = table[columns].apply(pd.to_numeric, errors="coerce").reindex(self.backbones)
        speeds = {
            run.get("wildcards", {}).get("backbone"): {name: run.get(name) for name in SPEEDS}
            for run in self.runs
            if run.get("rule") == "measure_backbone"
        }
        speed = pd.DataFrame.from_dict(speeds, orient="index", columns=SPEEDS).apply(pd.to_numeric, errors="coerce")
        return known.join(speed)

    @cached_property
    def timed_on(self) -> str:
        """What latencies were measured on, in words; empty where they were not."""
        runs = [run for run in self.runs if run.get("rule") == "measure_backbone"]
        found = {_machine(run.get("device", "cpu"), int(run.get("threads", 1))) for run in runs}
        return " or ".join(sorted(found))

    @cached_property
    def conditions(self) -> list[str]:
        """Conditions that have scores, in the order of the configuration."""
        known = [c for c in self.settings.conditions if c in set(self.scores["condition"])]
        return known + sorted(set(self.scores["condition"]) - set(known))

    @cached_property
    def backbones(self) -> list[str]:
        """Backbones that have scores, in the order of the configuration."""
        known = [b for b in self.settings.backbones if b in set(self.scores["backbone"])]
        return known + sorted(set(self.scores["backbone"]) - set(known))

    @cached_property
    def heads(self) -> list[str]:
        """Heads that have scores, ECOC-SVM first."""
        found = set(self.scores["head"])
        return [h for h in HEADS if h in found] + sorted(found - set(HEADS))

    @property
    def head(self) -> str:
        """The head that figures and sentences speak of."""
        return self.heads[0]

    @cached_property
    def folds_run(self) -> list[int]:
        """Folds that have scores."""
        return sorted(int(f) for f in self.scores["fold"].unique())

    @property
    def sources(self) -> list[str]:
        """Where added wafers come from: sources that have samples, quality or shape scores, oracles first."""
        order = [self.source_of(condition) for condition in self.settings.conditions]
        found = {s for s, _ in self.samples} | set(self.quality["source"]) | set(self.shape_filter["source"])
        known = [s for s in dict.fromkeys(order) if s in found] + sorted(found - set(order))
        return sorted(known, key=lambda source: source not in self.oracles)

    def source_of(self, condition: str) -> str:
        """What a condition adds to the real wafers: a synthesizer, ``none``, ``repeat``, or empty where undefined."""
        defined = self.settings.define.conditions.get(condition)
        return defined.source if defined else ""

    @property
    def oracles(self) -> list[str]:
        """Sources that add further real wafers: the ceiling of all others."""
        return [name for name, source in self.settings.define.sources.items() if isinstance(source, Oracle)]

    @property
    def generators(self) -> list[str]:
        """The synthesizers among `sources`."""
        return [source for source in self.sources if source not in self.oracles]

    @property
    def simulated(self) -> bool:
        """The wafers are the simulator's."""
        return self.settings.dataset.source == "simulated"

    @property
    def pooled(self) -> bool:
        """Generators saw the test wafers."""
        return self.settings.generators.train_on == "pooled" or self.leaky

    @property
    def baseline(self) -> str:
        """The condition that gains are measured against first of all."""
        return self.settings.baseline

    @property
    def real(self) -> str:
        """The condition of real wafers alone that scores are set against: `real`, or the baseline without it."""
        return REFERENCE if REFERENCE in self.conditions else self.baseline

    @property
    def repeated(self) -> str:
        """The condition that repeats real wafers, the fair reference of all that add any; "" for none."""
        return next((c for c in self.conditions if self.source_of(c) == "repeat"), "")

    @property
    def references(self) -> list[str]:
        """The conditions that gains are measured against."""
        return [c for c in dict.fromkeys([REFERENCE, self.baseline, self.repeated]) if c in self.conditions]

    @property
    def confidence(self) -> float:
        """Of the intervals, 0-1."""
        return self.settings.statistics.confidence

    def means(self, head: str) -> pd.DataFrame:
        """Per backbone and condition: mean, std (n - 1), n of macro_f1, and accuracy with its std.

        Seeds of a fold share its wafers, so they are averaged first: n counts folds.
        """
        mine = self.scores[self.scores["head"] == head]
        folds = mine.groupby(["backbone", "condition", "fold"], as_index=False)[["macro_f1", "accuracy"]].mean()
        return folds.groupby(["backbone", "condition"]).agg(
            mean=("macro_f1", "mean"),
            std=("macro_f1", "std"),
            n=("macro_f1", "size"),
            accuracy=("accuracy", "mean"),
            accuracy_std=("accuracy", "std"),
        )

    def ours(self, means: pd.DataFrame) -> pd.DataFrame:
        """The rows of `means` that are somebody's recipe: without oracles, whose wafers nobody else has; else all."""
        found = means[[self.source_of(c) not in self.oracles for c in means.index.get_level_values("condition")]]
        return found if len(found) else means

    def synthetic(self, condition: str) -> bool:
        """The condition adds samples of a synthesizer."""
        return self.source_of(condition) not in ("", "none", "repeat", *self.oracles)

    def adds(self, condition: str) -> bool:
        """The condition adds wafers: samples, further real ones or real ones again."""
        return self.source_of(condition) not in ("", "none")

    def gain(self, backbone: str, condition: str, against: str, head: str | None = None) -> pd.Series | None:
        """The comparison of two conditions: difference, low, high, wafer_low, wafer_high, p_value, power_effect, ..."""
        t = self.comparisons
        mine = t[
            (t["backbone"] == backbone)
            & (t["condition"] == condition)
            & (t["against"] == against)
            & (t["head"] == (head or self.head))
        ]
        return mine.iloc[0] if len(mine) else None

    def score_interval(self, backbone: str, condition: str, head: str) -> tuple[float, float] | None:
        """Of a macro-F1 over test wafers alone, fractions, or None."""
        t = self.intervals
        mine = t[(t["backbone"] == backbone) & (t["condition"] == condition) & (t["head"] == head)]
        mine = mine[mine["reference"] == ""]
        return (float(mine["low"].iloc[0]), float(mine["high"].iloc[0])) if len(mine) else None

    def paper_backbone(self, backbone: str) -> str | None:
        """The paper's name of a timm backbone, whatever its pretrained weights."""
        return self.published.get("backbones", {}).get(backbone.split(".")[0])

    def paper_row(self, backbone: str) -> str | None:
        """The paper's backbone whose numbers stand beside this one: itself, or the nearest."""
        nearest = self.published.get("nearest", {})
        return self.paper_backbone(backbone) or nearest.get(backbone.split(".")[0])

    def short(self, backbone: str) -> str:
        """A backbone as people call it: the paper's name or timm's without its tag; in full if that is unclear."""

        def shorten(name: str) -> str:
            return self.paper_backbone(name) or name.split(".")[0]

        return shorten(backbone) if [shorten(b) for b in self.backbones].count(shorten(backbone)) == 1 else backbone

    def paper_score(self, backbone: str, condition: str, head: str) -> float | None:
        """The paper's Table 1 entry for a cell, or None."""
        table = self.published.get("table1", {})
        column, name = self.published.get("conditions", {}).get(condition), self.paper_backbone(backbone)
        if head != table.get("head") or column is None or name is None:
            return None
        return next((row.get(column) for row in table["rows"] if row["backbone"] == name), None)


def is_leaky(protocol: str) -> bool:
    """Whether a protocol lets test wafers, or copies of them, into training."""
    return protocols.protocol(protocol).leaky


def _under(table: pd.DataFrame, homes: Sequence[str], one_seed: bool) -> pd.DataFrame:
    if "protocol" in table:
        table = table[table["protocol"].isna() | table["protocol"].isin(homes)]
    if one_seed and "seed" in table and len(table):
        table = table[table["seed"].isna() | (table["seed"] == table["seed"].min())]
    return table.reset_index(drop=True)


def _machine(device: str, threads: int) -> str:
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else device
