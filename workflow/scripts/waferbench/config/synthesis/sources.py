"""The synthesizers of a study: one section a kind, and the part of it that each stage reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from waferbench.config.section import (
    Count,
    Decay,
    Fraction,
    NotNegative,
    Positive,
    Precision,
    Section,
    Text,
)

Widths = tuple[Count, ...]


ADAPTER_WAFERS = 6  # of a class that an adapter needs at least, or it repeats them


class GanSampling(Section):
    """What drawing from a TS-HingeGAN reads."""

    latent: Count = 128
    """Numbers that an image is drawn from."""
    generator_channels: Annotated[Widths, Field(min_length=2)] = (64, 48, 32, 16)
    """Widths; doubles 4 pixels to render.size; the paper: 512, 256, 128, 64, 32."""


class Gan(GanSampling):
    """TS-HingeGAN: a hinge-loss GAN trained on all classes together, then fine-tuned class by class."""

    kind: Literal["ts_hinge_gan"] = "ts_hinge_gan"
    """Picks the code."""
    discriminator_channels: Annotated[Widths, Field(min_length=1)] = (16, 32, 64)
    """Widths; the paper: 64, 128, 256, 512."""
    batch: Annotated[int, Field(ge=2)] = 16
    """The paper: 64."""
    lr_generator: Positive = 1e-3
    """The paper: 1e-4."""
    lr_discriminator: Positive = 2e-3
    """The paper: 4e-4."""
    betas: Annotated[tuple[Fraction, ...], Field(min_length=2, max_length=2)] = (0.0, 0.9)
    """Of Adam."""
    steps_generator: Count = 2
    """A round; "2:1 G:D" read literally."""
    steps_discriminator: Count = 1
    """A round."""
    stage1_iterations: Count = 66
    """Rounds on all classes pooled."""
    stage2_iterations: Annotated[int, Field(ge=0)] = 18
    """Rounds per class, from stage 1."""
    augment: bool = True
    """The wafer's eight symmetries on real batches."""
    precision: Precision = "auto"
    """auto (bf16 on a GPU, float32 on a CPU) | float32 | bf16."""
    compile: bool = False
    """torch.compile, for long trainings on a GPU; slower on a CPU."""
    ema: Decay = 0.95
    """Weights averaged for sampling; 0 = off, as published."""


class NativeBase(Section):
    """The wafer-native diffusion base: trained once a study on simulated wafers of all classes without their names. Its
    autoencoder is set and loses nothing, so that the UNet works on every pixel."""

    caption: Text = "a photo of a wafer map"
    """The one caption of all wafers."""
    drop_caption: Fraction = 0.1
    """Share of wafers shown without it, for guidance against the prompt."""
    wafers: Count = 4000
    """Simulated wafers that it learns from, none of them the study's."""
    unet_channels: Annotated[Widths, Field(min_length=1)] = (16, 32, 48, 64)
    """Widths of the UNet; each further one halves."""
    attention_from: Annotated[int, Field(ge=0)] = 3
    """First level of the UNet with attention, 0 = all."""
    unet_steps: Count = 500
    """Optimiser steps of the UNet."""
    unet_batch: Count = 8
    """Images of one of them."""
    unet_lr: Positive = 2e-3
    """Learning rate at its peak."""
    ema: Decay = 0.99
    """UNet weights averaged; 0 = off."""
    text_width: Annotated[int, Field(ge=8)] = 32
    """Of the caption's embedding."""
    augment: bool = True
    """The wafer's eight symmetries."""


class BaseSettings(Section):
    """What is known of a diffusion base before it is there."""

    base: Text = "native"
    """native (pretrained here, see below) | a folder in diffusers layout | a hub name."""
    size: Annotated[int, Field(ge=32)] = 32
    """Pixels the pipeline works at; 512 for Stable Diffusion."""
    precision: Precision = "auto"
    """auto (bf16 on a GPU, float32 on a CPU) | float32 | bf16."""


class BaseTraining(BaseSettings):
    """What pretraining a native base reads."""

    native: NativeBase = NativeBase()


