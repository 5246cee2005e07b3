"""Two models on the same images of the same split: what a further training was worth, class by class."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mmfrm.checkpoint import Model, load_model
from mmfrm.classes import mapping_indices
from mmfrm.config import DataConfig, RuntimeConfig
from mmfrm.control import Control
from mmfrm.data import open_faces
from mmfrm.data.native import write_whole
from mmfrm.engines.frozen import place
from mmfrm.evaluate import View, answer, mapped
from mmfrm.events import Event, Finished, Progress, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.held_out import carving_of, doubts
from mmfrm.jobs import CompareJob
from mmfrm.meanwhile import meanwhile
from mmfrm.paired import before_and_after
from mmfrm.progress import Meter
from mmfrm.runtime import Runtime, prepare
from mmfrm.schema import ConfigError


def compare(folder: Path, job: CompareJob, control: Control) -> Iterator[Event]:
    """Do a CompareJob: writes comparison.json beside job.json.

    Classes are those of the later model; an answer of the earlier one that has no counterpart there is
    wrong. Images are those whose label is among them. Raises JobError where none is left.
    """
    runtime = prepare(RuntimeConfig())
    models = [load_model(Path(path)) for path in (job.before, job.after)]
    cards = [model.card for model in models]
    data = DataConfig(label_rule=job.label_rule, leave_out_leaks=False, **carving_of(cards[-1]))
    faces = yield from meanwhile(partial(open_faces, job.data, data))
    if job.split not in faces.splits:
        raise ConfigError("split", f"the data set has no {job.split}; it has {', '.join(faces.splits)}")
    classes = models[1].classes
    view = mapped(faces.splits[job.split], mapping_indices(faces.classes, classes), len(classes))
    if not len(view):
        text = f"No image is left: the data set ({', '.join(faces.classes)}) and the model share no class."
        raise JobError(text, resumable=False)
    facts = {"images": len(view), "data_fingerprint": faces.fingerprint}
    yield Started(facts={**runtime.facts(), **facts})
    yield from doubts(faces, [job.split], cards)
    meter = Meter(2 * len(view), phase="comparing")
    batches = _Batches(view, job.batch_size, runtime)
    answers: list[NDArray[np.int64]] = []
    for model in models:
        given = yield from _answers(model, batches, control, meter)
        if given is None:
            yield Stopped(reason=control.reason)
            return
        answers.append(_translated(given, model.classes, classes))
    before, after = answers
    figures = before_and_after(view.targets.numpy(), before, after, classes, seed=job.seed)
    content = {
        **figures, "split": job.split, "label_rule": job.label_rule, "job": asdict(job), **facts,
        "classes_before": list(models[0].classes),
    }  # fmt: skip
    write_whole(folder / "comparison.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    yield Finished(result={"comparison": "comparison.json", "count": figures["count"]})


@dataclass(frozen=True)
class _Batches:
    """The images, as a model takes them."""

    view: View
    size: int
    runtime: Runtime

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, len(self.view), self.size):
            images, _ = self.view.split.batch(self.view.positions[start : start + self.size])
            yield self.runtime.send(images)


def _answers(
    model: Model, batches: _Batches, control: Control, meter: Meter
) -> Generator[Progress, None, NDArray[np.int64] | None]:
    """The class a model gives each image (n,), in its own vocabulary; None where it was stopped."""
    place(model.network, batches.runtime)
    model.network.eval()
    parts = []
    for images in batches:
        if control.stop_requested():
            return None
        _, logits = answer(model.network, images, batches.runtime)
        parts.append(logits.argmax(1).cpu().numpy())
        meter.add(len(parts[-1]))
        if meter.is_due():
            yield meter.say()
    return np.concatenate(parts)


def _translated(given: NDArray[np.int64], source: Sequence[str], target: Sequence[str]) -> NDArray[np.int64]:
    """Answers in another vocabulary; len(target) where it has no such class."""
    table = [len(target) if i is None else i for i in mapping_indices(source, target)]
    return np.array(table, np.int64)[given]
