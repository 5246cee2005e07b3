"""Figures of a network on a split: within a training, and of any model on any data set."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmfrm.calibration import Answers
from mmfrm.card import temperature_of
from mmfrm.checkpoint import load_model
from mmfrm.classes import mapping_indices
from mmfrm.config import DataConfig, LossConfig, RuntimeConfig
from mmfrm.control import Control
from mmfrm.data import Faces, FaceSplit, open_faces
from mmfrm.data.native import write_whole
from mmfrm.ddp import Group
from mmfrm.engines.frozen import place
from mmfrm.events import Evaluated, Event, Finished, Progress, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.held_out import carving_of, doubts
from mmfrm.jobs import EvaluateJob
from mmfrm.loss import Criterion
from mmfrm.meanwhile import meanwhile
from mmfrm.progress import Meter
from mmfrm.runtime import Runtime, prepare
from mmfrm.schema import ConfigError
from mmfrm.statistics import SplitStatistics


@dataclass(frozen=True)
class View:
    """Some images of a split, with targets in the vocabulary of a network."""

    split: FaceSplit
    positions: np.ndarray[Any, np.dtype[np.int64]]  # (n,) into the split
    targets: Tensor  # (n,) int64 or (n, K) float

    @classmethod
    def whole(cls, split: FaceSplit) -> View:
        """Every image, with the split's own targets."""
        return cls(split, np.arange(len(split)), split.targets)

    def __len__(self) -> int:
        return len(self.positions)


def measure(
    network: nn.Module,
    views: Sequence[View],
    statistics: SplitStatistics | Answers,
    criterion: Criterion,
    *,
    runtime: Runtime,
    control: Control,
    batch_size: int,
    processes: Group | None = None,
    flip_average: bool = False,
    temperature: float = 1.0,
    rfloss_active: bool = False,
    phase: str = "evaluating",
    seconds_after: float = 0.0,
) -> Generator[Progress, None, bool]:
    """Let a network answer, and gather its figures in `statistics`. Returns False where it was stopped.

    Every process of a group takes its part of the images; the statistics are of all of them.
    `seconds_after`: of what comes after it, for the time left.
    """
    processes = processes or Group()
    meter = Meter(sum(map(len, views)), phase=phase)
    network.eval()
    for view in views:
        mine = processes.part_of(np.arange(len(view)))
        for start in range(0, len(mine), batch_size):
            if processes.world == 1 and control.stop_requested():
                return False
            chosen = mine[start : start + batch_size]
            images, _ = view.split.batch(view.positions[chosen])
            targets = runtime.send(view.targets[torch.from_numpy(chosen)])
            alpha, logits = answer(network, runtime.send(images), runtime, flip_average, temperature)
            with torch.no_grad():
                parts = criterion(logits, targets, rfloss_active)
            statistics.update(logits, targets, alpha, parts)
            meter.add(len(chosen) * processes.world)
            if meter.is_due():
                yield meter.say(seconds_after=seconds_after)
    statistics.gather()
    return True


@torch.inference_mode()
def answer(
    network: nn.Module,
    images: Tensor,
    runtime: Runtime,
    flip_average: bool = False,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """α (B, 1) and logits (B, K), float32, of (B, 3, 112, 112) uint8 on the device.

    `flip_average`: at the temperature, the logits' probabilities are the mean of those of the face and of its
    mirror image, as `mmfrm predict` says them.
    """
    with runtime.autocast():
        alpha, logits = network(images)
    alpha, logits = alpha.float(), logits.float()
    if not flip_average:
        return alpha, logits
    other_alpha, other_logits = answer(network, images.flip(-1), runtime)
    mean = ((logits / temperature).softmax(1) + (other_logits / temperature).softmax(1)) / 2
    return (alpha + other_alpha) / 2, temperature * mean.clamp_min(1e-12).log()


def mapped(split: FaceSplit, indices: Sequence[int | None], classes: int) -> View:
    """A split in another vocabulary. `indices`: the new index of each class, None leaves it out.

    Of a distribution, what falls on classes left out is dropped and the rest scaled to 1.
    """
    if split.targets.is_floating_point():
        moved = torch.zeros(len(split), classes)
        for old, new in enumerate(indices):
            if new is not None:
                moved[:, new] += split.targets[:, old]
        mass = moved.sum(1, keepdim=True)
        kept = mass[:, 0] > 0
        targets = moved[kept] / mass[kept]
    else:
        table = torch.tensor([-1 if i is None else i for i in indices])
        moved = table[split.targets]
        kept = moved >= 0
        targets = moved[kept]
    return View(split, np.flatnonzero(kept.numpy()), targets)


def evaluate(folder: Path, job: EvaluateJob, control: Control) -> Iterator[Event]:
    """Do an EvaluateJob: writes figures.json beside job.json."""
    runtime = prepare(RuntimeConfig())
    model = load_model(Path(job.model))
    data = DataConfig(label_rule=job.label_rule, leave_out_leaks=False, **carving_of(model.card))
    faces = yield from meanwhile(partial(open_faces, job.data, data))
    views = _views(job, faces, model.classes)
    place(model.network, runtime)
    yield Started(facts=_facts(job, faces, views, runtime))
    yield from doubts(faces, [name for name in faces.splits if job.split in (name, "all")], [model.card])
    statistics = SplitStatistics(model.classes, temperature_of(model.card))
    criterion = Criterion(LossConfig(), torch.ones(len(model.classes))).to(runtime.device)
    finished = yield from measure(
        model.network,
        views,
        statistics,
        criterion,
        runtime=runtime,
        control=control,
        batch_size=job.batch_size,
        flip_average=job.flip_average,
        temperature=temperature_of(model.card) or 1.0,
    )
    if not finished:
        yield Stopped(reason=control.reason)
        return
    figures = statistics.figures()
    evaluated = Evaluated(split=job.split, figures=figures)
    _write_figures(folder, job, faces, evaluated)
    yield evaluated
    headline = {k: figures[k] for k in ("count", "accuracy", "mean_class_accuracy", "macro_f1")}
    yield Finished(result={"figures": "figures.json", **headline})


def _views(job: EvaluateJob, faces: Faces, classes: Sequence[str]) -> list[View]:
    names = list(faces.splits) if job.split == "all" else [job.split]
    if not set(names) <= set(faces.splits):
        raise ConfigError("split", f"the data set has no {job.split}; it has {', '.join(faces.splits)}, all")
    try:
        indices = mapping_indices(faces.classes, classes, job.mapping)
    except ValueError as error:
        raise ConfigError("mapping", str(error)) from error
    views = [mapped(faces.splits[name], indices, len(classes)) for name in names]
    if not sum(map(len, views)):
        raise JobError(
            "No image is left to evaluate: the data set and the model share no class "
            f"({', '.join(faces.classes)}; {', '.join(classes)}). Give a mapping with --map.",
            resumable=False,
        )
    return views


def _facts(job: EvaluateJob, faces: Faces, views: Sequence[View], runtime: Runtime) -> dict[str, Any]:
    count = sum(map(len, views))
    return {
        **runtime.facts(),
        "images": count,
        "left_out": sum(len(v.split) for v in views) - count,
        "data_fingerprint": faces.fingerprint,
    }


def _write_figures(folder: Path, job: EvaluateJob, faces: Faces, evaluated: Evaluated) -> None:
    content = {
        **evaluated.payload(),
        "job": asdict(job),
        "data_classes": list(faces.classes),
        "data_fingerprint": faces.fingerprint,
    }
    write_whole(folder / "figures.json", json.dumps(content, indent=2, allow_nan=False) + "\n")
