"""Steps of a training with nothing to learn from but noise: as fast as with faces, and needing no data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mmfrm.config import TrainConfig
from mmfrm.ddp import Group
from mmfrm.evaluate import answer
from mmfrm.images import SIDE
from mmfrm.learner import Learner
from mmfrm.nn import FaceNetwork
from mmfrm.runtime import Runtime

LEAST_STEPS = 2  # of each kind, beside the first, which is not counted: it allocates and chooses algorithms
VALIDATED_AT_ONCE = 64


class Rehearsal:
    """A learner whose steps are timed."""

    def __init__(self, network: FaceNetwork, config: TrainConfig, *, classes: int, runtime: Runtime) -> None:
        self._config, self._runtime, self._classes = config, runtime, classes
        self.learner = Learner(
            network,
            config,
            runtime=runtime,
            processes=Group(),
            class_counts=torch.ones(classes),
            steps_per_epoch=1000,
        )
        self.seconds = 0.0  # of an image, of what was measured last
        self.memory_bytes = 0  # the most so far

    def warm(self, side: int | None, patience: float) -> Iterator[None]:
        """Time training steps at a side, or validation (None); gives way between two steps."""
        batch = self._config.optim.batch_size if side is not None else VALIDATED_AT_ONCE
        images = torch.randint(0, 256, (batch, 3, SIDE, SIDE), dtype=torch.uint8)
        step = self._validation(images) if side is None else self._training(images, side)
        step()
        yield
        start, steps = time.perf_counter(), 0
        while steps < LEAST_STEPS or time.perf_counter() - start < patience:
            step()
            steps += 1
            self.memory_bytes = max(self.memory_bytes, self._runtime.memory_bytes())
            yield
        self.seconds = (time.perf_counter() - start) / (steps * batch)

    def _training(self, images: Tensor, side: int) -> Callable[[], None]:
        targets = torch.arange(len(images)) % self._classes
        active = self._config.loss.rfloss != "off"

        def step() -> None:
            self.learner.step(images, targets, side=side, rfloss_active=active)
            self._runtime.synchronize()

        return step

    def _validation(self, images: Tensor) -> Callable[[], None]:
        network = self.learner.answering.eval()

        def step() -> None:
            answer(network, self._runtime.send(images), self._runtime)
            self._runtime.synchronize()

        return step
