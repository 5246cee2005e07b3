"""`estimate` measures what a training would cost before it starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmfrm.control import Control
from mmfrm.estimate import estimate
from mmfrm.events import Finished, Progress, Stopped
from mmfrm.jobs import EstimateJob
from tests.mmfrm.training import drawn_faces, smallest, trained

__all__ = ["drawn_faces"]


def test_the_disk_is_what_a_run_keeps_and_larger_images_take_longer(
    tmp_path: Path, drawn_faces: Path
) -> None:
    config = smallest()
    run, folder = tmp_path / "run", tmp_path / "estimate"
    folder.mkdir()
    trained(run, drawn_faces, config)
    # Long enough that what others do to the machine meanwhile does not turn the two times around.
    events = list(estimate(folder, EstimateJob(config=config, classes=7, seconds=0.5), Control()))
    assert isinstance(events[-1], Finished)
    told = events[-1].result
    kept = sum(p.stat().st_size for p in run.rglob("*") if p.suffix in (".ckpt", ".safetensors", ".json"))
    assert told["disk_bytes"] == pytest.approx(kept, rel=0.05)
    assert 0 < told["eval_seconds"] < told["train_seconds"]
    assert told["memory_bytes"] > 50 * 2**20  # torch alone needs more
    assert told.items() <= json.loads((folder / "estimate.json").read_text()).items()
    assert not (folder / "kept").exists()


def test_growing_images_are_measured_at_each_of_their_sides(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    config = smallest(optim__first_side=64, optim__epochs=4)
    events = list(estimate(tmp_path, EstimateJob(config=config, seconds=0.1), Control()))
    torch.set_num_threads(threads)
    phases = [event.phase for event in events if isinstance(event, Progress)]
    assert phases[:4] == [f"training at {side} pixels" for side in (64, 80, 96, 112)]


def test_a_stop_ends_it(tmp_path: Path) -> None:
    control = Control()
    control.request_stop("enough")
    events = list(estimate(tmp_path, EstimateJob(config=smallest()), control))
    assert isinstance(events[-1], Stopped)
