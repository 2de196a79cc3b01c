"""Settings that all tracks share: which study, which wafers, which folds, how dies become pixels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from waferbench.config.section import Count, FilePath, Name, Once, Section, Seed, Text

DEFECTS = ("Center", "Donut", "Edge-Loc", "Edge-Ring", "Loc", "Near-full", "Random", "Scratch")
EMBEDDED = {
    **{"Center": 64, "Donut": 10, "Edge-Loc": 64, "Edge-Ring": 80, "Loc": 56, "Near-full": 10, "Random": 12},
    **{"Scratch": 16, "none": 0},
}
Levels = tuple[Annotated[int, Field(ge=0, le=255)], ...]


def _one_line(name: str) -> str:
    if set(name) & set("\n\t"):  # other control characters are refused in any text
        raise ValueError(f"found {name!r}, expected one line without tabs; rename the class")
    return name


ClassName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_one_line)]
Classes = tuple[ClassName, ...]


def _three_rising(levels: tuple[int, ...]) -> tuple[int, ...]:
    if len(levels) != 3:
        raise ValueError(f"found {len(levels)} entries, expected {'at most' if len(levels) > 3 else 'at least'} 3")
    if list(levels) != sorted(set(levels)):
        raise ValueError(f"found {list(levels)}, expected greys that rise: off-wafer, pass, fail")
    if levels[0] != 0:
        raise ValueError(f"found {list(levels)}, expected 0 first: the shape filter takes black for off-wafer")
    return levels


class Simulator(Section):
    """What decides a simulated wafer, but for its class."""

    wafers_per_lot: Count = 25
    """Wafers of a lot, which share their die grid and the level of their background."""
    difficulty: Annotated[float, Field(ge=0, le=2)] = 1.0
    """0 = clean patterns, 1 = as ambiguous as WM-811K."""


class SimulatedWafers(Simulator):
    """Simulated wafers: which, and how many."""

    counts: dict[str, Annotated[int, Field(ge=0)]] = EMBEDDED
    """Wafers of each class, by its name; only those of the simulator are known. Each replicate has as many."""
    duplicates: Annotated[float, Field(ge=0, le=0.9)] = 0.01
    """Fraction of wafers that repeat an earlier one, as real data does."""


class Simulated(SimulatedWafers):
    """Wafers that the library draws itself."""

    test_per_class: Count = 100
    """Test wafers of each class in each replicate; unused by other protocols."""


class Dataset(Section):
    """Where the wafers come from."""

    source: Literal["simulated", "lswmd", "npz", "folder", "dielist", "g85"] = "simulated"
    """The format."""
    path: FilePath = ""
    """LSWMD.pkl, an .npz, a folder with a folder per class, a die list, SEMI G85 maps; unused by simulated."""
    pass_bins: Annotated[tuple[Text, ...], Field(min_length=1)] = ("1",)
    """Bins that pass, in die lists and G85 maps."""
    classes: Annotated[Classes, Field(min_length=2), Once] = DEFECTS
    """Names of the classes under study, as the data have them."""
    simulated: Simulated = Simulated()


class Filter(Section):
    """Which of the wafers enter the study."""

    max_per_class: Annotated[int, Field(ge=0)] = 0
    """0 = all; otherwise the first so many of each class by hash, for a quick look."""


class Folds(Section):
    """How wafers are split."""

    protocols: Annotated[tuple[str, ...], Once] = ()
    """replicates4 (any number from two), cv5 (from three), duplicate_cv5, lot_cv5, holdout_80_10_10, nine_class_70_30,
    leaky_80_20; empty: replicates4 for simulated wafers, duplicate_cv5 for all others."""
    run: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Once] = ()
    """The folds or replicates to run, of those that have several; empty: all."""
    seed: Seed = 42
    """Of the split alone."""


class Drawing(Section):
    """How real wafers become images."""

    size: Annotated[int, Field(ge=1)] = 32
    """Edge of the images in pixels."""
    levels: Annotated[Levels, AfterValidator(_three_rising)] = (0, 128, 255)
    """Grey of off-wafer, passing, failing dies."""
    resize: Literal["bilinear", "nearest"] = "bilinear"
    """bilinear as published, nearest keeps the three levels."""


class Drawn(Drawing):
    """How a network's images are drawn: real wafers and, where it has any, synthetic ones."""

    snap: bool = False
    """Whether greys of synthetic images go back to the nearest of the three levels."""


class Render(Drawn):
    """Dies to pixels, one way for generators, quality and classifiers."""

    size: Literal[32, 64, 128] = 32
    """Edge of generator and quality images, pixels; the paper: 64."""


class WeightPlaces(Section):
    """Where a machine looks for weights."""

    download: bool = False
    """Whether missing weights may be fetched from the hub."""
    folder: str = ""
    """A folder with weight files of your own, searched first."""


class ReportSettings(Section):
    """What the pages show."""

    examples: Annotated[int, Field(ge=1, le=32)] = 8
    """Images a row in the sample grids."""


class PredictSettings(Section):
    """What is said of one's own wafers."""

    neighbours: Count = 3
    """Training wafers named beside each of your own."""
    gallery: Count = 200
    """Wafers shown in gallery.html, the most uncertain."""


class EvaluateSettings(Section):
    """How the chosen model is scored on another labelled data set."""

    rename: dict[ClassName, str] = {}
    """Class name there -> class name of the study; "" leaves it out. Case, blanks and hyphens need no entry."""
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    """Resamples of its wafers for the intervals."""


class StudySettings(Section):
    """What decides a study's wafers and pictures, for every track."""

    study: Name = "default"
    """Results go to results/<study>/."""
    seed: Seed = 42
    """Of every random choice but the folds'."""
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    """Runs of all that is random, with seeds seed, seed + 1, ...; same data, same folds."""
    dataset: Dataset = Dataset()
    filter: Filter = Filter()
    folds: Folds = Folds()
    render: Render = Render()
    weights: WeightPlaces = WeightPlaces()
    report: ReportSettings = ReportSettings()


class StoreSettings(Section):
    """The study's own store, `results/<study>/.store`: what was computed before is not computed again."""

    reuse: bool = True
    """Whether results are kept there and taken from there; false: compute again, for instance with --forceall."""
    keep_gb: Annotated[float, Field(ge=0)] = 10.0
    """GB of results that the study shows no more; beyond, the longest unused are cleared."""


class Surroundings(Section):
    """What results do not depend on, or predictions alone."""

    store: StoreSettings = StoreSettings()

    cache: str = ""
    """A folder that studies and users share results through; empty: none."""
    wafers: FilePath = ""
    """A file or folder of your own wafers, for the targets `predict` and `evaluate`."""
    predict: PredictSettings = PredictSettings()
    evaluate: EvaluateSettings = EvaluateSettings()


class Machine(Section):
    """What a job reads of the settings that no result depends on."""

    study: Name = "default"
    store: StoreSettings = StoreSettings()
    cache: str = ""
    weights: WeightPlaces = WeightPlaces()
