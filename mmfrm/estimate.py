"""What a training would cost on this machine: a few of its steps, on noise, before it starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from mmfrm.checkpoint import save_model
from mmfrm.control import Control
from mmfrm.data.native import write_whole
from mmfrm.events import Event, Finished, Progress, Started, Stopped
from mmfrm.growth import image_side
from mmfrm.jobs import EstimateJob
from mmfrm.learner import Learner
from mmfrm.nn import build_network
from mmfrm.rehearsal import Rehearsal
from mmfrm.resume import save_checkpoint
from mmfrm.runtime import prepare


def estimate(folder: Path, job: EstimateJob, control: Control) -> Iterator[Event]:
    """Do an EstimateJob. Writes estimate.json; its figures are also the result:

    train_seconds, eval_seconds: of an image, in training (the mean over the epochs, whose images may grow)
    and in validation; memory_bytes: at most; disk_bytes: of all that a run keeps. Reading the data set is
    not in it: the cache feeds several times what a network consumes.
    """
    config = job.config
    runtime = prepare(config.runtime)
    yield Started(facts=runtime.facts())
    network = build_network(config.network, job.classes)
    rehearsal = Rehearsal(network, config, classes=job.classes, runtime=runtime)
    sides = [image_side(config.optim, epoch) for epoch in range(config.optim.epochs)]
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
        "disk_bytes": disk_bytes(folder / "kept", job, rehearsal.learner),
    }
    write_whole(folder / "estimate.json", json.dumps(result | {"facts": runtime.facts()}, indent=2) + "\n")
    yield Finished(result=result)


def disk_bytes(folder: Path, job: EstimateJob, learner: Learner) -> int:
    """What a run keeps, which is written for once: two checkpoints, and the best model."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = tuple(f"class {i}" for i in range(job.classes))
    try:
        checkpoint = save_checkpoint(folder, {"learner": learner.state()}).stat().st_size
        model = folder / "model"
        save_model(model, learner.answering, classes=classes, config=job.config.network, card={})
        return 2 * checkpoint + sum(file.stat().st_size for file in model.iterdir())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
