"""A classifier as an ONNX file: greys in, calibrated probabilities and features out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from waferbench.base.artifacts import KEY
from waferbench.base.errors import InputError
from waferbench.base.files import atomic, canonical_json
from waferbench.classification.predict.model import Exported

INPUT, OUTPUTS = "grey", ("probabilities", "features")
TOLERANCE = 1e-3  # largest difference between the two runtimes, of probabilities, and of features by their deviation


def export_onnx(module: Exported, size: int, path: str | Path, metadata: Mapping, provenance: Mapping) -> None:
    """Write the module: input ``grey`` float32 (N, size, size) of 0-255, outputs ``probabilities``, ``features``.

    Args:
        size: edge in pixels of the images that the classifier was trained on.
        metadata: facts that the file carries, each as JSON; ``provenance`` as ``waferbench``.
    """
    module = module.cpu().eval()
    with torch.inference_mode():
        program = torch.onnx.export(
            module,
            (torch.zeros(2, size, size),),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("wafers", min=1)},),
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    _strip_traces(model.graph)
    onnx.helper.set_model_props(
        model, {**{name: canonical_json(value) for name, value in metadata.items()}, KEY: canonical_json(provenance)}
    )
    onnx.checker.check_model(model)
    with atomic(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _strip_traces(graph: onnx.GraphProto) -> None:
    """Take out where in the source each node came from: paths of this machine, which differ on the next one."""
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
    del graph.metadata_props[:]


def check_parity(path: str | Path, module: Exported, images: np.ndarray) -> float:
    """The largest difference between the file in onnxruntime and the module in torch.

    Args:
        images: uint8 (N, S, S).

    Returns:
        The largest of the differences of the probabilities, and of the features in standard deviations.

    Raises:
        InputError: a difference above `TOLERANCE`.
    """
    grey = images.astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = session.run(list(OUTPUTS), {INPUT: grey})
    with torch.inference_mode():
        expected = [part.numpy() for part in module(torch.from_numpy(grey))]
    scales = (1.0, float(expected[1].std()) or 1.0)
    worst = max(float(np.abs(a - b).max()) / s for a, b, s in zip(found, expected, scales, strict=True))
    if not worst <= TOLERANCE:
        raise InputError(f"{path}: onnxruntime and torch differ by {worst:.2g}, expected at most {TOLERANCE}")
    return worst
