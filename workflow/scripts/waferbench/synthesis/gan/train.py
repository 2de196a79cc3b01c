"""Two-stage training (Tsai & Wang 2025): one GAN on all classes pooled, then one per class from there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch

from waferbench.base.errors import InputError
from waferbench.base.progress import progress
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import Gan
from waferbench.learning.runtime import Checkpoint, memory_bound, seed_everything
from waferbench.synthesis.gan.networks import SEED_EDGE
from waferbench.synthesis.gan.state import METRICS, State, Trained, Training
from waferbench.wafers.store import require_each

T = TypeVar("T")
CHECK_EVERY = 50  # rounds between two looks at the health, and two fetches of the losses from the device
CHECKS = 4  # looks at least, so that a short training, too, has weights of its own to fall back to


@dataclass(frozen=True)
class GanResult:
    """A trained TS-HingeGAN.

    Attributes:
        stage1: weights of both networks, named ``generator.*`` and ``discriminator.*``.
        generators: label -> weights of its generator, ready for `waferbench.synthesis.gan.sample.sample`.
        history: one row a round: stage, label ("" in stage 1), iteration, loss_d, loss_g, d_real, d_fake.
        facts: ``{"stage1": fact, "labels": {label: fact}}``; a fact holds converged, reason, iterations (of the
            weights kept), images, with_replacement.
    """

    stage1: State
    generators: dict[str, State]
    history: pd.DataFrame
    facts: dict[str, Any]


def train_gan(
    images: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    settings: Gan,
    seed: int,
    device: torch.device,
    checkpoints: Path | None = None,
) -> GanResult:
    """Train stage 1 on all images, class-blind, and stage 2 on each class from stage 1's two networks.

    A training that diverges is stopped, its last healthy weights are kept (the collapsed ones where there are none) and
    its fact says why, as does a line on stderr. A class never gets the weights of stage 1 in the place of its own.

    Args:
        images: uint8 (N, S, S) grey.
        labels: str (N,) label of each image.
        classes: the labels to train, in order.
        settings: of the source.
        seed: of weights, batches and latents.
        device: where to train; on a CPU equal seeds give equal bytes.
        checkpoints: folder for the states that a killed training goes on from (bit for bit on a CPU), or None.
            They stay there: the caller removes them once the result is stored.

    Raises:
        InputError: image size and channel lists disagree, a class has no image, or a training's numbers are no longer
            finite before its first healthy weights.
    """
    labels = np.asarray(labels)
    _verify(images, labels, classes, settings)
    wanted = np.isin(labels, list(classes))
    stage1 = _finish(_Run(images[wanted], settings, "stage1", "", seed, device, checkpoints))

    def run(label: str) -> _Run:
        return _Run(images[labels == label], settings, "stage2", label, seed, device, checkpoints, stage1)

    stage2 = None
    if not _fills(device) and len(classes) > 1:
        stage2 = _unless_too_large(lambda: _finish_together([run(label) for label in classes]))
    stage2 = dict(zip(classes, stage2 or [_finish(run(label)) for label in classes], strict=True))
    facts = {label: _with_start(trained.facts, stage1.facts) for label, trained in stage2.items()}
    parts = [_history("stage1", "", stage1), *(_history("stage2", label, stage2[label]) for label in classes)]
    return GanResult(
        stage1={
            **{f"generator.{name}": tensor for name, tensor in stage1.generator.items()},
            **{f"discriminator.{name}": tensor for name, tensor in stage1.discriminator.items()},
        },
        generators={label: trained.generator for label, trained in stage2.items()},
        history=pd.concat(parts, ignore_index=True),
        facts={"stage1": stage1.facts, "labels": facts},
    )


def _verify(images: np.ndarray, labels: np.ndarray, classes: Sequence[str], settings: Gan) -> None:
    size = SEED_EDGE * 2 ** (len(settings.generator_channels) - 1)
    judged = SEED_EDGE * 2 ** len(settings.discriminator_channels)
    if size != judged:
        raise InputError(
            f"gan: generator_channels draws {size} pixels, discriminator_channels expects {judged}; "
            "give the generator one entry more than the discriminator"
        )
    if images.ndim != 3 or images.shape[1:] != (size, size) or images.dtype != np.uint8:
        raise InputError(
            f"gan: images are {images.dtype} {images.shape}, but generator_channels draws uint8 (N, {size}, {size}); "
            "set render.size to it, or change the number of generator_channels and discriminator_channels"
        )
    require_each(classes, labels, "gan")


def _history(stage: str, label: str, trained: Trained) -> pd.DataFrame:
    frame = pd.DataFrame(trained.metrics, columns=list(METRICS))
    frame.insert(0, "iteration", np.arange(1, len(frame) + 1))
    frame.insert(0, "label", label)
    frame.insert(0, "stage", stage)
    return frame


def _with_start(facts: dict[str, Any], stage1: dict[str, Any]) -> dict[str, Any]:
    """A class's facts: what started from a diverged stage 1 has not converged, whatever it did then."""
    if stage1["converged"]:
        return facts
    reasons = [f"stage 1: {stage1['reason']}", facts["reason"]]
    return {**facts, "converged": False, "reason": "; ".join(filter(None, reasons))}


