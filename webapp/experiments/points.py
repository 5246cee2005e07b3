"""Series for the charts of runs: every epoch in columns, steps thinned for display.

An epoch's event holds two confusion matrices and some forty figures a class. A chart needs a few of
them, so a page of 1,000 epochs is sent in columns, and follows from `seq` on over the socket.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.models import TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from webapp.experiments.models import Run
from webapp.jobs.models import Job, JobEvent

EPOCH = (
    "epoch",
    "step",
    "learning_rate",
    "gradient_norm",
    "images_per_second",
    "seconds",
    "memory_bytes",
    "best",
    "data_wait",
)
SPLIT = (
    "loss",
    "cross_entropy",
    "rfloss",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "mean_class_accuracy",
    "macro_f1",
    "calibration_error",
    "alpha_mean",
)
CLASS = ("p_true_variance", "p_true_mean", "recall")
STEP = ("step", "epoch", "loss", "learning_rate", "gradient_norm", "images_per_second", "data_wait")
HARDWARE = ("at", "cpu", "machine_cpu", "memory_bytes", "machine_memory", "gpu", "gpu_memory")
CURVES = {
    "accuracy": "Accuracy",
    "mean_class_accuracy": "Mean-class accuracy",
    "macro_f1": "Macro-F1",
    "loss": "Loss",
}
PIECE = 2000  # rows parsed at once
STEP_POINTS = 2000  # shown at most, about: two for each pixel of a wide chart

Columns = dict[str, list[Any]]


def epochs_of(run: Run) -> dict[str, Any]:
    """Every epoch of a run, for its charts. What comes after `seq` is new to whoever has this."""
    seq = Job.objects.values_list("last_seq", flat=True).get(pk=run.job_id)  # first: nothing is missed
    payloads = list(_payloads(run.job_id, "epoch"))
    return {
        "seq": seq,
        "classes": _classes(run, payloads),
        "epochs": epoch_columns(payloads) | {"at": _moments(run)},
    }


def steps_of(run: Run) -> Columns:
    """The steps of a run, thinned for display."""
    payloads = list(_payloads(run.job_id, "step"))
    columns = {name: [payload.get(name) for payload in payloads] for name in STEP}
    return {name: [short(value) for value in values] for name, values in thinned(columns).items()}


def hardware_of(run: Run) -> Columns:
    """Readings of the run's machine, thinned for display. `at` is in seconds since 1970."""
    columns = thinned(hardware_columns(run), by=("cpu", "gpu"))
    # Of a moment, five digits are hours.
    return {name: values if name == "at" else [short(v) for v in values] for name, values in columns.items()}


def hardware_columns(run: Run) -> Columns:
    """Every reading of the run's machine. Several GPUs are one: their mean use and all their memory."""
    rows = JobEvent.objects.filter(job_id=run.job_id, kind="hardware").order_by("seq")
    columns: Columns = {name: [] for name in HARDWARE}
    for at, payload in rows.values_list("at", "payload").iterator(chunk_size=PIECE):
        gpus = payload.get("gpus") or []
        uses = [gpu["use"] for gpu in gpus if gpu["use"] is not None]
        memory = [gpu["memory_bytes"] for gpu in gpus if gpu["memory_bytes"] is not None]
        row = payload | {"at": round(at.timestamp(), 3)}
        row |= {"gpu": sum(uses) / len(uses) if uses else None, "gpu_memory": sum(memory) if memory else None}
        for name in HARDWARE:
            columns[name].append(row.get(name))
    return columns


