"""Settings of classifiers and their heads, for every track that trains or asks one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from waferbench.config.section import Count, Decay, Fraction, NotNegative, Positive, Section, Seed
from waferbench.config.stages import NetworkWeights
from waferbench.config.study import Drawing, Drawn, PredictSettings


class ClassifierInput(Section):
    """What a trained classifier needs to be loaded and asked."""

    image_size: Annotated[int, Field(ge=32)] = 40
    """Edge of the input in pixels; the paper: 224."""
    input: Literal["bilinear", "nearest", "one_hot"] = "bilinear"
    """bilinear (grey, as published) | nearest (grey) | one_hot (a plane each: off, pass, fail)."""


class ClassifierUse(ClassifierInput):
    """The same, where its numbers matter."""

    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """auto (bf16 on a GPU, float32 on a CPU) | float32 | bf16 | fp16."""
    symmetries: bool = False
    """Whether features and logits are averaged over the wafer's eight symmetries when wafers are judged."""


class ClassifierTraining(ClassifierUse):
    """How a classifier is trained, but for what an augmenting condition adds."""

    steps: Count = 75
    """Optimiser steps, the same for every condition."""
    looks: Count = 1
    """Looks at validation, evenly spaced; the best is kept."""
    epochs: Annotated[int, Field(ge=0)] = 0
    """0 = the steps above; else passes over whatever a condition trains on, a look each (the paper): unequal steps."""
    batch: Annotated[int, Field(ge=2)] = 16
    """The paper: 128."""
    lr: Positive = 1.5e-3
    """The paper: 1e-4."""
    weight_decay: NotNegative = 5e-2
    """Of AdamW; norms and biases have none."""
    focal_gamma: NotNegative = 2.0
    """Of the focal loss; 0 is cross-entropy."""
    warmup: Fraction = 0.1
    """Fraction of the steps."""
    drop_path: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Stochastic depth, for backbones that have it."""
    ema: Decay = 0.95
    """Weights averaged for validation and test; 0 = off, as published."""
    logit_offsets: bool = False
    """Whether each class's logit is moved to what gives the largest macro-F1 on validation wafers."""
    compile: bool = False
    """torch.compile, for long trainings on a GPU."""


class Augmentation(Section):
    """What an augmenting condition does to training images."""

    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Degrees to either side."""
    flip: bool = True
    """Both axes."""


STRONG = {"ema": 0.999, "drop_path": 0.1, "rotation": 180, "flip": True, "logit_offsets": True, "symmetries": True}


class ClassifierSettings(ClassifierTraining, Augmentation):
    """The classifiers of the grid."""

    recipe: Literal["plain", "strong"] = "plain"
    """plain: as the keys say | strong: ema .999, drop_path .1, rotation 180, flip, logit_offsets and symmetries on."""
    max_train_per_class: Annotated[int, Field(ge=0)] = 0
    """Real training wafers of a class at most, the first by hash, for generators and filters as well; 0 = all.
    Validation and test wafers stay."""
    draw_real_at: Literal["render", "image"] = "render"
    """render: at render.size, then resized, as samples are | image: at image_size (the paper)."""

    @model_validator(mode="before")
    @classmethod
    def _with_recipe(cls, values: Any) -> Any:
        strong = isinstance(values, Mapping) and values.get("recipe") == "strong"
        return {**values, **STRONG} if strong else values

    @model_validator(mode="after")
    def _no_more_looks_than_steps(self) -> Self:
        if not self.epochs and self.looks > self.steps:
            raise ValueError(f"found looks = {self.looks}, expected at most one a step (steps = {self.steps})")
        return self


class SvmSettings(Section):
    """The ECOC-SVM head."""

    C: Annotated[float, Field(ge=1e-9)] = 10.0
    """Penalty."""
    gamma: Literal["scale", "auto"] | Positive = "scale"
    """Of the Gaussian kernel."""
    code_size: Annotated[float, Field(ge=0.1)] = 2.0
    """Binary problems a class."""
    seed: Seed = 42
    """Of the code book."""
    code_seeds: Annotated[int, Field(ge=1, le=100)] = 1
    """Code books, with seeds seed, seed + 1, ..., whose distances are averaged; each is scored by itself as well."""
    memory_gb: Annotated[float, Field(ge=0.01)] = 2.0
    """Of the kernel matrix, 2 for 16,000 training wafers; beyond it the fit works on parts and takes twice as long."""


class Backbone(Section):
    """A timm network."""

    pretrained: bool = True
    """ImageNet weights by resources/weights.yaml."""


class PredictWafers(PredictSettings):
    render: Drawing
    classifier: ClassifierUse
    drawn: Drawn
    weights: NetworkWeights
    memory_gb: float
    pass_bins: tuple[str, ...]
    wafers: str
    wafers_stat: str


class EvaluateWafers(PredictWafers):
    rename: dict[str, str]
    bootstrap: int
    confidence: float
    seed: int


class ExportOnnx(Section):
    classifier: ClassifierUse
    drawn: Drawn
    weights: NetworkWeights
