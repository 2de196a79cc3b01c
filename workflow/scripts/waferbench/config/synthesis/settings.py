"""The settings of the synthesis study, a section each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from waferbench.config.classification import Backbone, ClassifierSettings, SvmSettings
from waferbench.config.section import Count, Name, NotNegative, Once, Positive, Section, Text
from waferbench.config.study import StudySettings
from waferbench.config.synthesis.sources import DieFlow, DieLora, Gan, Lora, Oracle, Source

SomeNames = Annotated[tuple[str, ...], Field(min_length=1), Once]


class Generators(Section):
    """What generators may see."""

    train_on: Literal["fold", "pooled"] = "fold"
    """fold (training split only) | pooled (all wafers, as published: leaks, marked so)."""


class Pool(Section):
    """What the generators draw; quality is measured on it."""

    n_accepted: Annotated[int, Field(ge=2)] = 20
    """Wanted accepted samples a class."""
    max_raw: Annotated[int, Field(ge=2)] = 300
    """Raw samples drawn a class at most, where the shape filter rejects some."""
    shard: Count = 10
    """Samples drawn between two looks at how many were accepted; a kill costs one shard."""


class PoolSettings(Pool):
    """The same, and what a judge chooses among."""

    judged: Annotated[float, Field(gt=1)] = 3.0
    """So many times as many are drawn of a source of which a condition keeps judged samples alone, for it to choose
    among; all else reads the first ones."""


class ShapeNetSettings(Section):
    """The small network of the shape filter."""

    size: Annotated[int, Field(ge=16)] = 32
    """Edge of its input in pixels."""
    channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (8, 16, 32)
    """Width of each convolution."""
    steps: Count = 60
    """Optimiser steps."""
    batch: Annotated[int, Field(ge=2)] = 64
    """Half real wafers, half corrupted ones."""
    lr: Positive = 2e-3
    """Learning rate at its peak."""


class ShapeFilterFit(Section):
    """What fitting the circular-shape filter reads."""

    decide: Literal["geometric", "cnn", "both"] = "geometric"
    """Which scores decide."""
    real_pass_rate: Annotated[float, Field(ge=0.5, le=1)] = 0.99
    """Share of the fold's training wafers that pass, jointly."""
    max_real: Annotated[int, Field(ge=20)] = 4000
    """Wafers that thresholds and CNN are fitted on, at most."""
    cnn: ShapeNetSettings = ShapeNetSettings()


class ShapeFilterSettings(ShapeFilterFit):
    """The circular-shape filter."""

    apply_to: tuple[str, ...] = ("lora",)
    """Sources whose rejected samples are kept out of training."""


class Judge(Section):
    """The classifier that assigns a class to every synthetic sample."""

    backbone: str = "tf_efficientnet_lite0"
    """Of the study's backbones."""
    condition: str = "real_aug"
    """Of real wafers alone."""


class QualityMeasures(Section):
    """How samples are compared with real wafers."""

    network: str = "tf_efficientnet_lite0"
    """A backbone of the list below | inception_v3 | backbone@condition of real wafers."""
    image_size: Annotated[int, Field(ge=32)] = 64
    """Input of that network; Inception's own is 299."""
    max_real: Annotated[int, Field(ge=4)] = 2000
    """Real wafers compared with, at most; copies are searched among all training wafers."""
    neighbours: Count = 5
    """k of precision, recall, density, coverage."""
    kid_subsets: Annotated[int, Field(ge=2)] = 50
    """Random subsets that the kernel distance is averaged over."""
    kid_subset_size: Annotated[int, Field(ge=2)] = 100
    """Images of each."""


class QualitySettings(QualityMeasures):
    """How good the samples are."""

    scopes: Literal["all", "first"] = "first"
    """all (every fold or replicate) | first (one of each protocol and seed)."""
    judge: Judge = Judge()


class OracleSettings(Section):
    """The ceiling: further real wafers in place of synthetic ones."""

    reserve: Annotated[float, Field(ge=0, le=0.8)] = 0.0
    """Share of each class's training wafers that all other conditions go without; simulated wafers are drawn fresh."""


