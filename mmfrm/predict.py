"""Label images: any source in, one row a face out, in order, resumable after any kill.

Reading, decoding and finding faces go on in threads (`mmfrm.decoding`) while the engine computes. No torch
here: the engine and the face detector import it only where they need it.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmfrm.control import Control
from mmfrm.data.native import write_whole
from mmfrm.decoding import Chunk, Preview, decoded
from mmfrm.engines import Engine, open_engine
from mmfrm.engines.model_files import ModelFiles
from mmfrm.events import Event, Finished, Notice, Predicted, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.images import Pixels
from mmfrm.jobs import PredictJob
from mmfrm.machine import tune_allocator
from mmfrm.progress import Meter
from mmfrm.row_log import Row, RowLog
from mmfrm.sources import Pictures, open_pictures
from mmfrm.spreadsheet import write_csv

MESSAGE_ROWS = 256  # in one Predicted event, at most
MESSAGE_SECONDS = 0.4
OBLONG = (
    "Most of these pictures are not square, as face crops are, and each is labelled whole. If they are "
    "photos as they come, label them again and let faces be found: the labels of whole photos mean nothing."
)


def predict(folder: Path, job: PredictJob, control: Control) -> Iterator[Event]:
    """Label every picture of `job.source`; see the module's text and `mmfrm.jobs.PredictJob`.

    Writes predictions.jsonl as it goes and predictions.csv at its end (also when stopped: so far).
    Raises JobError where the source or the model cannot be used.
    """
    if job.faces != "find":  # chunks of crops are all of one size; whole photos are not, and would pile up
        tune_allocator()
    pictures = open_pictures(job.source, folder / "listing.json", job.filename)
    files = ModelFiles(Path(job.model))
    job = replace(job, temperature=job.temperature or files.temperature)
    _refuse_another(folder / "source.json", pictures, files, job.temperature)
    engine = open_engine(Path(job.model), job.engine, remembered=folder / "engine.json")
    log = RowLog(folder, with_faces=job.save_faces, photo_bytes=_photo_bytes(job))
    try:
        yield Started(resumed=log.count > 0, facts=_facts(pictures, engine, log, job.temperature))
        yield from _told_again(log)
        began, before = time.monotonic(), log.next_picture
        yield from _label(pictures, engine, log, job, control)
        seconds = time.monotonic() - began
        log.sync()
        if log.photos_left_out:
            text = f"{log.photos_left_out:,} photos were labelled and not kept: the room for photos is full."
            yield Notice(text=text, level="warning")
        counts = write_csv(
            folder / "predictions.csv", log.read(), engine.classes, with_boxes=job.faces == "find"
        )
        if log.next_picture < len(pictures.names):
            yield Stopped(reason=control.reason)
        else:
            rate = (log.next_picture - before) / max(seconds, 1e-9)
            yield Finished(result=_result(log, counts, engine, rate))
    finally:
        log.close()
        engine.close()


def _photo_bytes(job: PredictJob) -> int:
    return job.max_photo_bytes if job.save_photos and job.faces == "find" else 0


def _facts(pictures: Pictures, engine: Engine, log: RowLog, temperature: float) -> dict[str, Any]:
    return {
        "engine": engine.name,
        "classes": list(engine.classes),
        "pictures": len(pictures.names),
        "done": log.next_picture,
        "threads": engine.threads,
        "temperature": temperature,
    }


def _result(log: RowLog, counts: dict[str, int], engine: Engine, rate: float) -> dict[str, Any]:
    errors = counts.pop("")
    return {
        "csv": "predictions.csv",
        "rows": log.count,
        "errors": errors,
        "counts": counts,
        "images_per_second": round(rate, 1),
        "engine": engine.name,
    }


def _refuse_another(path: Path, pictures: Pictures, files: ModelFiles, temperature: float) -> None:
    """A job that goes on must find the pictures and the model that it began with: one table, one kind."""
    now = {"identity": pictures.identity, "weights": files.identity, "temperature": temperature}
    try:
        began: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):  # none yet, or torn by a power cut
        began = {}
    changed = {name for name in now if began.get(name, now[name]) != now[name]}
    if "identity" in changed:
        text = "The source has changed since this job began. Start a new job for the new pictures."
        raise JobError(text, resumable=False)
    if changed:
        text = "The model has changed since this job began. Start a new job for the new one, elsewhere."
        raise JobError(text, resumable=False)
    if began != now:
        write_whole(path, json.dumps(now))


def _told_again(log: RowLog) -> Iterator[Event]:
    """Rows of earlier attempts: whoever listened may have died before it kept them."""
    message = _Message()
    for row in log.read() if log.count else ():
        message.rows.append(row)
        if len(message.rows) == MESSAGE_ROWS:
            yield message.take(again=True)
    if message.rows:
        yield message.take(again=True)


@dataclass
class _Message:
    """Rows on their way out, gathered so that a fast engine does not flood whoever listens."""

    rows: list[Row] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        return len(self.rows) >= MESSAGE_ROWS or (
            bool(self.rows) and time.monotonic() - self.since >= MESSAGE_SECONDS
        )

    def take(self, *, again: bool = False) -> Predicted:
        event = Predicted(rows=self.rows[:MESSAGE_ROWS], again=again)
        self.rows = self.rows[MESSAGE_ROWS:]
        self.since = time.monotonic()
        return event


def _label(
    pictures: Pictures, engine: Engine, log: RowLog, job: PredictJob, control: Control
) -> Iterator[Event]:
    meter = Meter(len(pictures.names), phase="labelling", done=log.next_picture)
    message = _Message()
    for chunk, probabilities in _computed(pictures, engine, log.next_picture, job):
        before = log.next_picture
        rows, shown, photos = _new_rows(pictures, chunk, probabilities, first=before)
        log.append(rows, shown, photos)
        if before == 0 and 2 * sum(slot.is_oblong for slot in chunk.slots) > len(chunk.slots):
            yield Notice(text=OBLONG, level="warning")
        message.rows += rows
        meter.add(log.next_picture - before)
        while message.is_due():
            yield message.take()
        if control.stop_requested():
            break
        if meter.is_due():
            yield meter.say()
    while message.rows:
        yield message.take()
    yield meter.say()


def _new_rows(
    pictures: Pictures, chunk: Chunk, probabilities: np.ndarray[Any, np.dtype[np.float64]], *, first: int
) -> tuple[list[Row], list[bytes | None], list[Preview | None]]:
    """Rows of a chunk from picture `first` on; those before it were written by an earlier attempt."""
    rows: list[Row] = []
    shown: list[bytes | None] = []
    photos: list[Preview | None] = []
    rounded = probabilities.round(6).tolist()
    for slot, figures in zip(chunk.slots, rounded, strict=True):
        if slot.picture < first:
            continue
        row: Row = {"index": -1, "picture": slot.picture, "file": pictures.names[slot.picture]}  # log's index
        row |= {"box": slot.box, "probabilities": None if slot.error else figures, "error": slot.error}
        rows.append(row | slot.found)
        shown.append(slot.shown)
        photos.append(slot.photo)
    return rows, shown, photos


def _computed(
    pictures: Pictures, engine: Engine, first: int, job: PredictJob
) -> Iterator[tuple[Chunk, np.ndarray[Any, np.dtype[np.float64]]]]:
    """Chunks in order with their probabilities (n, K), from the one that holds picture `first`."""
    waiting: deque[Chunk] = deque()

    def batches() -> Iterator[Pixels]:
        for chunk in decoded(pictures, job, size=engine.batch_size, threads=engine.threads, first=first):
            waiting.append(chunk)
            for start in range(0, len(chunk.faces), engine.batch_size):
                faces = chunk.faces[start : start + engine.batch_size]
                yield faces
                if job.flip_average:
                    yield faces[:, :, ::-1]

    answers = engine.stream(batches())
    parts: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    for logits in answers:
        probabilities = _softmax(logits, job.temperature)
        if job.flip_average:
            probabilities = (probabilities + _softmax(next(answers), job.temperature)) / 2
        parts.append(probabilities)
        if sum(map(len, parts)) == len(waiting[0].faces):
            yield waiting.popleft(), np.concatenate(parts)
            parts.clear()


def _softmax(
    logits: np.ndarray[Any, np.dtype[np.float32]], temperature: float
) -> np.ndarray[Any, np.dtype[np.float64]]:
    # (n, K) -> (n, K)
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    share: np.ndarray[Any, np.dtype[np.float64]] = weights / weights.sum(axis=1, keepdims=True)
    return share
