"""LoRA sampling against a plain loop over the stock pipeline: same adapter, steps, guidance, precision.

python benchmarks/lora_sampling.py --images 32 --steps 20
The plain loop asks diffusers' StableDiffusionPipeline for one batch after another, of one image and of --batch. It
knows guidance against the empty prompt alone, so both have that; guidance against the base: generators.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import best_of, figure, peak_memory, say_device, source_settings
from diffusers import StableDiffusionPipeline

from waferbench.base.scope import Fold
from waferbench.config.study import Drawing
from waferbench.synthesis.diffusion.adapters import write_adapter
from waferbench.synthesis.diffusion.base import build_base, load_base, save_base
from waferbench.synthesis.diffusion.lora import train_adapters
from waferbench.synthesis.diffusion.sample import Sampler, unipc
from waferbench.wafers.render import render
from waferbench.wafers.simulate.dataset import simulate


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overlay", default="wm811k", help="of config/, whose networks are sampled")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32, help="of the plain loop")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=1.0)
    args = parser.parse_args()
    say_device()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    changes = {"steps": 2, "batch": 2, "sampler_steps": args.steps, "guidance": args.guidance, "precision": "float32"}
    changes |= {"guidance_against": "prompt"}
    settings = source_settings("lora", args.overlay).model_copy(update=changes)
    size = settings.size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        save_base(build_base(settings.native, size), folder / "base")
        base = load_base(folder / "base", device)
        images = render(simulate({"Loc": 8}, 0)[0], Drawing(size=size))
        adapter = train_adapters(base, images, np.array(["loc"] * 8), ["loc"], settings, 0).tensors["loc"]
        write_adapter(folder / "loc.safetensors", adapter, settings, {"base": base.fingerprint})
        pipeline = StableDiffusionPipeline.from_pretrained(folder / "base", local_files_only=True).to(device)
        pipeline.load_lora_weights(folder, weight_name="loc.safetensors")
        base = load_base(folder / "base", device)
        pipeline.scheduler = unipc(base)
        pipeline.set_progress_bar_config(disable=True)

        def plain(batch: int, count: int) -> None:
            for _ in range(count // batch):
                pipeline(
                    settings.instance_prompt,
                    num_images_per_prompt=batch,
                    num_inference_steps=args.steps,
                    guidance_scale=args.guidance,
                    output_type="np",
                )

        with Sampler(base, settings, 0, Fold(0), size) as sampler:
            sampler.load(folder / "loc.safetensors")
            fast = best_of(2, lambda: sampler.draw("loc", 0, args.images))[0] / args.images
            peak_memory("here")
        for batch in (1, args.batch):
            count = max(batch, args.images // 4) if batch == 1 else max(batch, args.images)
            slow = best_of(2, lambda batch=batch, count=count: plain(batch, count))[0] / count
            figure("LoRA samples", 1 / fast, "images/s", 1 / slow, f"the stock pipeline in batches of {batch}")
    peak_memory("with the other way")


if __name__ == "__main__":
    main()