def _fills(device: torch.device) -> bool:
    """Whether one small GAN keeps the device busy: a CPU, not a GPU."""
    return device.type != "cuda"


def _unless_too_large(work: Callable[[], T]) -> T | None:
    """What the work returns, or None where the GPU's memory does not hold it, with a line on stderr."""
    try:
        return work()
    except torch.OutOfMemoryError:
        print("gan stage2: the classes do not fit the GPU's memory together; one after another", file=sys.stderr)
    torch.cuda.empty_cache()  # outside the handler, whose traceback would hold what did not fit
    return None


class _Run:
    """One GAN on its way: from its checkpoint if there is one, else from ``start``, else from new weights."""

    def __init__(
        self,
        images: np.ndarray,
        settings: Gan,
        stage: str,
        label: str,
        seed: int,
        device: torch.device,
        checkpoints: Path | None,
        start: Trained | None = None,
    ):
        stage_seed = derive_seed(seed, "gan", stage, label)
        seed_everything(stage_seed)
        self.name = f"gan {stage} {label}".strip()
        self.training = Training(images, settings, stage_seed, device)
        self.total = settings.stage1_iterations if start is None else settings.stage2_iterations
        self.check_every = min(CHECK_EVERY, max(1, self.total // CHECKS))
        self.batch = settings.batch
        if start is not None:
            self.training.begin_from(start)
        self.checkpoint = Checkpoint(checkpoints, f"{stage}-{label}" if label else stage)
        state = self.checkpoint.load()
        if state is not None:
            self.training.load_state_dict(state)

    @property
    def left(self) -> int:
        """Rounds to go: none once the training has diverged."""
        return 0 if self.training.reason else self.total - self.training.iteration

    def advance(self) -> None:
        """One round, with a look at the health and the clock now and then."""
        training = self.training
        training.round()
        last = training.iteration == self.total
        if training.iteration % self.check_every == 0 or last:
            training.check(last)
        if training.reason or self.checkpoint.due or last:
            self.checkpoint.save(training.state_dict())

    def result(self) -> Trained:
        """What the finished training has made, with a line on stderr where it went wrong.

        Raises:
            InputError: it never had weights to keep.
        """
        result, reason = self.training.result(), self.training.reason
        if reason and not result.facts["iterations"]:
            raise InputError(
                f"{self.name}: {reason} by round {self.training.iteration}, before any weights were worth keeping; "
                "lower lr_generator and lr_discriminator of the source, or set its precision to float32"
            )
        if reason:
            print(f"{self.name}: {reason}; weights of round {result.facts['iterations']} kept", file=sys.stderr)
        return result


def _finish(run: _Run) -> Trained:
    """Advance one training to its end."""
    with progress(None, run.name, total=run.left) as bar:
        while run.left:
            with memory_bound(run.name, f"lower the batch of {run.batch} or narrow the networks"):
                run.advance()  # batch norm forbids to split the batch
            bar.update()
    return run.result()


def _finish_together(runs: Sequence[_Run]) -> list[Trained]:
    """Advance several trainings in turns, each on a CUDA stream of its own: small networks leave a GPU half empty.

    Each has its own random numbers, so that the weights are those of one after another.
    """
    on_gpu = runs[0].training.device.type == "cuda"
    streams = [torch.cuda.Stream() if on_gpu else None for _ in runs]
    if on_gpu:
        torch.cuda.synchronize()  # what the streams start from is there
    with progress(None, "gan stage2", total=sum(run.left for run in runs)) as bar:
        while any(run.left for run in runs):
            for run, stream in zip(runs, streams, strict=True):
                if run.left:
                    with torch.cuda.stream(stream):  # of None does nothing
                        run.advance()
                    bar.update()
    if on_gpu:
        torch.cuda.synchronize()
    return [run.result() for run in runs]
