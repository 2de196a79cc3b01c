"""The native base's autoencoder loses nothing, and what another one loses is measured."""

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from waferbench.config.synthesis.sources import BaseTraining, NativeBase
from waferbench.synthesis.diffusion.autoencoder import exact_autoencoder, fold_statistics
from waferbench.synthesis.diffusion.latents import encode
from waferbench.synthesis.diffusion.pretrain import pretrain_base
from waferbench.synthesis.diffusion.reconstruct import first_of_each, judge_reconstructions, reconstruct

CPU = torch.device("cpu")
torch.set_num_threads(1)


def test_the_autoencoder_of_the_native_base_loses_nothing():
    vae = exact_autoencoder(32)
    fold_statistics(vae, torch.tensor([-0.2]), torch.tensor([0.4]))
    noise = np.random.default_rng(1).integers(0, 256, (6, 32, 32)).astype(np.uint8)
    for images in (noise, np.full((1, 32, 32), 255, np.uint8), np.zeros((1, 32, 32), np.uint8)):
        np.testing.assert_array_equal(reconstruct(vae, images, 32, CPU, "float32"), images)
        half = reconstruct(vae, images, 32, CPU, "bf16")
        assert np.abs(half.astype(int) - images).max() <= 2
        twice = reconstruct(vae, images, 64, CPU, "float32")  # at another size than the images'
        np.testing.assert_array_equal(twice, images)


def test_a_base_is_trained_on_latents_of_mean_0_and_deviation_1():
    images = np.random.default_rng(2).choice(np.array([0, 128, 255], np.uint8), (12, 32, 32), p=[0.2, 0.5, 0.3])
    native = NativeBase(unet_channels=(8, 16), attention_from=1, unet_steps=1, unet_batch=2, text_width=8)
    base, _ = pretrain_base(images, BaseTraining(native=native), 1, CPU)
    latents = encode(base.vae, images, np.arange(12) * 8, 32, CPU).float()
    assert abs(float(latents.mean())) < 0.01 and abs(float(latents.std()) - 1) < 0.01
    assert base.vae.config.scaling_factor == 1  # the stock pipeline divides by it and knows no mean


def test_statistics_are_folded_channel_by_channel():
    vae = AutoencoderKL(block_out_channels=(4,), latent_channels=2, norm_num_groups=1, layers_per_block=1)
    pixels = torch.rand(2, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        vae.quant_conv.weight.copy_(torch.eye(4)[:, :, None, None])
        vae.post_quant_conv.weight.copy_(torch.eye(2)[:, :, None, None])
        vae.quant_conv.bias.zero_(), vae.post_quant_conv.bias.zero_()
        before = vae.encode(pixels).latent_dist.mode()
        decoded = vae.decode(before).sample
        mean, std = torch.tensor([0.5, -2.0]), torch.tensor([0.1, 4.0])
        fold_statistics(vae, mean, std)
        after = vae.encode(pixels).latent_dist.mode()
        torch.testing.assert_close(after * std[:, None, None] + mean[:, None, None], before)
        torch.testing.assert_close(vae.decode(after).sample, decoded)


def test_reconstructions_are_judged_class_by_class():
    labels = np.array(["donut", "scratch", "donut", "donut"])
    images = np.array([0, 1, 0, 1], np.uint8)[:, None, None] * np.ones((4, 2, 2), np.uint8)
    decoded = images.copy()
    decoded[0] = 1  # this donut comes back as a scratch
    table = judge_reconstructions(images, decoded, labels, ["scratch", "center", "donut"], lambda i: 2 - 2 * i[:, 0, 0])
    assert table["label"].tolist() == ["scratch", "donut"] and table["n"].tolist() == [1, 3]
    assert table["agreement_original"].tolist() == [1, pytest.approx(2 / 3)]
    assert table["agreement"].tolist() == [1, pytest.approx(1 / 3)]
    assert table["error"].tolist() == [0, pytest.approx(1 / 3)]
    assert first_of_each(labels, 2).tolist() == [0, 1, 2]
