"""A training small enough for tests: a handful of drawn faces, a narrow network, steps of milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmfrm.config import TrainConfig
from mmfrm.control import Control
from mmfrm.data.drawn import draw
from mmfrm.events import EpochEnd, Event, Finished
from mmfrm.jobs import DrawJob, TrainJob
from mmfrm.presets import presets
from mmfrm.settings import replace
from mmfrm.train import train

SMALLEST = {
    "network.fusion": "none",
    "network.width": 0.125,
    "optim.epochs": 2,
    "optim.batch_size": 8,
    "optim.ema": 0.9,
    "optim.warmup_steps": 4,
    "loss.rfloss_start": 0.5,
    "runtime.deterministic": True,
    "runtime.threads": 1,
    "data.max_train": 56,
    "data.max_eval": 24,
}
STEPS = 14  # of the two epochs together
TIMES = ("seconds", "images_per_second", "memory_bytes", "data_wait")  # figures that no seed can repeat


def smallest(**changes: Any) -> TrainConfig:
    """The smallest sensible training; changes as optim__epochs=3."""
    return replace(presets()["quick-look"], SMALLEST | {k.replace("__", "."): v for k, v in changes.items()})


@pytest.fixture(scope="session")
def drawn_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A native data set of 140 drawn faces."""
    folder = tmp_path_factory.mktemp("drawn") / "faces"
    events = list(draw(folder, DrawJob(out=str(folder), count=140, seed=5), Control()))
    assert isinstance(events[-1], Finished)
    return folder


def trained(
    folder: Path,
    data: Path,
    config: TrainConfig,
    *,
    until: Callable[[Event], bool] = lambda event: False,
    **job: Any,
) -> list[Event]:
    """Events of a training, up to one where it is dropped as a kill would drop it: without a word."""
    folder.mkdir(parents=True, exist_ok=True)
    told = []
    for event in train(folder, TrainJob(data=str(data), config=config, **job), Control()):
        told.append(event)
        if until(event):
            break
    return told


def epoch_ends(events: list[Event]) -> dict[int, dict[str, Any]]:
    """Figures by epoch, without the times; a later one replaces an earlier one, as every reader does it."""
    ends = {e.epoch: e.payload() for e in events if isinstance(e, EpochEnd)}
    return {k: {name: v for name, v in end.items() if name not in TIMES} for k, end in ends.items()}


def same_tensors(a: Any, b: Any) -> bool:
    """Whether two trees hold the same bits."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_tensors(v, b[k]) for k, v in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_tensors, a, b))
    return bool(a == b)
