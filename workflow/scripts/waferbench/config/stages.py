"""What each stage that tracks share reads of the settings: the text of one of these is a rule's parameter."""

from __future__ import annotations

from typing import Any

from waferbench.config.section import Section
from waferbench.config.study import Classes, Filter, SimulatedWafers, WeightPlaces


class Nothing(Section):
    """A stage that reads no setting."""


class Run(Section):
    """One run of a study: tables say which."""

    protocol: str
    seed: int


class Replicated(Section):
    """Simulated training and test sets that are independent of one another."""

    count: int
    test_per_class: int


class Ingest(Section):
    """Reading or simulating wafers; where the data lie is the job's place."""

    source: str
    classes: Classes = ()
    simulated: SimulatedWafers | None = None
    replicated: Replicated | None = None
    """Under a protocol of replicates, each of which has the simulated wafers asked for."""
    seed: int | None = None
    """Of simulated wafers."""
    pass_bins: tuple[str, ...] | None = None
    name: str = ""
    """Of a G85 file, which wafers without a name of their own are called by."""


class Place(Section):
    """Where data lie, and what tells a replaced file or folder from the one before. No result depends on the path."""

    path: str = ""
    source: str = ""
    """The format, which says what of a folder is read."""
    identity: str = ""


class SelectWafers(Filter):
    """Choosing the wafers under study."""

    classes: Classes


class MakeFolds(Run):
    """Splitting them."""

    fold_seed: int
    classes: Classes
    """That generators draw of, and the oracle in their place."""
    reserve: float = 0.0
    """Share of each of these classes' training wafers that the oracle alone may read."""
    max_train_per_class: int = 0
    """Training wafers of a class that are not spare; 0 = all."""


class NetworkWeights(Section):
    """How a network's weights are known: its entries of the manifest, and the identity of the user's own file."""

    manifest: dict[str, Any] = {}
    own_file: str = ""


class WeightSearch(WeightPlaces):
    """Where a network's weights are looked for, and what they must be."""

    manifest: dict[str, Any] | None = None
    """Entries of the weights manifest by network; None: the one that is shipped."""


class CollectTables(Section):
    """Gathering the parts of one table."""

    table: str