class LoraTraining(BaseSettings):
    """What training adapters reads."""

    instance_prompt: Text = "a photo of sks wafer map"
    """The one prompt of all adapters."""
    rank: Count = 8
    """Of the adapters; the paper: 32."""
    alpha: NotNegative = 8.0
    """They are scaled by alpha / rank."""
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)] = (
        *("conv1", "conv2", "conv_shortcut", "time_emb_proj", "to_q", "to_k", "to_v", "to_out.0"),
    )
    """Layers of the UNet that get one, linear or convolutions; names that it lacks do nothing."""
    steps: Count = 18
    """Per class."""
    batch: Count = 8
    """Latents of one step."""
    lr: Positive = 4e-3
    """Learning rate, constant."""
    weight_decay: NotNegative = 1e-2
    """Of AdamW."""
    clip: NotNegative = 1.0
    """Largest norm of a gradient; 0 = unbounded."""
    accumulate: Count = 1
    """Parts that a batch goes through the UNet in: the same gradient in less memory."""
    gradient_checkpointing: bool = False
    """Activations computed twice, in less memory."""
    ema: Decay = 0.0
    """Adapter weights averaged for sampling; 0 = off, as published."""
    augment: bool = True
    """The wafer's eight symmetries."""


class Denoising(Section):
    """How images are drawn from noise."""

    sampler_steps: Count = 6
    """Of UniPC."""
    guidance: NotNegative = 2.5
    """1 or less: none, half the work; the paper: 7.5."""
    guidance_against: Literal["base", "prompt"] = "base"
    """base (without the adapter: the direction of the class) | prompt (the empty one, as published)."""
    guidance_interval: Annotated[tuple[Fraction, ...], Field(min_length=2, max_length=2)] = (0.3, 1.0)
    """Part of the noise schedule in which it acts, 0 = clean, 1 = noise."""


class LoraSampling(BaseSettings, Denoising):
    """What drawing with adapters reads."""

    instance_prompt: Text = "a photo of sks wafer map"
    """The one prompt of all adapters."""
    sample_batch: Count = 96
    """Images drawn at once."""


class Lora(LoraSampling, LoraTraining, BaseTraining):
    """DB-SD-LoRA: a frozen latent diffusion base and one LoRA adapter a class."""

    kind: Literal["db_sd_lora"] = "db_sd_lora"
    """Picks the code."""


class DieFlowSampling(Section):
    """What drawing from a die flow reads."""

    channels: Annotated[tuple[Annotated[int, Field(ge=8)], ...], Field(min_length=2)] = (32, 48, 64)
    """Width of each level; the first holds two by two dies, each further one halves."""
    augment: bool = True
    """The wafer's eight symmetries, of training wafers and of the grids drawn on."""
    precision: Precision = "auto"
    """auto (bf16 on a GPU, float32 on a CPU) | float32 | bf16."""
    sampler_steps: Count = 8
    """Looks at the wafer, each revealing some of its dies."""
    guidance: NotNegative = 2.0
    """Logits move this far from those without a label towards those with it; 1 = no guidance, half the work."""
    guidance_ramp: Literal["none", "rising", "falling"] = "none"
    """How it changes from the first look to the last: not, from 1 on, or down to 1."""
    sample_batch: Count = 64
    """Maps drawn at once."""


class DieFlowTraining(Section):
    """What training a die flow reads."""

    channels: Annotated[tuple[Annotated[int, Field(ge=8)], ...], Field(min_length=2)] = (32, 48, 64)
    """Width of each level; the first holds two by two dies, each further one halves."""
    steps: Count = 210
    """Optimiser steps."""
    batch: Count = 8
    """Wafers of one of them."""
    lr: Positive = 2e-3
    """Learning rate at its peak."""
    weight_decay: NotNegative = 1e-2
    """Of AdamW."""
    ema: Decay = 0.98
    """Weights averaged for sampling; 0 = off."""
    balance: Fraction = 1.0
    """Classes are drawn by their wafers (0), all alike (1), or between."""
    drop_label: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Share of wafers shown without their label, for guidance to start from."""
    hidden: Literal["uniform", "mostly"] = "mostly"
    """Share of a wafer's dies that is hidden: u, uniform in 0 to 1, or 1 - u^2, where labels matter most."""
    augment: bool = True
    """The wafer's eight symmetries, of training wafers and of the grids drawn on."""
    precision: Precision = "auto"
    """auto (bf16 on a GPU, float32 on a CPU) | float32 | bf16."""


