"""What a training would cost on this machine: a few of its steps, on noise, before it starts."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

import torch

from mmfrm.checkpoint import save_model
from mmfrm.classes import EXPRESSIONS
from mmfrm.config import TrainConfig
from mmfrm.control import Control
from mmfrm.ddp import Group
from mmfrm.evaluate import answer
from mmfrm.events import Event, Finished, Progress, Started, Stopped
from mmfrm.growth import image_side
from mmfrm.images import SIDE
from mmfrm.jobs import EstimateJob
from mmfrm.learner import Learner
from mmfrm.nn import build_network
from mmfrm.resume import save_checkpoint
from mmfrm.runtime import Runtime, prepare

LEAST_STEPS = 2  # of each kind, beside the first, which is not counted: it allocates and chooses algorithms
VALIDATED_AT_ONCE = 64


def estimate(folder: Path, job: EstimateJob, control: Control) -> Iterator[Event]:
    """Do an EstimateJob. Writes estimate.json; its figures are also the result:

    train_seconds, eval_seconds: of an image, in training (the mean over the epochs, whose images may grow)
    and in validation; memory_bytes: at most; disk_bytes: of all that a run keeps. Reading the data set is
    not in it: the cache feeds several times what a network consumes.
    """
    runtime = prepare(job.config.runtime)
    yield Started(facts=runtime.facts())
    rehearsal = Rehearsal(job, runtime)
    sides = [image_side(job.config.optim, epoch) for epoch in range(job.config.optim.epochs)]
    kinds = [*sorted(set(sides)), None]  # None: validation
    seconds: dict[int | None, float] = {}
    for done, side in enumerate(kinds):
        phase = "validating" if side is None else f"training at {side} pixels"
        yield Progress(done=done, total=len(kinds), unit="figures", phase=phase)
        for _ in rehearsal.warm(side, job.seconds):
            if control.stop_requested():
                yield Stopped(reason=control.reason)
                return
        seconds[side] = rehearsal.seconds
    yield Progress(done=len(kinds), total=len(kinds), unit="figures")
    result = {
        "train_seconds": fmean(seconds[side] for side in sides),
        "eval_seconds": seconds[None],
        "memory_bytes": rehearsal.memory_bytes,
        "disk_bytes": rehearsal.disk_bytes(folder / "kept"),
    }
    part = folder / "estimate.json.part"
    part.write_text(json.dumps(result | {"facts": runtime.facts()}, indent=2) + "\n")
    part.replace(folder / "estimate.json")
    yield Finished(result=result)


class Rehearsal:
    """A learner with nothing to learn from but noise; as fast as one with faces."""

    def __init__(self, job: EstimateJob, runtime: Runtime) -> None:
        self._config: TrainConfig = job.config
        self._runtime = runtime
        self._classes = job.classes
        self._learner = Learner(
            build_network(job.config.network, job.classes),
            job.config,
            runtime=runtime,
            processes=Group(),
            class_counts=torch.ones(job.classes),
            steps_per_epoch=1000,
        )
        self.seconds = 0.0  # of an image, of what was measured last
        self.memory_bytes = 0

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

    def disk_bytes(self, folder: Path) -> int:
        """What a run keeps, which is written for once: two checkpoints, and the best model."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            checkpoint = save_checkpoint(folder, {"learner": self._learner.state()}).stat().st_size
            names = (EXPRESSIONS * 8)[: self._classes]
            names = tuple(f"{name} {i}" for i, name in enumerate(names))
            save_model(
                folder / "model",
                self._learner.answering,
                classes=names,
                config=self._config.network,
                card={},
            )
            model = sum(file.stat().st_size for file in (folder / "model").iterdir())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return 2 * checkpoint + model

    def _training(self, images: torch.Tensor, side: int) -> Callable[[], None]:
        targets = torch.arange(len(images)) % self._classes
        active = self._config.loss.rfloss != "off"

        def step() -> None:
            self._learner.step(images, targets, side=side, rfloss_active=active)
            self._runtime.synchronize()

        return step

    def _validation(self, images: torch.Tensor) -> Callable[[], None]:
        network = self._learner.answering.eval()

        def step() -> None:
            answer(network, self._runtime.send(images), self._runtime)
            self._runtime.synchronize()

        return step
