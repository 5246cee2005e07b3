"""A model as an ONNX file for other programs, and the proof that it answers the same."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmfrm.card import temperature_of
from mmfrm.checkpoint import Model, load_model
from mmfrm.engines.tracing import one_thread
from mmfrm.images import SIDE
from mmfrm.machine import allowed_threads

OPSET = 18
BATCH = 32  # faces compared at once


class AnswersOfPixels(nn.Module):
    """(B, 3, 112, 112) uint8 RGB -> probabilities (B, K), logits (B, K), α (B, 1).

    The probabilities are those at the model's temperature, the logits are as they come.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.network
        self.temperature = temperature_of(model.card) or 1.0

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        alpha, logits = self.network(rgb)
        return (logits / self.temperature).softmax(1), logits, alpha


def write_onnx(model_folder: Path, path: Path) -> None:
    """Write a model as ONNX: input `rgb` (batch, 3, 112, 112) uint8, any batch; outputs `probabilities`,
    `logits`, `alpha`; the classes in the file's metadata. Normalisation is inside."""
    model = load_model(model_folder)
    network = AnswersOfPixels(model).eval().requires_grad_(False)
    # Two, since torch takes a batch of one for a constant.
    example = torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that we do without
    with one_thread(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["rgb"],
            output_names=["probabilities", "logits", "alpha"],
            dynamic_shapes={"rgb": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    assert program is not None  # noqa: S101 (dynamo=True always returns one)
    program.model.metadata_props["classes"] = json.dumps(list(model.classes))
    part = path.with_name(path.name + ".part")
    program.save(part, external_data=False)
    part.replace(path)


def onnx_difference(model_folder: Path, path: Path, rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
    """Largest difference of any probability between torch in fp32 and ONNX Runtime.

    Over faces (n, 3, 112, 112). Batches of several sizes are asked for, so that a file that works for
    one size only is found out.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = allowed_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    network = AnswersOfPixels(load_model(model_folder)).eval()
    largest, start, size = 0.0, 0, 1
    while start < len(rgb):
        batch = rgb[start : start + size]
        with torch.inference_mode():
            expected = network(torch.from_numpy(batch))[0].numpy()
        found = session.run(["probabilities"], {"rgb": batch})[0]
        largest = max(largest, float(np.abs(found - expected).max()))
        start, size = start + size, min(2 * size, BATCH)
    return largest
