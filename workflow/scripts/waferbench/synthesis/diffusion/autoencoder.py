"""The autoencoder of the wafer-native base: an `AutoencoderKL` that is set and not trained, and loses nothing.

A trained one is where small bases fail: after some minutes it has blurred the dies that make a class, and no adapter
draws what its decoder cannot. A wafer map has no redundancy that a decoder could fill in, every die being a fact of its
own, so the latents here are the map itself: one number a pixel. What an `AutoencoderKL` of one level has besides linear
layers is a SiLU and a group norm behind its residual blocks, and both can be undone by the layers around them.

- SiLU: ``silu(x) - silu(-x) = x``, so a channel that holds x beside one that holds -x.
- Group norm: two channels that hold the constants B and -B, with B far above all pixels, make the variance B^2 / 2 for
  any image, to one part in a million, and the mean is 0. The norm's own scale divides by that.
- Residual blocks: their last convolution is 0, so that they add nothing.

An autoencoder that halves would be no identity: what upsamples in this class repeats pixels and filters them, and no
such filter draws one die beside its opposite.
"""

from __future__ import annotations

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

WIDTH = 4  # x, -x, B and -B
LARGE = 1024.0  # B; a power of two, which bf16 holds, too
LOG_VARIANCE = -30.0  # of the posterior, which then is its mean


@torch.no_grad()
def exact_autoencoder(size: int) -> AutoencoderKL:
    """An autoencoder of three equal grey channels in [-1, 1], (N, 3, S, S), with latents (N, 1, S, S): the grey."""
    vae = AutoencoderKL(
        block_out_channels=(WIDTH,),
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        latent_channels=1,
        layers_per_block=1,
        norm_num_groups=1,
        sample_size=size,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )
    silence_residuals(vae)
    for part, inputs, outputs in ((vae.encoder, 3, 1), (vae.decoder, 1, 3)):
        _clear(part.conv_in, part.conv_out)
        part.conv_in.weight[0, :, 1, 1], part.conv_in.weight[1, :, 1, 1] = 1 / inputs, -1 / inputs
        part.conv_in.bias[2], part.conv_in.bias[3] = LARGE, -LARGE
        part.conv_norm_out.weight.fill_(LARGE / 2**0.5)
        part.conv_norm_out.bias.zero_()
        part.conv_out.weight[:outputs, 0, 1, 1], part.conv_out.weight[:outputs, 1, 1, 1] = 1, -1
    vae.encoder.conv_out.bias[1] = LOG_VARIANCE
    fold_statistics(vae, torch.zeros(1), torch.ones(1))
    return vae


@torch.no_grad()
def fold_statistics(vae: AutoencoderKL, mean: Tensor, std: Tensor) -> None:
    """Make an exact autoencoder's latents ``(x - mean) / std``, and its decoder undo that.

    They stand in the convolutions on both sides of the latents, so that a pipeline that knows a scaling factor and no
    mean draws the same images.

    Args:
        mean, std: float (channels,), of the latents as `exact_autoencoder` makes them; std above 0.
    """
    c = len(mean)
    _clear(vae.quant_conv, vae.post_quant_conv)
    eye = torch.eye(c)
    vae.quant_conv.weight[:c, :c, 0, 0], vae.quant_conv.weight[c:, c:, 0, 0] = eye / std[:, None], eye
    vae.quant_conv.bias[:c] = -mean / std
    vae.post_quant_conv.weight[:, :, 0, 0] = eye * std[:, None]
    vae.post_quant_conv.bias.copy_(mean)


def silence_residuals(network: nn.Module) -> None:
    """Start each residual block as the identity (Dhariwal & Nichol 2021): short trainings get much further."""
    for module in network.modules():
        if isinstance(module, ResnetBlock2D):
            _clear(module.conv2)


@torch.no_grad()
def _clear(*layers: nn.Conv2d) -> None:
    for layer in layers:
        layer.weight.zero_()
        layer.bias.zero_()
