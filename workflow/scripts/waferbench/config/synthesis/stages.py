"""What each stage of the synthesis study reads of the settings: the text of one of these is a rule's parameter."""

from __future__ import annotations

from typing import Literal

from waferbench.config.classification import (
    Augmentation,
    ClassifierInput,
    ClassifierTraining,
    ClassifierUse,
    SvmSettings,
)
from waferbench.config.section import Section
from waferbench.config.stages import NetworkWeights, Run
from waferbench.config.study import Classes, Drawing, Drawn, Simulator
from waferbench.config.synthesis.settings import (
    Budget,
    NamedCondition,
    Pool,
    QualityMeasures,
    ShapeFilterFit,
    SynthesisSettings,
)
from waferbench.config.synthesis.sources import (
    BaseSettings,
    BaseTraining,
    DieBaseTraining,
    DieFlowSampling,
    DieFlowTraining,
    DieLoraSampling,
    DieLoraTraining,
    Gan,
    GanSampling,
    LoraSampling,
    LoraTraining,
    NativeBase,
)

ClassesOf = dict[str, Classes]  # by protocol
Variant = Literal["standard", "elsewhere"]  # of the simulator, see `waferbench.wafers.simulate.grids`


class CheckedBackbone(Section):
    """A network of the grid and where its weights are found."""

    name: str
    pretrained: bool
    weights: NetworkWeights


class CheckedSource(Section):
    """What of a diffusion source can be wrong before it trains."""

    base: str
    size: int
    native: NativeBase
    target_modules: tuple[str, ...]
    instance_prompt: str
    alpha: float
    guidance: float
    guidance_against: str


class CheckedQuality(Section):
    """The network of the quality features."""

    network: str
    image_size: int
    weights: NetworkWeights


class CheckNetworks(Section):
    """Looking for every network that the study will use."""

    backbones: dict[str, CheckedBackbone] = {}
    sources: dict[str, CheckedSource] = {}
    quality: CheckedQuality | None = None


class Generating(Section):
    """What every stage of a generator reads."""

    classes: Classes
    seed: int


class TrainGan(Generating):
    source: Gan
    render: Drawing


class SampleGan(Generating):
    source: GanSampling
    render: Drawing
    pool: Pool


class PretrainBase(Section):
    """Nothing of the study's own wafers: one base serves all folds, and all studies that ask for the same."""

    source: BaseTraining
    render: Drawing
    seed: int
    variant: Variant
    """Of the simulator that it learns from."""


class TrainLora(Generating):
    source: LoraTraining
    render: Drawing
    base_files: str
    """The identity of a base that is a folder here."""


class SampleLora(Generating):
    source: LoraSampling
    render: Drawing
    pool: Pool
    base_files: str


class TrainDieFlow(Generating):
    source: DieFlowTraining


class SampleDieFlow(Generating):
    source: DieFlowSampling
    render: Drawing
    pool: Pool


class PretrainDieBase(Section):
    """Nothing of the study's own wafers: one base serves all folds, and all studies that ask for the same."""

    source: DieBaseTraining
    seed: int
    variant: Variant
    """Of the simulator that it learns from."""


class TrainDieLora(Generating):
    source: DieLoraTraining


class SampleDieLora(Generating):
    source: DieLoraSampling
    render: Drawing
    pool: Pool


class DrawOracle(Generating):
    render: Drawing
    n_accepted: int
    batch: int
    """Simulated wafers of a class drawn at once: how many batches are drawn changes none of them."""
    simulator: Simulator | None
    """None: real wafers, which are taken out of the reserve."""


class FitShapeFilter(Generating):
    shape_filter: ShapeFilterFit
    render: Drawing


class ApplyShapeFilter(Run):
    filtered: bool
    """Whether the verdict keeps samples out."""
    n_accepted: int
    classes: Classes


class MeasureQuality(Run):
    quality: QualityMeasures
    render: Drawn
    classes: Classes
    weights: NetworkWeights
    n_accepted: int


class JudgeReconstructions(Run):
    """Held-out wafers through the autoencoder of a diffusion base, before a classifier of real wafers."""

    source: BaseSettings
    base_files: str
    render: Drawing
    backbone: str
    weights: NetworkWeights
    classifier: ClassifierUse
    drawn: Drawn
    classes: Classes


class JudgeSamples(Run):
    backbone: str
    weights: NetworkWeights
    classifier: ClassifierUse
    drawn: Drawn
    classes: Classes


class PlanBudget(Run):
    budget: Budget
    classes: Classes


class BudgetedSource(Section):
    """What is known of a source's samples before any is drawn."""

    name: str
    n_accepted: int
    """Of each class, at most."""
    reserved: bool
    """Whether it has no more than the fold's wafers in reserve."""
    fewest: int
    """Training wafers of each class that it needs."""


class CheckBudget(Section):
    budget: Budget
    sources: tuple[BudgetedSource, ...]


class MakeInjection(Run):
    source: str
    pool: BudgetedSource | None
    """Of a synthesizer; None: real wafers again, or nothing."""
    take_all: bool
    """Whether everything in the pool is added."""
    exclude: tuple[str, ...]
    equal: bool


class MeasureTexture(Run):
    drawn: Drawn
    classes: Classes


class ChosenBackbone(Section):
    name: str
    pretrained: bool


class TrainClassifier(Run):
    classifier: ClassifierTraining
    augmentation: Augmentation | None
    """None where the condition does not augment."""
    backbone: ChosenBackbone
    drawn: Drawn
    classes: Classes
    weights: NetworkWeights


class FitSvm(Run):
    svm: SvmSettings
    classes: Classes


class Scored(Section):
    """What every table over the grid reads."""

    classes: ClassesOf


class Compared(Section):
    """What comparisons of conditions read."""

    baseline: str
    leaky: tuple[str, ...]
    """Protocols that test each condition on other wafers: no comparisons."""
    confidence: float


class CompareConditions(Compared):
    references: tuple[str, ...]
    """Conditions that all others are compared with, beside `real` and the baseline."""


class ResampleWafers(Scored, Compared):
    conditions: tuple[NamedCondition, ...]
    seed: int
    bootstrap: int


class MeasureBackbone(Section):
    n_classes: int
    image_size: int
    precision: str


class AnalyseGrid(Compared):
    conditions: tuple[NamedCondition, ...]
    oracles: tuple[str, ...]
    """Sources that add further real wafers: the ceiling of all others."""


class MakeFindings(Scored, AnalyseGrid):
    protocols: tuple[str, ...]
    """In the study's order: findings are of the first that compares conditions."""


class MeasureRareRecall(Scored, Compared):
    seed: int
    rare_classes: tuple[str, ...]
    precision: float
    bootstrap: int


class AuditLabels(Scored):
    condition: str


class ExplainMistakes(Section):
    classifier: ClassifierInput
    drawn: Drawn
    classes: Classes
    examples: int
    weights: NetworkWeights


class ChooseModel(Scored):
    protocols: tuple[str, ...]
    leaky: tuple[str, ...]
    backbones: tuple[str, ...]
    conditions: tuple[str, ...]


class MakeReport(SynthesisSettings):
    """All settings of the study, but for definitions that it does not use."""