class DieFlow(DieFlowTraining, DieFlowSampling):
    """Die flow: one network that draws pass or fail for each die of a wafer's own grid."""

    kind: Literal["die_flow"] = "die_flow"
    """Picks the code."""


class DieBase(Section):
    """The frozen base of a die LoRA: trained on simulated wafers of all classes without their names."""

    wafers: Count = 4000
    """Simulated ones that it learns from, none of them the study's."""
    steps: Count = 280
    """Optimiser steps."""
    batch: Count = 16
    """Wafers of one of them."""
    lr: Positive = 2e-3
    """Learning rate at its peak."""
    weight_decay: NotNegative = 1e-2
    """Of AdamW."""
    ema: Decay = 0.99
    """Weights averaged; 0 = off."""
    hidden: Literal["uniform", "mostly"] = "mostly"
    """Share of a wafer's dies that is hidden: u, uniform in 0 to 1, or 1 - u^2, where a class shows."""


class DieNetwork(Section):
    """What is known of a die LoRA's base before it is there."""

    channels: Annotated[tuple[Annotated[int, Field(ge=8)], ...], Field(min_length=2)] = (32, 48, 64)
    """Width of each level; the first holds two by two dies, each further one halves."""
    augment: bool = True
    """The wafer's eight symmetries, of simulated and training wafers and of the grids drawn on."""
    precision: Precision = "auto"
    """auto (bf16 on a GPU, float32 on a CPU) | float32 | bf16."""


class DieBaseTraining(DieNetwork):
    """What pretraining the base of a die LoRA reads: nothing of its adapters, which do not change it."""

    native: DieBase = DieBase()


class DieAdapters(DieNetwork):
    """What is known of a die LoRA's adapters."""

    alpha: Positive = 16.0
    """They are scaled by alpha / rank."""


class DieLoraTraining(DieAdapters):
    """What training adapters of a die LoRA reads."""

    rank: Count = 16
    """Of the adapters, at most: a narrower layer's is its width."""
    max_wafers: Annotated[int, Field(ge=ADAPTER_WAFERS)] = 100
    """Training wafers of a class that its adapter sees at most, the first by hash."""
    steps: Count = 20
    """Per class."""
    batch: Count = 8
    """Wafers of one of them."""
    lr: Positive = 1e-2
    """Learning rate at its peak."""
    weight_decay: NotNegative = 1e-2
    """Of AdamW."""
    ema: Decay = 0.8
    """Adapter weights averaged for sampling; 0 = off."""
    hidden: Literal["uniform", "mostly"] = "mostly"
    """Share of a wafer's dies that is hidden: u, uniform in 0 to 1, or 1 - u^2, where a class shows."""


class DieLoraSampling(DieAdapters, DieFlowSampling):
    """What drawing with a die LoRA reads."""

    guidance: NotNegative = 2.0
    """Logits move this far from the frozen base's towards the adapter's; 1 = no guidance, half the work."""


class DieLora(DieLoraTraining, DieLoraSampling, DieBaseTraining):
    """Die LoRA: a frozen network that draws dies of any wafer, and one small adapter a class."""

    kind: Literal["die_lora"] = "die_lora"
    """Picks the code."""


class Oracle(Section):
    """No synthesizer: further real wafers, the most that one could add. Simulated ones are drawn fresh, real ones come
    out of `oracle.reserve`."""

    kind: Literal["oracle"] = "oracle"
    """Picks the code."""


Source = Annotated[Gan | Lora | DieLora | DieFlow | Oracle, Field(discriminator="kind")]
