"""What a job says while it runs: plain data, one JSON object a line.

A job is a child process. It writes events on standard output; whoever started it (a worker, a
shell, a test) reads them. Nothing here imports torch, so the web application can read events
without paying for the network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of everything a job can say. `kind` names the class on the wire."""

    kind: ClassVar[str] = "event"

    def payload(self) -> dict[str, Any]:
        """The event's fields as JSON-ready data, without its kind."""
        payload: dict[str, Any] = _finite(asdict(self))
        return payload


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """The job is set up and begins to work (or goes on: `epoch`/`done` are then above zero)."""

    kind: ClassVar[str] = "started"
    resumed: bool = False
    facts: dict[str, Any] = field(default_factory=dict)  # device, threads, versions, counts, parameters


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """How far a job is, in units of `unit`. Sent at most twice a second."""

    kind: ClassVar[str] = "progress"
    done: int
    total: int
    unit: str = "images"
    phase: str = ""  # what is being done, for people: "reading", "training", …
    rate: float = 0.0  # units a second, over the last few seconds
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class StepDone(Event):
    """Optimizer steps since the last one were done. Coalesced: at most twice a second."""

    kind: ClassVar[str] = "step"
    step: int  # global, counted from 0 over the whole run
    epoch: int
    loss: float  # mean since the last StepDone
    learning_rate: float
    gradient_norm: float
    images_per_second: float
    data_wait: float | None = None  # share of the time since the last StepDone spent waiting for images


@dataclass(frozen=True, kw_only=True)
class EpochEnd(Event):
    """One epoch's figures for train and val. See `mmfrm.statistics` for how each is computed.

    `train` and `val` hold: count, loss, cross_entropy, rfloss, accuracy, accuracy_low/high (Wilson 95 %),
    mean_class_accuracy, macro_f1, calibration_error, alpha_mean, alpha_std, confusion (K × K, rows true),
    and `classes`: one dict a class with name, count, precision, recall, recall_low, recall_high, f1,
    p_true_mean, p_true_variance, p_true_mad.
    """

    kind: ClassVar[str] = "epoch"
    epoch: int  # from 0
    step: int  # global steps done at its end
    train: dict[str, Any]
    val: dict[str, Any]
    learning_rate: float
    gradient_norm: float
    images_per_second: float
    seconds: float
    memory_bytes: int
    best: bool = False  # the best so far by the chosen metric
    data_wait: float | None = None  # share of `seconds` that the training waited for images


@dataclass(frozen=True, kw_only=True)
class Evaluated(Event):
    """Figures of one split, as in EpochEnd, of a finished model (the test split, once, at the end)."""

    kind: ClassVar[str] = "evaluated"
    split: str
    figures: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Checkpointed(Event):
    """A checkpoint is safely on disk. `path` is relative to the job folder."""

    kind: ClassVar[str] = "checkpoint"
    path: str
    epoch: int
    step: int
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class Predicted(Event):
    """Rows of a labelling job, in order; each index comes exactly once unless the job was resumed."""

    kind: ClassVar[str] = "predicted"
    # each: index, picture, file, box [x, y, w, h] | None, probabilities [K] | None, error str | None; where
    # faces were looked for also face (from 0) | None, faces (of this photo), detection 0…1 | None
    rows: list[dict[str, Any]]
    again: bool = False  # rows of an earlier attempt, for who may have missed them: no new work


@dataclass(frozen=True, kw_only=True)
class Kept(Event):
    """New work of this attempt is safely on disk: the first `done` units need not be done again."""

    kind: ClassVar[str] = "kept"
    done: int


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something a person should know. `level` is info, warning or error."""

    kind: ClassVar[str] = "notice"
    text: str
    level: str = "info"


@dataclass(frozen=True, kw_only=True)
class Steered(Event):
    """An order (mmfrm.steering) holds from `step` on, and a checkpoint knows it. A resumed job repeats it."""

    kind: ClassVar[str] = "steered"
    number: int
    do: str
    value: float
    step: int  # the first, from 0, for which it holds
    epoch: int  # in progress
    learning_rate: float  # of that step
    epochs: int  # of the whole run, now


@dataclass(frozen=True, kw_only=True)
class Hardware(Event):
    """What a job and its machine are doing, said of it by the worker that watches its process.

    Shares are 0…1 of the whole machine's cores and memory, over the time since the last one.
    """

    kind: ClassVar[str] = "hardware"
    cpu: float  # share of all cores that the job and what it started used
    machine_cpu: float  # that everybody used
    memory_bytes: int  # resident, of the job and what it started
    machine_memory: float  # share of the memory in use
    gpus: list[dict[str, Any]] = field(default_factory=list)  # name, use 0…1, memory_bytes, memory_total


@dataclass(frozen=True, kw_only=True)
class Stopped(Event):
    """The job ended early because it was asked to; it can be resumed from its folder."""

    kind: ClassVar[str] = "stopped"
    reason: str = ""
    on_order: bool = False  # its steering said where; not a signal, a command or the death of its parent


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The job is complete. `result` names its artefacts (relative paths) and headline figures."""

    kind: ClassVar[str] = "finished"
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """The job cannot go on. `message` names the remedy; `resumable` says whether a retry goes on."""

    kind: ClassVar[str] = "failed"
    message: str
    resumable: bool = False
    detail: str = ""  # traceback, for the log


KINDS: Mapping[str, type[Event]] = {
    c.kind: c
    for c in (
        Started,
        Progress,
        StepDone,
        EpochEnd,
        Evaluated,
        Checkpointed,
        Predicted,
        Kept,
        Notice,
        Steered,
        Hardware,
        Stopped,
        Finished,
        Failed,
    )
}


def to_line(event: Event) -> str:
    """One line of JSON, without the newline. NaN and infinities become null: JSON has neither."""
    try:  # as it is: `payload` walks through every number, which takes ten times as long for rows of faces
        return _dumped({"kind": event.kind, **vars(event)})
    except (ValueError, TypeError):
        return _dumped({"kind": event.kind, **event.payload()})


def _dumped(said: dict[str, Any]) -> str:
    return json.dumps(said, allow_nan=False, separators=(",", ":"))


def from_line(line: str) -> Event:
    """The event of one line.

    Raises ValueError for anything that is not an event. Unknown fields are ignored, so that an older
    reader understands a newer job.
    """
    try:
        data = json.loads(line)
        event_class = KINDS[data.pop("kind")]
        known = {f.name for f in fields(event_class)}
        return event_class(**{k: v for k, v in data.items() if k in known})
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {line[:200]!r}") from error


def read_events(path: Path) -> list[Event]:
    """The events of an events.jsonl, in order. What is none, as a line torn by a kill, is passed over.

    Raises OSError where the file cannot be read.
    """
    events: list[Event] = []
    for line in path.read_bytes().splitlines():
        with suppress(ValueError):
            events.append(from_line(line.decode(errors="replace")))
    return events


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
