"""The grid of a study in plain Python: its runs and folds, and where they lie. Nothing here reads a file.

Paths are patterns with wildcards in braces, as rules have them, or lists of paths with every wildcard filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from waferbench.base.names import labels_of
from waferbench.base.protocols import NONE, Protocol, protocol
from waferbench.config.study import StudySettings

Wildcards = dict[str, str | int]


def protocols_of(settings: StudySettings) -> tuple[str, ...]:
    """The names of a study's protocols; where it names none, the one that suits its wafers."""
    suits = "replicates4" if settings.dataset.source == "simulated" else "duplicate_cv5"
    return settings.folds.protocols or (suits,)


@dataclass(frozen=True)
class Grid:
    """What follows from the settings that all tracks share.

    >>> grid = Grid(StudySettings())
    >>> grid.seeds, grid.folds("cv5"), grid.every_run("{protocol}/{seed}")
    ([42], [0, 1, 2], ['cv5/42'])
    """

    settings: StudySettings

    @property
    def study(self) -> str:
        """The study's folder."""
        return f"results/{self.settings.study}"

    @property
    def run(self) -> str:
        """Of one protocol and seed."""
        return f"{self.study}/{{protocol}}/seed{{seed}}"

    @property
    def logs(self) -> str:
        return f"{self.study}/logs"

    @property
    def run_logs(self) -> str:
        """How the names of the logs of one run begin."""
        return f"{self.logs}/{{protocol}}-seed{{seed}}"

    @cached_property
    def classes(self) -> list[str]:
        return list(self.settings.dataset.classes)

    @cached_property
    def labels(self) -> list[str]:
        return labels_of(self.classes)

    @cached_property
    def protocols(self) -> dict[str, Protocol]:
        return {name: protocol(name) for name in protocols_of(self.settings)}

    @cached_property
    def classes_of(self) -> dict[str, list[str]]:
        """Protocol -> names of the classes that it tells apart."""
        return {name: one.classes(self.classes) for name, one in self.protocols.items()}

    @cached_property
    def seeds(self) -> list[int]:
        return [self.settings.seed + repeat for repeat in range(self.settings.repeats)]

    @cached_property
    def leaky(self) -> list[str]:
        """Protocols that test each condition on other wafers: no comparisons."""
        return [name for name, one in self.protocols.items() if one.leaky]

    def with_none(self, name: str) -> bool:
        """Whether a protocol tells the class `none` apart beside the configured ones."""
        return self.classes_of[name] != self.classes and NONE in self.classes_of[name]

    def folds(self, name: str) -> list[int]:
        """The folds to run under a protocol."""
        return self.protocols[name].run(self.settings.folds.run)

    @cached_property
    def first(self) -> Wildcards:
        """The first protocol, seed and fold, which the report shows pictures of."""
        name = next(iter(self.protocols))
        return {"protocol": name, "seed": self.seeds[0], "fold": self.folds(name)[0]}

    def every_run(self, pattern: str) -> list[str]:
        """A pattern for every protocol and seed."""
        return [pattern.format(protocol=name, seed=seed) for name in self.protocols for seed in self.seeds]

    def every_fold(self, pattern: str, first: bool = False, **lists: Sequence[str]) -> list[str]:
        """A pattern for every fold of every run, or its first alone, and for each of what further wildcards may be."""
        return [
            pattern.format(protocol=name, seed=seed, fold=fold, **dict(zip(lists, values, strict=True)))
            for name in self.protocols
            for seed in self.seeds
            for fold in self.folds(name)[: 1 if first else None]
            for values in product(*lists.values())
        ]
