"""What every engine of prediction does: pixels in, logits out, a fixed batch at a time. No torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

Faces = np.ndarray[Any, np.dtype[np.uint8]]  # (n, 112, 112, 3) RGB
Logits = np.ndarray[Any, np.dtype[np.float32]]  # (n, K)


class EngineError(RuntimeError):
    """An engine cannot work here (a package is missing, the hardware refuses); another one may."""


class Engine(ABC):
    """Computes a network's logits with one program in one precision.

    Batches are filled up to `batch_size` before they are computed, so that the answer for a face does
    not depend on how many others came with it.
    """

    name: str  # program-precision: openvino-bf16

    def __init__(self, classes: tuple[str, ...], threads: int, batch_size: int) -> None:
        self.classes = classes
        self.threads = threads
        self.batch_size = batch_size

    @abstractmethod
    def stream(self, batches: Iterable[Faces]) -> Iterator[Logits]:
        """Logits of each batch (of at most `batch_size` faces), in order, several being computed at once."""

    def logits(self, faces: Faces) -> Logits:
        """Logits (n, K) of any number of faces."""
        parts = (faces[i : i + self.batch_size] for i in range(0, len(faces), self.batch_size))
        found = list(self.stream(parts))
        return np.concatenate(found) if found else np.zeros((0, len(self.classes)), np.float32)

    def close(self) -> None:  # noqa: B027 (most engines have nothing to let go of)
        """Let go of threads and memory."""

    def filled(self, faces: Faces) -> Faces:
        """A batch of exactly `batch_size`, the last face repeated."""
        missing = self.batch_size - len(faces)
        if missing == 0:
            return np.ascontiguousarray(faces)
        return np.concatenate([faces, np.repeat(faces[-1:], missing, axis=0)])
