"""A model for other programs: safetensors, and ONNX that is proved to answer the same; engines, checked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmfrm.classes import mapping_indices
from mmfrm.config import DataConfig
from mmfrm.control import Control
from mmfrm.data import FaceSplit, open_faces
from mmfrm.engines.base import EngineError, Faces
from mmfrm.engines.check import Targets, check_precision
from mmfrm.engines.choice import PROGRAMS, measured, noise
from mmfrm.engines.int8 import CALIBRATION_FACES, quantise
from mmfrm.engines.model_files import ModelFiles
from mmfrm.engines.onnx_file import onnx_difference, write_onnx
from mmfrm.evaluate import mapped
from mmfrm.events import Event, Finished, Notice, Progress, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.held_out import carving_of, doubts
from mmfrm.jobs import ExportJob
from mmfrm.machine import allowed_threads
from mmfrm.meanwhile import meanwhile
from mmfrm.versions import versions

LARGEST_DIFFERENCE = 1e-4  # of a probability, between torch in fp32 and ONNX
COMPARED_FACES = 128
CHECKED_FACES = 10_000  # at most; they are held in memory, 38 kB each
SEED = 0


@dataclass
class Export:
    """An export on its way: what is read, and the report that grows."""

    folder: Path
    files: ModelFiles
    control: Control
    report: dict[str, Any] = field(default_factory=dict)
    calibration: Faces | None = None  # (n, 112, 112, 3), of the training part
    checked: Faces | None = None  # (n, 112, 112, 3), not trained on
    targets: Targets | None = None


def export(folder: Path, job: ExportJob, control: Control) -> Iterator[Event]:
    """Do an ExportJob: writes model.safetensors, model.json, model.onnx and report.json.

    With `job.data` it also makes an int8 version, measures on test faces what reduced precision changes,
    and writes that into the model's own model.json, where `predict` looks. Raises JobError where ONNX
    answers differently from torch, naming by how much.
    """
    run = Export(folder, ModelFiles(Path(job.model)), control)
    run.report = {"model": job.model, "weights": run.files.identity, "versions": versions()}
    yield Started(facts={"classes": list(run.files.classes), "threads": allowed_threads()})
    steps = [("writing ONNX", _onnx), ("proving ONNX", _proof)]
    if job.data:
        yield from _read_faces(run, job.data)
        steps += [("quantising to int8", _int8), ("checking precision", _checks)]
    steps += [("measuring speed", _speed)]
    for done, (phase, step) in enumerate(steps):
        yield Progress(done=done, total=len(steps), unit="steps", phase=phase)
        yield from step(run)
        if control.stop_requested():
            yield Stopped(reason=control.reason)
            return
    yield Progress(done=len(steps), total=len(steps), unit="steps")
    yield from _finished(run)


def _onnx(run: Export) -> Iterator[Event]:
    write_onnx(run.files.folder, run.folder / "model.onnx")
    yield from ()


def _proof(run: Export) -> Iterator[Event]:
    faces = run.checked if run.checked is not None else noise(COMPARED_FACES)
    rgb = np.ascontiguousarray(faces[:COMPARED_FACES].transpose(0, 3, 1, 2))
    difference = onnx_difference(run.files.folder, run.folder / "model.onnx", rgb)
    run.report["onnx"] = {
        "faces": len(rgb),
        "real_faces": run.checked is not None,
        "largest_difference": difference,
        "allowed": LARGEST_DIFFERENCE,
    }
    if difference > LARGEST_DIFFERENCE:
        (run.folder / "model.onnx").unlink()
        raise JobError(
            f"ONNX answers differently: a probability is off by {difference:.2g}, more than "
            f"{LARGEST_DIFFERENCE:g}. The file was deleted; try other versions of torch and onnxruntime.",
            resumable=False,
        )
    yield Notice(text=f"ONNX answers as torch does: no probability differs by more than {difference:.1g}.")


def _int8(run: Export) -> Iterator[Event]:
    assert run.calibration is not None  # noqa: S101 (only a step where there is data)
    try:
        quantise(run.files, run.calibration)
    except EngineError as error:
        yield Notice(text=f"No int8 version: {error}.", level="warning")


def _checks(run: Export) -> Iterator[Event]:
    assert run.checked is not None  # noqa: S101 (only a step where there is data)
    stop = run.control.stop_requested
    call = partial(check_precision, run.files.folder, run.checked, run.targets, stop_requested=stop)
    run.report["engines"] = yield from meanwhile(call)
    run.files = ModelFiles(run.files.folder)  # with what was just written
    for name, figures in run.report["engines"].items():
        yield Notice(text=_verdict(name, figures))


def _verdict(name: str, figures: dict[str, Any]) -> str:
    use = "will be used" if figures["is_accurate"] else "will not be used"
    change = f", accuracy {figures['change_points']:+.2f} points" if "change_points" in figures else ""
    return f"{name}: same class for {100 * figures['agreement']:.2f} % of faces{change}; {use}."


def _speed(run: Export) -> Iterator[Event]:
    figures = measured(run.files, PROGRAMS, allowed_threads())
    run.report["images_per_second"] = figures
    for name, rate in sorted(figures.items(), key=lambda pair: -pair[1]):
        yield Notice(text=f"{name}: {rate:.0f} images/s")


def _finished(run: Export) -> Iterator[Event]:
    for name in ("model.safetensors", "model.json"):
        shutil.copyfile(run.files.folder / name, run.folder / name)
    part = run.folder / "report.json.part"
    part.write_text(json.dumps(run.report, indent=2) + "\n")
    part.replace(run.folder / "report.json")
    result = {"onnx": "model.onnx", "safetensors": "model.safetensors", "report": "report.json"}
    yield Finished(result=result | {"largest_difference": run.report["onnx"]["largest_difference"]})


def _read_faces(run: Export, data: str) -> Generator[Event, None, None]:
    card = run.files.card
    config = DataConfig(leave_out_leaks=False, **carving_of(card))
    faces = yield from meanwhile(partial(open_faces, data, config))
    name = next((name for name in ("test", "val") if faces.splits.get(name)), None)
    if name is None:
        raise JobError(f"{data} has no faces that the model was not trained on: no test or val split.")
    yield from doubts(faces, [name], [card])
    held_out = faces.splits[name]
    known = faces.splits.get("train") or held_out
    run.calibration = _pixels(known, _spread(len(known), CALIBRATION_FACES))
    view = mapped(held_out, mapping_indices(faces.classes, run.files.classes), len(run.files.classes))
    if len(view):
        chosen = _spread(len(view), CHECKED_FACES)
        run.checked, run.targets = _pixels(held_out, view.positions[chosen]), view.targets.numpy()[chosen]
    else:  # other classes: whether the answers stay the same can still be seen
        run.checked = _pixels(held_out, _spread(len(held_out), CHECKED_FACES))
    run.report["data"] = {"source": data, "fingerprint": faces.fingerprint, "faces": len(run.checked)}


def _spread(count: int, most: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Positions of at most `most` of `count`, drawn by a fixed seed."""
    chosen = np.random.default_rng(SEED).permutation(count)[:most]
    return np.sort(chosen).astype(np.int64)


def _pixels(split: FaceSplit, positions: np.ndarray[Any, np.dtype[np.int64]]) -> Faces:
    # (n, C, 112, 112), C 1 or 3 -> (n, 112, 112, 3)
    pixels = split.images[split.indices[positions]].transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:3], 3)))
