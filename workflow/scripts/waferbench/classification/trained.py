"""A trained classifier from its checkpoint, checked against the network and the classes that it is to tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from waferbench.base.artifacts import read_provenance, read_weights
from waferbench.base.errors import InputError
from waferbench.classification.symmetries import Symmetric
from waferbench.classification.train import Normaliser
from waferbench.config.classification import ClassifierInput, ClassifierUse
from waferbench.config.stages import WeightSearch
from waferbench.learning.backbones import create_backbone


def load_classifier(
    checkpoint: str | Path,
    backbone: str,
    labels: Sequence[str],
    classifier: ClassifierInput,
    levels: Sequence[int],
    weights: WeightSearch,
) -> tuple[nn.Module, Normaliser]:
    """A cell's network with its trained weights, in evaluation mode on the CPU, and what turns greys into its input.

    Args:
        checkpoint: ``checkpoint.safetensors`` of the cell.
        labels: slugs of the classes that it must tell apart.
        classifier: the input that it was trained on. Given as `ClassifierUse`, the network comes as it is to be asked,
            over a wafer's symmetries where that says so; else it comes bare.
        levels: grey of off-wafer, passing, failing.
        weights: of which the manifest's mean and deviation are used.

    Raises:
        InputError: not a weight file, or weights of another network or of another number of classes.
    """
    try:
        state = read_weights(checkpoint)
        cell = read_provenance(checkpoint).get("cell", {})
    except Exception as error:  # safetensors reports damage by a type of its own, missing files by another
        raise InputError(f"{checkpoint}: not a readable checkpoint ({error}); delete it and rerun the study") from error
    if cell.get("backbone", backbone) != backbone:
        raise InputError(f"{checkpoint}: weights of {cell['backbone']!r}, expected {backbone!r}; rerun the study")
    model, mean, std = create_backbone(backbone, len(labels), False, weights, classifier.image_size)
    _require_tensors(checkpoint, state, model.state_dict(), backbone, labels)
    model.load_state_dict(state)
    symmetric = isinstance(classifier, ClassifierUse) and classifier.symmetries
    asked = Symmetric(model) if symmetric else model
    return asked.eval(), Normaliser(mean, std, classifier.image_size, classifier.input, levels)


def _require_tensors(path: str | Path, state: Mapping, wanted: Mapping, backbone: str, labels: Sequence[str]) -> None:
    """`InputError` where a checkpoint is not exactly the tensors of the network."""
    missing, strange = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    network = f"{backbone} of {len(labels)} classes"
    if missing or strange:
        what = f"no tensor {missing[0]!r}" if missing else f"the tensor {strange[0]!r}"
        raise InputError(
            f"{path}: {what}; {len(missing)} missing and {len(strange)} too many, expected the {len(wanted)} of "
            f"{network}; rerun the study"
        )
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            raise InputError(
                f"{path}: tensor {name!r} has the shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)} of "
                f"{network}; dataset.classes may have changed: rerun the study"
            )
