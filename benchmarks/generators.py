"""Generators: optimiser steps a second, what one shared base saves, and what guidance costs.

python benchmarks/generators.py                                            (the default study's settings)
python benchmarks/generators.py --overlay wm811k --pretraining 50
python benchmarks/generators.py --against FOLDER                           (a checkout of another version)
python benchmarks/generators.py --overlay wm811k --against FOLDER --against-overlay wm811k-small

Every measure is taken in a process of its own, which imports the library of one checkout: this one's and the other
version's in turns, each at the settings of its own study, on simulated wafers. What the other version lacks is left
out there. Trainings go as the study's jobs call them, one class each; the fastest of some counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from common import FIGURES, ROOT, best_of, figure

PARTS = ("training", "pretraining", "sampling")
DEFAULT = "default"  # no overlay at all
EACH = 40  # simulated wafers of each class
WAFER = "wafer"  # the one class of all of them: what a step costs depends on die grids, and these are of every class
UNIT = {"lora": "images/s"}  # of what a source draws; all others draw maps
TITLE = {"gan": "GAN", "lora": "LoRA adapters", "die_lora": "die LoRA adapters", "die_flow": "die flow"}


@dataclass(frozen=True)
class Asked:
    """What one process is to measure.

    library: checkout whose library is imported. overlay: of its ``config/``. part: of `PARTS`. steps: of a training, or
    rounds of the GAN. pretraining: steps of a base at most, 0 = as many as the settings say. samples: drawn of a
    source. repeats: of a training and of a drawing, the fastest of which counts; 1 has nothing that warms up. threads:
    of torch, 0 = its own.
    """

    library: str
    overlay: str
    part: str
    steps: int
    pretraining: int
    samples: int
    repeats: int
    threads: int


class Generators:
    """The generators of one version, at the settings of one study."""

    def __init__(self, asked: Asked, folder: Path):
        sys.path.insert(0, str(Path(asked.library, "workflow", "scripts")))  # before the library of this checkout
        from waferbench.base.machine import end_with_parent

        end_with_parent()
        import torch

        if asked.threads:
            torch.set_num_threads(asked.threads)
        from waferbench.config.resolve import resolve
        from waferbench.config.synthesis.grid import SynthesisGrid
        from waferbench.config.synthesis.settings import SynthesisSettings
        from waferbench.wafers.render import render
        from waferbench.wafers.simulate.dataset import simulate

        self.asked, self.folder = asked, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        overlay = Path(asked.library, f"config/{asked.overlay}.yaml")
        if asked.overlay != DEFAULT and not overlay.exists():
            sys.exit(f"{overlay}: no such file; name one that is there by --overlay or --against-overlay")
        written = {} if asked.overlay == DEFAULT else yaml.safe_load(overlay.read_text())
        self.settings = resolve(written, SynthesisSettings)
        self.grid = SynthesisGrid(self.settings)
        self.scopes = len(self.grid.every_scope("{protocol}/{seed}/{scope}"))  # folds or replicates that are run
        self.sources = self.settings.define.sources
        self.maps = simulate(dict.fromkeys(self.settings.dataset.classes, EACH), 0)[0]
        self.images = render(self.maps, self.settings.render)

    def measure(self) -> dict[str, Any]:
        """What was asked for, by source; and the version and the folds of the study."""
        from waferbench.engine.version import VERSION

        ways = {name: getattr(self, f"{self.asked.part}_{name}", None) for name in TITLE if name in self.sources}
        found = {name: way(self.sources[name]) for name, way in ways.items() if way}
        return {"found": found, "version": VERSION, "scopes": self.scopes}

    def pace(self, count: int, prepare: Callable[[], Any], work: Callable[[Any], Any]) -> float:
        """How many a second in the fastest of some runs; what each works on is made anew, off the clock."""
        return count / min(best_of(1, partial(work, prepare()))[0] for _ in range(self.asked.repeats))

    # Optimiser steps a second

    def training_gan(self, settings: Any) -> float:
        from waferbench.synthesis.gan.state import Training
        from waferbench.synthesis.gan.train import CHECK_EVERY

        def work(training: Training) -> None:
            for done in range(1, self.asked.steps + 1):
                training.round()
                if done % CHECK_EVERY == 0:
                    training.check()

        steps = self.asked.steps * (settings.steps_discriminator + settings.steps_generator)
        return self.pace(steps, lambda: Training(self.images, settings, 0, self.device), work)

    def training_lora(self, settings: Any) -> float:
        return self.pace(self.asked.steps, self.lora_base, partial(self.lora_adapter, settings, self.asked.steps))

    def training_die_lora(self, settings: Any) -> float:
        steps = self.asked.steps
        return self.pace(steps, lambda: self.die_base(settings), partial(self.die_adapter, settings, steps))

    def training_die_flow(self, settings: Any) -> float:
        return self.pace(self.asked.steps, lambda: self.asked.steps, partial(self.die_flow, settings))

    # Seconds of one base, and how many a study needs

    def pretraining_lora(self, settings: Any) -> dict[str, float]:
        from waferbench.synthesis.diffusion.pretrain import pretrain_base

        settings = settings.model_copy(update={"native": self.shortened(settings.native)})
        seconds, _ = best_of(1, lambda: pretrain_base(self.pretrained_on(settings.native), settings, 0, self.device))
        shared = hasattr(settings.native, "wafers")
        return {"seconds": seconds, "bases": 1 if shared else self.scopes}

    def pretraining_die_lora(self, settings: Any) -> dict[str, float]:
        from waferbench.synthesis.dielora.base import pretrain_die_base

        settings = settings.model_copy(update={"native": self.shortened(settings.native)})
        seconds, _ = best_of(1, lambda: pretrain_die_base(settings, self.grid.elsewhere, 0, self.device))
        return {"seconds": seconds, "bases": 1}

    def shortened(self, native: Any) -> Any:
        """A base's settings with no more steps than asked for."""
        names = [name for name in ("steps", "unet_steps", "vae_steps") if hasattr(native, name)]
        most = self.asked.pretraining
        return native.model_copy(update={name: min(getattr(native, name), most) for name in names} if most else {})

    def pretrained_on(self, native: Any) -> Any:
        """Images that a base learns from: simulated ones, or (before 0.4.0) those of a fold, here the made-up ones."""
        if not hasattr(native, "wafers"):
            return self.images
        from waferbench.wafers.render import render
        from waferbench.wafers.simulate.pretraining import base_wafers

        return render(base_wafers(native.wafers, 0, self.grid.elsewhere), self.settings.render)

    # Samples a second, guided and not

    def sampling_lora(self, settings: Any) -> dict[str, float]:
        from waferbench.base.scope import Fold
        from waferbench.synthesis.diffusion.adapters import write_adapter
        from waferbench.synthesis.diffusion.sample import Sampler

        base, path = self.lora_base(), self.folder / "adapter.safetensors"
        adapter = self.lora_adapter(settings, 2, base).tensors[WAFER]
        write_adapter(path, adapter, settings, {"base": base.fingerprint})
        base = self.lora_base()  # the one above has an adapter in it

        def draw(settings: Any) -> None:
            with Sampler(base, settings, 0, Fold(0), self.settings.render.size) as sampler:
                sampler.load(path)
                sampler.draw(WAFER, 0, self.asked.samples)

        return self.guided_and_not(settings, draw)

    def sampling_die_lora(self, settings: Any) -> dict[str, float]:
        from waferbench.base.scope import Fold
        from waferbench.synthesis.dielora.sample import Sampler

        base = self.die_base(settings)
        adapters, _ = self.die_adapter(settings, 2, base)

        def draw(settings: Any) -> None:
            Sampler(base, adapters, {WAFER: self.maps}, settings, 0, Fold(0)).draw(WAFER, 0, self.asked.samples)

        return self.guided_and_not(settings, draw)

    def sampling_die_flow(self, settings: Any) -> dict[str, float]:
        from waferbench.base.scope import Fold
        from waferbench.synthesis.dieflow.sample import Sampler

        state, _ = self.die_flow(settings, 2)

        def draw(settings: Any) -> None:
            sampler = Sampler(state, {WAFER: self.maps}, settings, 0, Fold(0), self.device)
            sampler.draw(WAFER, 0, self.asked.samples)

        return self.guided_and_not(settings, draw)

    def guided_and_not(self, settings: Any, draw: Callable[[Any], None]) -> dict[str, float]:
        """Samples a second with the guidance of the settings, and without any."""
        ways = {"guided": settings, "plain": settings.model_copy(update={"guidance": 1.0})}
        paces = {name: self.pace(self.asked.samples, partial(lambda way: way, way), draw) for name, way in ways.items()}
        return {"guidance": settings.guidance, **paces}

    # What these are made of: random weights cost what trained ones do

    def lora_base(self) -> Any:
        """A base from its folder, as jobs load it."""
        import torch

        from waferbench.synthesis.diffusion.base import build_base, load_base, save_base

        folder, settings = self.folder / "base", self.sources["lora"]
        if not folder.exists():
            torch.manual_seed(0)
            save_base(build_base(settings.native, settings.size), folder)
        return load_base(folder, self.device)

    def lora_adapter(self, settings: Any, steps: int, base: Any) -> Any:
        import numpy as np

        from waferbench.synthesis.diffusion.lora import train_adapters

        settings, labels = settings.model_copy(update={"steps": steps}), np.full(len(self.images), WAFER)
        return train_adapters(base, self.images, labels, [WAFER], settings, 0)

    def die_base(self, settings: Any) -> Any:
        import torch

        from waferbench.synthesis.dieflow.network import DieNet
        from waferbench.synthesis.dielora.base import LABELS

        torch.manual_seed(0)
        network = DieNet(LABELS, settings.channels).to(self.device, memory_format=torch.channels_last)
        return network.eval().requires_grad_(False)

    def die_adapter(self, settings: Any, steps: int, base: Any) -> Any:
        from waferbench.synthesis.dielora.adapters import train_adapters

        return train_adapters(base, {WAFER: self.maps}, settings.model_copy(update={"steps": steps}), 0)

    def die_flow(self, settings: Any, steps: int) -> Any:
        import numpy as np

        from waferbench.synthesis.dieflow.train import train_die_flow

        settings, labels = settings.model_copy(update={"steps": steps}), np.full(len(self.maps), WAFER)
        return train_die_flow(self.maps, labels, [WAFER], settings, 0, self.device)


