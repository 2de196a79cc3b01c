"""GAN iterations a second against an eager loop of the same networks as a notebook has it.

python benchmarks/gan_iterations.py --overlay wm811k --iterations 30
The plain loop: float images in a DataLoader, contiguous tensors, Adam as it comes, losses fetched each iteration.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from common import best_of, figure, peak_memory, say_device, source_settings
from torch.utils.data import DataLoader, TensorDataset

from waferbench.config.study import Drawing
from waferbench.config.synthesis.sources import Gan
from waferbench.synthesis.gan.losses import hinge_discriminator, hinge_generator
from waferbench.synthesis.gan.networks import SEED_EDGE, Discriminator, Generator, from_grey
from waferbench.synthesis.gan.state import Training
from waferbench.wafers.render import render
from waferbench.wafers.simulate.dataset import simulate


def eager(images: np.ndarray, settings: Gan, iterations: int, device: torch.device) -> None:
    """One adversarial training as most notebooks write it."""
    generator = Generator(settings.latent, settings.generator_channels).to(device)
    discriminator = Discriminator(settings.discriminator_channels).to(device)
    adam_g = torch.optim.Adam(generator.parameters(), settings.lr_generator, settings.betas)
    adam_d = torch.optim.Adam(discriminator.parameters(), settings.lr_discriminator, settings.betas)
    loader = DataLoader(TensorDataset(from_grey(torch.from_numpy(images))), settings.batch, True, drop_last=True)
    history, batches = [], iter(loader)
    for _ in range(iterations):
        for _ in range(settings.steps_discriminator):
            try:
                (real,) = next(batches)
            except StopIteration:
                batches = iter(loader)
                (real,) = next(batches)
            fake = generator(torch.randn(len(real), settings.latent, device=device)).detach()
            loss_d = hinge_discriminator(discriminator(real.to(device)), discriminator(fake))
            adam_d.zero_grad()
            loss_d.backward()
            adam_d.step()
        for _ in range(settings.steps_generator):
            latents = torch.randn(settings.batch, settings.latent, device=device)
            loss_g = hinge_generator(discriminator(generator(latents)))
            adam_g.zero_grad()
            loss_g.backward()
            adam_g.step()
        history.append((loss_d.item(), loss_g.item()))


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overlay", default="wm811k", help="of config/, whose networks are trained")
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--precision", nargs="+", default=["float32"], help="of ours; the plain loop has float32")
    parser.add_argument("--compile", action="store_true", help="ours by torch.compile")
    args = parser.parse_args()
    say_device()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    changes = {"augment": False, "ema": 0.0, "compile": args.compile}
    settings = source_settings("gan", args.overlay).model_copy(update=changes)
    drawing = Drawing(size=SEED_EDGE * 2 ** len(settings.discriminator_channels))
    images = render(simulate({"Loc": 500, "Donut": 500}, 0)[0], drawing)

    def seconds(precision: str) -> float:
        training = Training(images, settings.model_copy(update={"precision": precision}), 0, device)
        training.round()  # compiles, and lets cuDNN choose

        def ours() -> None:
            for _ in range(args.iterations):
                training.round()
            training.check()

        return best_of(3, ours)[0]

    fast = {precision: seconds(precision) for precision in args.precision}
    peak_memory("here")
    slow, _ = best_of(3, lambda: eager(images, settings, args.iterations, device))
    for precision, took in fast.items():
        pace = args.iterations / took, "iterations/s", args.iterations / slow
        figure(f"GAN of {args.overlay}, {precision}", *pace, "an eager loop, float32")
    peak_memory("with the other way")


if __name__ == "__main__":
    main()
