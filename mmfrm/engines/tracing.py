"""A model as one function from a batch of pixels to logits, in forms that other programs read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from mmfrm.checkpoint import load_model


class LogitsOfPixels(nn.Module):
    """(B, 112, 112, 3) uint8 -> logits (B, K): how decoders lay out pixels, and what predictions need."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> Tensor:
        _, logits = self.network(faces.permute(0, 3, 1, 2))
        return logits  # type: ignore[no-any-return]


def load_for_inference(folder: Path) -> LogitsOfPixels:
    """A model folder's network on the CPU, in eval mode and without gradient."""
    network = load_model(folder).network
    return LogitsOfPixels(network).eval().requires_grad_(False)


def traced(network: nn.Module, shape: list[int], dtype: str) -> torch.jit.ScriptModule:
    """A network in eval mode as a frozen TorchScript module, for inputs of this shape and "uint8", "float32".

    By torch.jit rather than torch.export, which takes OpenVINO twice as long to convert.
    """
    example = torch.zeros(2, *shape, dtype=getattr(torch, dtype))
    with one_thread(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        frozen: torch.jit.ScriptModule = torch.jit.freeze(module)
        return frozen


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch uses one thread: for small work, waking others costs more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
