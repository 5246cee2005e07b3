"""Training of the landmark network: MobileFaceNet learns 68 points, a generator of events.

Its features guide MMFRM, so it has to know where brows, eyes and mouth are, also in blurred, turned and
half-hidden faces; hence the augmentation. It writes half-precision `landmarks.safetensors`, with the input
convention and the error on held-out faces in the file's metadata.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmfrm.config import OptimConfig, RuntimeConfig
from mmfrm.control import Control
from mmfrm.events import (
    Checkpointed,
    Evaluated,
    Event,
    Finished,
    Notice,
    Progress,
    Started,
    StepDone,
    Stopped,
)
from mmfrm.failures import JobError
from mmfrm.jobs import LandmarksJob
from mmfrm.landmark_augment import augmented
from mmfrm.landmark_faces import LEFT_EYE_OUTER, POINTS, RIGHT_EYE_OUTER, LandmarkFaces, open_landmark_faces
from mmfrm.meanwhile import meanwhile
from mmfrm.nn import MobileFaceNet
from mmfrm.nn.landmark_weights import InputConvention, Normalise, save_landmark_weights
from mmfrm.optim import AveragedWeights, Schedule, load_optimizer_state, make_optimizer, set_rate
from mmfrm.progress import Meter
from mmfrm.resume import LAST, restore_checkpoint, save_checkpoint
from mmfrm.runtime import Runtime, prepare, set_seed

Features = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]

SIDE = 112
WEIGHTS = "landmarks.safetensors"
CHECKPOINT_SECONDS = 60.0
EMA = 0.998
CLIP = 5.0
CONVENTION = InputConvention(mean=(127.5, 127.5, 127.5), std=(128.0, 128.0, 128.0))  # RGB to −1 … 1


def train_landmarks(folder: Path, job: LandmarksJob, control: Control) -> Iterator[Event]:
    """Do, or go on with, a LandmarksJob. Raises JobError with the remedy where it cannot."""
    runtime = prepare(RuntimeConfig(seed=job.seed, compile=job.compile))
    faces = yield from meanwhile(partial(_open_faces, job, folder))
    yield from LandmarkTraining(folder, job, faces, runtime, control).events()


def _open_faces(job: LandmarksJob, folder: Path, *, progress: Any) -> LandmarkFaces:
    meters: list[Meter] = []

    def tell(done: int, total: int) -> None:
        meter = meters[0] if meters else Meter(total, phase="decoding")
        meters[:] = [meter]
        meter.add(done - meter.done)
        if meter.is_due():
            progress(meter.say())

    return open_landmark_faces(job.data, job.points, folder / "cache", tell)


class LandmarkTraining:
    """The state of a training, and its epochs."""

    def __init__(
        self, folder: Path, job: LandmarksJob, faces: LandmarkFaces, runtime: Runtime, control: Control
    ) -> None:
        if len(faces.parts["train"]) < 2:
            raise JobError("Fewer than two training faces have points.", resumable=False)
        set_seed(job.seed)
        self._folder, self._job, self._control = folder, job, control
        self._faces, self._runtime = faces, runtime
        self._network = point_network(faces.points[faces.parts["train"]])
        self._input = Normalise(CONVENTION).to(runtime.device)
        runtime.place(self._network)
        self._average = AveragedWeights(self._network, EMA)
        self._features = self._network.features
        if runtime.compile:
            self._features = torch.compile(self._network.features, dynamic=False)
        self._batch = min(job.batch_size, len(faces.parts["train"]))
        self._steps_per_epoch = len(faces.parts["train"]) // self._batch
        config = OptimConfig(
            epochs=job.epochs,
            learning_rate=job.learning_rate,
            weight_decay=0.01,
            warmup_steps=min(200, job.epochs * self._steps_per_epoch // 10),
        )
        self._optimizer = make_optimizer(self._network, config)
        self._schedule = Schedule(config, self._steps_per_epoch)
        self._step = 0
        self._figures: dict[str, Any] = {}

    def events(self) -> Iterator[Event]:
        """Everything that happens, from where the last checkpoint was."""
        problems = self._restore()
        yield Started(resumed=self._step > 0, facts=self._facts())
        for problem in problems:
            yield Notice(text=problem, level="warning")
        total = self._job.epochs * self._steps_per_epoch
        while self._step < total:
            yield from self._rest_of_epoch()
            if self._control.stop_requested():
                yield self._checkpoint()
                yield Stopped(reason=self._control.reason)
                return
            yield from self._judge("val")
            yield self._checkpoint()
        yield from self._judge("test")
        path = self._write()
        yield Finished(result={"weights": path.name, **self._figures})

    def _rest_of_epoch(self) -> Iterator[Event]:
        epoch = self._step // self._steps_per_epoch
        order = np.random.default_rng([self._job.seed, epoch]).permutation(self._faces.parts["train"])
        start = self._step % self._steps_per_epoch
        later = (self._job.epochs - epoch - 1) * len(order)
        meter = Meter(len(order), phase=f"epoch {epoch + 1}", done=start * self._batch)
        saved_at, loss, norm, steps = time.monotonic(), torch.zeros(()), torch.zeros(()), 0
        for index in range(start, self._steps_per_epoch):
            if self._control.stop_requested():
                return
            step_loss, step_norm = self._one_step(order[index * self._batch : (index + 1) * self._batch])
            loss, norm, steps = loss + step_loss.cpu(), norm + step_norm.cpu(), steps + 1
            meter.add(self._batch)
            if meter.is_due():
                yield self._said(epoch, float(loss) / steps, float(norm) / steps, meter)
                yield meter.say(later)
                loss, norm, steps = torch.zeros(()), torch.zeros(()), 0
            if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                yield self._checkpoint()
                saved_at = time.monotonic()

    def _one_step(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Loss and gradient norm of a step on these faces."""
        # Drawn from the step's own seed, so a resumed training sees what it would have seen.
        generator = torch.Generator().manual_seed(self._job.seed * 1_000_003 + self._step)
        images, points = augmented(*self._faces_at(chosen), generator)
        set_rate(self._optimizer, self._schedule.rate(self._step))
        loss = wing_loss(self._points_of(self._features, self._network, images), self._runtime.send(points))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._network.parameters(), CLIP)
        self._optimizer.step()
        self._average.update(self._step)
        self._step += 1
        return loss.detach(), norm

    def _faces_at(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        at = np.sort(chosen)  # the disk likes going one way
        return torch.from_numpy(self._faces.images[at]), torch.from_numpy(self._faces.points[at])

    def _points_of(self, features: Features, network: MobileFaceNet, images: Tensor) -> Tensor:
        """Pixels (B, 68, 2) for images float 0…255 (B, 3, 112, 112)."""
        x = self._input(self._runtime.send(images)).contiguous(memory_format=self._runtime.memory_format)
        with self._runtime.autocast():
            feature3 = features(x)[2]
        # Outside of autocast: bf16 has three digits, which would be half a pixel.
        out: Tensor = network.output_layer(feature3.float())  # type: ignore[misc]  # it has a head
        return out.view(-1, POINTS, 2) * SIDE

    def _judge(self, part: str) -> Iterator[Event]:
        """Errors of the averaged weights on a held-out part."""
        positions = self._faces.parts[part]
        if not len(positions):
            return
        average = self._average.network
        errors = []
        meter = Meter(len(positions), phase=f"looking at {part}")
        for start in range(0, len(positions), 128):
            chosen = positions[start : start + 128]
            images, points = self._faces_at(chosen)
            with torch.no_grad():
                found = self._points_of(average.features, average, images.expand(-1, 3, -1, -1).float())
            errors.append(point_errors(found.cpu(), points))
            meter.add(len(chosen))
            if meter.is_due():
                yield meter.say()
        self._figures[part] = summary(torch.cat(errors))
        yield Evaluated(split=part, figures=self._figures[part])

    def _said(self, epoch: int, loss: float, norm: float, meter: Meter) -> StepDone | Progress:
        if not np.isfinite(loss):
            raise JobError(
                "The loss is no longer a number. Lower the learning rate; the last checkpoint is from before."
            )
        return StepDone(
            step=self._step - 1,
            epoch=epoch,
            loss=loss,
            learning_rate=self._schedule.rate(self._step - 1),
            gradient_norm=norm,
            images_per_second=meter.rate,
        )

    def _checkpoint(self) -> Checkpointed:
        save_checkpoint(
            self._folder,
            {
                "identity": self._identity(),
                "step": self._step,
                "network": self._network.state_dict(),
                "average": self._average.network.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "figures": self._figures,
            },
        )
        return Checkpointed(path=LAST, epoch=self._step // self._steps_per_epoch, step=self._step)

    def _restore(self) -> tuple[str, ...]:
        restored = restore_checkpoint(self._folder)
        state = restored.state
        if state is None:
            return restored.problems
        if state["identity"] != self._identity():
            raise JobError(
                f"{self._folder} holds a training with other settings or other faces. Choose another folder.",
                resumable=False,
            )
        self._network.load_state_dict(state["network"])
        self._average.network.load_state_dict(state["average"])
        load_optimizer_state(self._optimizer, state["optimizer"])
        self._step, self._figures = state["step"], state["figures"]
        return restored.problems

    def _identity(self) -> dict[str, Any]:
        """What must not change between attempts. The places of the data may."""
        recipe = dataclasses.asdict(self._job)
        for name in ("data", "points", "compile"):
            del recipe[name]
        return {"recipe": recipe, "data_fingerprint": self._faces.fingerprint}

    def _facts(self) -> dict[str, Any]:
        counts = {part: len(positions) for part, positions in self._faces.parts.items()}
        return self._runtime.facts() | {"counts": counts, "faces": self._faces.report} | self._identity()

    def _write(self) -> Path:
        path = self._folder / WEIGHTS
        state = dict(self._average.network.state_dict())
        facts = {"errors_over_outer_eye_distance": self._figures, **self._identity()}
        save_landmark_weights(path, state, CONVENTION, facts)
        return path


def point_network(points: NDArray[np.float32]) -> MobileFaceNet:
    """A MobileFaceNet whose untrained answer is the mean face, and whose head keeps to that scale.

    Outputs are x and y in turn, as shares of the side. The head's last norm stays in eval mode for good: as
    a fixed affine map from the linear layer to the points. With batch statistics it would force the mean of
    every batch's points to be the same.
    """
    network = MobileFaceNet(outputs=2 * POINTS, classes=0)
    flat = torch.from_numpy(points.reshape(len(points), -1)) / SIDE
    head = network.output_layer
    assert head is not None  # noqa: S101 (for the type checker: it was asked for)
    with torch.no_grad():
        head.bn.bias.copy_(flat.mean(0))
        head.bn.weight.copy_(flat.std(0) + 0.02)  # augmentation moves points further than they lie apart
    head.bn.eval()
    return network


def wing_loss(found: Tensor, true: Tensor, width: float = 10.0, bend: float = 2.0) -> Tensor:
    """Wing loss of (B, 68, 2) pixels (Feng et al., CVPR 2018, arXiv 1711.06753): logarithmic near zero."""
    error = (found - true).abs()
    offset = width - width * float(np.log1p(width / bend))
    return torch.where(error < width, width * torch.log1p(error / bend), error - offset).mean()


def point_errors(found: Tensor, true: Tensor) -> Tensor:
    """(B,) mean distance over the 68 points of a face, as a share of the outer-eye distance."""
    eyes = (true[:, LEFT_EYE_OUTER] - true[:, RIGHT_EYE_OUTER]).norm(dim=1)
    errors: Tensor = (found - true).norm(dim=2).mean(1) / eyes.clamp(min=1.0)
    return errors


def summary(errors: Tensor) -> dict[str, float]:
    """Figures of the errors of a part."""
    return {
        "count": len(errors),
        "median": errors.median().item(),
        "mean": errors.mean().item(),
        "p90": errors.quantile(0.9).item(),
        "above_tenth": (errors > 0.1).float().mean().item(),
    }
