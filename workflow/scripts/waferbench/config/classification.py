"""Settings of classifiers and their heads, for every track that trains or asks one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from waferbench.config.section import Count, Decay, Fraction, NotNegative, Positive, Section, Seed
from waferbench.config.stages import NetworkWeights
from waferbench.config.study import Drawing, Drawn, PredictSettings


class ClassifierInput(Section):
    """What a trained classifier needs to be loaded and asked."""

    image_size: Annotated[int, Field(ge=32)] = 48
    """Edge of the input in pixels; the paper: 224."""
    input: Literal["bilinear", "nearest", "one_hot"] = "bilinear"
    """bilinear (grey, as published) | nearest (grey) | one_hot (a plane each: off, pass, fail)."""


class ClassifierUse(ClassifierInput):
    """The same, where its numbers matter."""

    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """auto (bf16 on a GPU, float32 on a CPU) | float32 | bf16 | fp16."""


class ClassifierTraining(ClassifierUse):
    """How a classifier is trained, but for what an augmenting condition adds."""

    epochs: Count = 3
    """The paper: 30."""
    batch: Annotated[int, Field(ge=2)] = 16
    """The paper: 128."""
    lr: Positive = 3e-3
    """The paper: 1e-4."""
    weight_decay: NotNegative = 5e-2
    """Of AdamW; norms and biases have none."""
    focal_gamma: NotNegative = 2.0
    """Of the focal loss; 0 is cross-entropy."""
    warmup: Fraction = 0.1
    """Fraction of the steps."""
    drop_path: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Stochastic depth, for backbones that have it."""
    ema: Decay = 0.0
    """Weights averaged for validation and test; 0 = off, as published."""
    compile: bool = False
    """torch.compile, for long trainings on a GPU."""


class Augmentation(Section):
    """What an augmenting condition does to training images."""

    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Degrees to either side."""
    flip: bool = True
    """Both axes."""


class ClassifierSettings(ClassifierTraining, Augmentation):
    """The classifiers of the grid."""

    draw_real_at: Literal["render", "image"] = "render"
    """render: at render.size, then resized, as samples are | image: at image_size (the paper)."""


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


class ExportOnnx(Section):
    classifier: ClassifierInput
    drawn: Drawn
    weights: NetworkWeights