def asked_of_another(asked: Asked) -> dict[str, Any]:
    """What a process of its own has measured."""
    environment = {name: value for name, value in os.environ.items() if name != FIGURES}  # the figures are told here
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, __file__, "--asked", json.dumps(asdict(asked)), "--answer", str(answer)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{asked.part} with the library of {asked.library} failed:\n{done.stderr[-4000:]}")
        return json.loads(answer.read_text())


def best(answers: list[dict[str, Any]]) -> dict[str, float]:
    """The highest pace of each source."""
    names = dict.fromkeys(name for answer in answers for name in answer["found"])
    return {name: max(answer["found"][name] for answer in answers) for name in names}


def told(answer: dict[str, Any], asked: Asked) -> str:
    """What another version is called in a figure."""
    return f"version {answer['version']}, {called(asked)}"


def called(asked: Asked) -> str:
    """What a study is called in a figure."""
    return "default study" if asked.overlay == DEFAULT else asked.overlay


def training(here: Asked, other: Asked | None, rounds: int) -> None:
    """Steps a second, both versions in turns."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(asked_of_another(here))
        theirs += [asked_of_another(other)] if other else []
    paces, others = best(ours), best(theirs)
    for name, pace in paces.items():
        against = told(theirs[0], other) if name in others else ""
        figure(f"training of {TITLE[name]}, {called(here)}", pace, "steps/s", others.get(name), against)


def pretraining(here: Asked, other: Asked | None) -> None:
    """Seconds of the bases of a whole study, shared and one a fold."""
    ours, theirs = asked_of_another(here), asked_of_another(other) if other else {"found": {}}
    first = f", first {here.pretraining} steps" if here.pretraining else ""
    for name, found in ours["found"].items():
        base, scopes = f"pretraining for {TITLE[name]}, {called(here)}{first}", ours["scopes"]
        seconds = found["seconds"]
        figure(f"{base}: one base for {scopes} folds", seconds, "s", scopes * seconds, "one a fold, that time for each")
        if then := theirs["found"].get(name):
            against = f"{then['bases']} of {told(theirs, other)}"
            figure(f"{base}: one base for {scopes} folds", seconds, "s", then["bases"] * then["seconds"], against)


def sampling(here: Asked) -> None:
    """Samples a second: what guidance costs."""
    for name, found in asked_of_another(here)["found"].items():
        drawn = f"samples of {TITLE[name]}, {called(here)}, guidance {found['guidance']:g}"
        figure(drawn, found["guided"], UNIT.get(name, "wafers/s"), found["plain"], "without guidance")


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overlay", default=DEFAULT, help="of config/, whose settings are taken; default: none")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="a checkout of another version")
    parser.add_argument("--against-overlay", help="of its config/; without, that of this one")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--steps", type=int, default=50, help="of a training; rounds of the GAN")
    parser.add_argument("--pretraining", type=int, default=0, help="steps of a base at most; 0: as the settings say")
    parser.add_argument("--samples", type=int, default=64, help="drawn of a source")
    parser.add_argument("--repeats", type=int, default=3, help="of a training and a drawing, the fastest counts")
    parser.add_argument("--rounds", type=int, default=2, help="of trainings, each of this version and the other one")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as many as it takes by itself")
    parser.add_argument("--asked", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.asked:
        with tempfile.TemporaryDirectory() as folder:
            found = Generators(Asked(**json.loads(args.asked)), Path(folder)).measure()
        args.answer.write_text(json.dumps(found))
        return

    def asked(library: Path, overlay: str, part: str) -> Asked:
        sizes = (args.steps, args.pretraining, args.samples, args.repeats, args.threads)
        return Asked(str(library.resolve()), overlay, part, *sizes)

    for part in args.parts:
        here = asked(ROOT, args.overlay, part)
        other = asked(args.against, args.against_overlay or args.overlay, part) if args.against else None
        if part == "training":
            training(here, other, args.rounds)
        elif part == "pretraining":
            pretraining(here, other)
        else:
            sampling(here)


if __name__ == "__main__":
    main()