class Budget(Section):
    """How much of the pool enters training."""

    reading: Literal["topup_train", "topup_full", "min_full", "all"] = "topup_train"
    """How the paper's sentence is read."""
    target: Annotated[int, Field(ge=0)] = 30
    """Per class; the paper: 5,000."""
    cap: NotNegative = 2.5
    """At most so many times the real count."""
    exclude: tuple[str, ...] = ()
    """Class names that get none."""
    everywhere: NotNegative = 0.2
    """At least so many times the real count for every class, so that looking synthetic tells less of it."""
    equal: bool = True
    """Refuse conditions that cannot add the same counts as the others; false: each adds what it has, as published."""


class Statistics(Section):
    """How sure the answer is."""

    confidence: Annotated[float, Field(ge=0.5, le=0.9999)] = 0.95
    """Of every interval."""
    rare_classes: Annotated[tuple[str, ...], Once] = ()
    """Whose recall is measured where a precision is asked for; empty: the three rarest."""
    precision: Annotated[float, Field(ge=0.01, le=1)] = 0.9
    """That precision."""
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    """Resamples of the wafers for its intervals."""


class Condition(Section):
    """What a classifier is trained on."""

    source: str
    """none, repeat (real wafers again), or one of define.sources."""
    augment: bool = True
    """Flips and rotations of training images."""
    keep_if_judged: bool = False
    """Only samples whose class the judge confirms: tells wrong labels from all else that may be wrong."""
    exclude: tuple[str, ...] = ()
    """Class names that this condition alone adds nothing to, as published; not with budget.equal."""


class NamedCondition(Condition):
    """A condition with its name, where the order of conditions counts."""

    name: str


PRETRAINED = (
    *("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2", "mobilenetv2_100"),
    *("mobilenetv2_100.ra_in1k", "mobilenetv3_large_100.ra_in1k", "efficientnet_b0.ra_in1k"),
    *("tf_efficientnetv2_s.in21k_ft_in1k", "densenet121.ra_in1k", "tiny_vit_21m_224.dist_in22k_ft_in1k"),
    *("convnextv2_tiny.fcmae_ft_in22k_in1k", "swin_tiny_patch4_window7_224.ms_in1k"),
)


class Define(Section):
    """Definitions; the lists `conditions` and `backbones` say which are used."""

    conditions: dict[Name, Condition] = {
        "real": Condition(source="none", augment=False),
        "real_aug": Condition(source="none"),
        "oversample": Condition(source="repeat"),
        "oracle": Condition(source="oracle"),
        "gan": Condition(source="gan"),
        "lora": Condition(source="lora"),
        "die_lora": Condition(source="die_lora"),
        "die_flow": Condition(source="die_flow"),
        "die_flow_judged": Condition(source="die_flow", keep_if_judged=True),
    }
    """What a classifier is trained on: a source and augmentation."""
    backbones: dict[Name, Backbone] = {
        "test_resnet.r160_in1k": Backbone(pretrained=False),
        **{name: Backbone() for name in PRETRAINED},
    }
    """timm names."""
    sources: dict[Name, Source] = {
        "oracle": Oracle(),
        "gan": Gan(),
        "lora": Lora(),
        "die_lora": DieLora(),
        "die_flow": DieFlow(),
    }
    """The synthesizers; `kind` picks the code, the rest its settings."""


class SynthesisSettings(StudySettings):
    """The synthesis study."""

    generators: Generators = Generators()
    pool: PoolSettings = PoolSettings()
    shape_filter: ShapeFilterSettings = ShapeFilterSettings()
    quality: QualitySettings = QualitySettings()
    oracle: OracleSettings = OracleSettings()
    budget: Budget = Budget()
    conditions: SomeNames = ("real_aug", "oversample", "oracle", "gan", "lora", "die_lora", "die_flow")
    """Of define.conditions."""
    backbones: SomeNames = ("tf_efficientnet_lite0",)
    """Of define.backbones."""
    baseline: Text = "real_aug"
    """The condition that gains are measured against, beside `real`."""
    classifier: ClassifierSettings = ClassifierSettings()
    svm: SvmSettings = SvmSettings()
    statistics: Statistics = Statistics()
    define: Define = Define()