def epoch_columns(payloads: Iterable[dict[str, Any]]) -> Columns:
    """Epoch events as columns: "learning_rate", "val.accuracy", "train.recall" (a list a class), …"""
    columns: Columns = {name: [] for name in EPOCH}
    for split in ("train", "val"):
        columns |= {f"{split}.{name}": [] for name in (*SPLIT, *CLASS)}
    for payload in payloads:
        for name in EPOCH:
            columns[name].append(short(payload.get(name)))
        for split in ("train", "val"):
            figures = payload.get(split) or {}
            for name in SPLIT:
                columns[f"{split}.{name}"].append(short(figures.get(name)))
            for name in CLASS:
                values = [short(c.get(name)) for c in figures.get("classes", ())]
                columns[f"{split}.{name}"].append(values)
    return columns


def thinned(
    columns: Columns, limit: int = STEP_POINTS, by: Sequence[str] = ("loss", "gradient_norm")
) -> Columns:
    """About `limit` of the points, with the extremes of the two columns `by` in every stretch kept."""
    count = len(next(iter(columns.values())))
    if count <= limit:
        return columns
    keep = {0, count - 1}
    width = -(-4 * count // limit)  # each stretch keeps at most four points
    for start in range(0, count, width):
        stretch = range(start, min(start + width, count))
        for name in by:
            keep.update(_extremes(columns[name], stretch))
    kept = sorted(keep)
    return {name: [values[i] for i in kept] for name, values in columns.items()}


def curves(runs: Sequence[Run], figure: str) -> list[dict[str, Any]]:
    """One validation figure of several runs by epoch, for one chart. `figure` is a key of CURVES."""
    if figure not in CURVES:
        figure = "accuracy"
    rows = (
        JobEvent.objects.filter(job__in=[run.job_id for run in runs], kind="epoch")
        .order_by("key")
        .annotate(value=KT(f"payload__val__{figure}"))
        .values_list("job_id", "key", "value")
    )
    series: dict[int, tuple[list[int], list[float | None]]] = {run.job_id: ([], []) for run in runs}
    for job, key, value in rows:
        series[job][0].append((key or 0) + 1)
        series[job][1].append(None if value is None else float(value))
    return [
        {
            "run": run.pk,
            "name": run.name,
            "best": run.best["epoch"] + 1 if run.best else None,
            "x": series[run.job_id][0],
            "y": series[run.job_id][1],
        }
        for run in runs
    ]


def short(value: Any) -> Any:
    """Five digits: more than a screen shows, at half the size."""
    return float(f"{value:.5g}") if isinstance(value, float) else value


def epoch_payloads(run: Run) -> Iterator[dict[str, Any]]:
    """Every epoch's figures, whole, in order."""
    return _payloads(run.job_id, "epoch")


def _payloads(job_id: int, kind: str) -> Iterator[dict[str, Any]]:
    """Payloads of a kind in order of their number. Parsed in pieces: three times as fast as row by row."""
    rows = (
        JobEvent.objects.filter(job_id=job_id, kind=kind)
        .order_by("key")
        .annotate(text=Cast("payload", TextField()))
        .values_list("text", flat=True)
    )
    piece: list[str] = []
    for text in rows.iterator(chunk_size=PIECE):
        piece.append(text)
        if len(piece) == PIECE:
            yield from json.loads(f"[{','.join(piece)}]")
            piece.clear()
    yield from json.loads(f"[{','.join(piece)}]")


def _moments(run: Run) -> list[float]:
    """When each epoch ended, in seconds since 1970."""
    rows = JobEvent.objects.filter(job_id=run.job_id, kind="epoch").order_by("key")
    return [round(at.timestamp(), 1) for at in rows.values_list("at", flat=True)]


def _classes(run: Run, payloads: list[dict[str, Any]]) -> list[str]:
    """The names in the order of the lists: as the trainer says them, else as the data set has them."""
    if payloads:
        return [c["name"] for c in payloads[-1]["val"].get("classes", ())]
    return list(run.version.classes)


def _extremes(values: list[Any], stretch: range) -> set[int]:
    numbers = [i for i in stretch if values[i] is not None]
    if not numbers:
        return set()
    return {min(numbers, key=values.__getitem__), max(numbers, key=values.__getitem__)}
