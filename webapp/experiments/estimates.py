"""What starting runs will cost and read, said before they start: learned or measured, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from mmfrm.config import TrainConfig
from webapp.datasets.models import DatasetVersion
from webapp.experiments import estimating
from webapp.experiments.forecast import Forecast, forecast
from webapp.experiments.models import Estimate, Run
from webapp.experiments.points import epoch_payloads
from webapp.jobs.models import Job, JobEvent
from webapp.jobs.selectors import live_workers

LOOKED_AT = 200  # the latest runs that are searched for one alike
SMALL_FACE = 64  # pixels: half of the network's side, and a little more
UNKNOWN = "Not known yet: first run of this size on this machine."


@dataclass(frozen=True)
class Cost:
    """Of one run. None where nothing like it has run here."""

    seconds: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    source: str  # in words


@dataclass(frozen=True)
class Lesson:
    """What one earlier run tells of others of its size."""

    run: Run
    epoch_seconds: float
    images: int  # of an epoch
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Total:
    """Of all runs of a plan, one after the other on each worker."""

    runs: int
    unknown: tuple[TrainConfig, ...]  # those of a size that has neither run nor been measured here
    seconds: float | None
    memory_bytes: int | None  # of the largest
    disk_bytes: int | None
    workers: int
    sources: tuple[str, ...]
    forecast: Forecast


@dataclass(frozen=True)
class Reading:
    """What a run will read from its data set."""

    rule: str
    counts: tuple[tuple[str, int], ...]  # images a split
    leaks: int
    notes: tuple[str, ...]


def total_of(version: DatasetVersion, configs: Sequence[TrainConfig]) -> Total:
    """What runs of these configs cost together, with the workers that now live. Nothing alike: None."""
    workers = list(live_workers().filter(queue=Job.Queue.GPU))
    experience = Experience(sorted({worker.host for worker in workers}))
    costs = [experience.cost(version, config) for config in configs]
    times, disks = [c.seconds for c in costs], [c.disk_bytes for c in costs]
    known = [t for t in times if t is not None]
    return Total(
        runs=len(costs),
        unknown=tuple(c for c, cost in zip(configs, costs, strict=True) if cost.seconds is None),
        seconds=sum(known) / max(1, len(workers)) if len(known) == len(times) else None,
        memory_bytes=max((c.memory_bytes for c in costs if c.memory_bytes), default=None),
        disk_bytes=sum(d for d in disks if d is not None) if None not in disks else None,
        workers=len(workers),
        sources=tuple(dict.fromkeys(c.source for c in costs)),
        forecast=forecast(times, workers, lambda run: experience.cost(run.version, run.train_config).seconds),
    )


class Experience:
    """What earlier runs and measurements on the machines of these workers tell. Each is read once."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts
        self._lessons: dict[str, Lesson | Estimate | None] = {}

    def cost(self, version: DatasetVersion, config: TrainConfig) -> Cost:
        """What a run costs; unknown where nothing of its size has run, or been measured."""
        size = estimating.size_of(config)
        if size not in self._lessons:
            run = _alike(size, self._hosts)
            self._lessons[size] = _lesson(run) if run else estimating.measured(size, self._hosts)
        match self._lessons[size]:
            case Lesson() as lesson:
                return _learned(lesson, version, config)
            case Estimate() as estimate:
                return _measured(estimate, version, config)
            case _:
                return Cost(None, None, None, UNKNOWN)


def reading_of(version: DatasetVersion, config: TrainConfig) -> Reading:
    """Images a split after rule, leaks and shares, as far as the version's own counts tell."""
    counts = {split: _labelled(classes) for split, classes in version.counts.items() if split}
    found = version.report.get("duplicates", {})
    leaks = found.get("leaking_exact", 0) + found.get("leaking_near", 0)
    notes = []
    data = config.data
    train = counts.get("train", 0)
    if leaks and data.leave_out_leaks:
        train -= leaks
        notes.append(f"{leaks:,} training images leak into validation or test and are left out.")
    elif leaks:
        notes.append(f"Warning: {leaks:,} training images leak into validation or test and are trained on.")
    if not counts.get("val"):
        counts["val"] = round(train * data.val_fraction)
        train -= counts["val"]
        notes.append("There is no validation split: one is carved from the training part.")
    train = min(max(1, round(train * data.train_share)), data.max_train or train)
    has_votes = version.vote_columns is not None
    if has_votes and data.label_rule != "majority":
        notes.append(f"Counts are of the majority rule; {data.label_rule} keeps some more.")
    if not config.network.half_side and version.widest is not None and version.widest <= SMALL_FACE:
        notes.append(
            f"No face has more than {SMALL_FACE} pixels a side: for quick looks, “Half the image side” "
            "(Network, rarely changed) makes the expression network cost a quarter."
        )
    limited = {s: min(n, data.max_eval or n) for s, n in counts.items() if s in ("val", "test")}
    return Reading(
        rule=data.label_rule if has_votes else "labels as given",
        counts=tuple((s, n) for s, n in {"train": max(0, train), **limited}.items() if n > 0),
        leaks=leaks,
        notes=tuple(notes),
    )


def _alike(size: str, hosts: Sequence[str]) -> Run | None:
    """The latest run of this size on a machine whose worker lives; where none lives, on any."""
    rows = Run.objects.exclude(best={}).select_related("job", "version").order_by("-created_at")
    rows = rows.filter(estimating.on_hosts(hosts))
    return next((run for run in rows[:LOOKED_AT] if estimating.size_of(run.train_config) == size), None)


def _lesson(run: Run) -> Lesson:
    payloads = list(epoch_payloads(run))
    return Lesson(
        run=run,
        epoch_seconds=_epoch_seconds(run, payloads),
        images=payloads[-1]["train"]["count"],
        memory_bytes=max(payload["memory_bytes"] for payload in payloads),
        disk_bytes=sum(file.stat().st_size for file in run.folder.rglob("*") if file.is_file()),
    )


def _learned(lesson: Lesson, version: DatasetVersion, config: TrainConfig) -> Cost:
    run = lesson.run
    same = run.version_id == version.pk and run.train_config.data == config.data
    share = 1.0
    if not same:
        share = dict(reading_of(version, config).counts).get("train", 0) / max(1, lesson.images)
    return Cost(
        seconds=lesson.epoch_seconds * share * config.optim.epochs,
        memory_bytes=lesson.memory_bytes or None,
        disk_bytes=lesson.disk_bytes or None,
        source=f"Learned from a run of the same size on {_host(run.job)}.",
    )


def _measured(estimate: Estimate, version: DatasetVersion, config: TrainConfig) -> Cost:
    """Every epoch validates; at the end the validation part is read once more, and the test part."""
    told = estimate.job.result
    counts = dict(reading_of(version, config).counts)
    train, val, test = (counts.get(split, 0) for split in ("train", "val", "test"))
    epoch = train * told["train_seconds"] + val * told["eval_seconds"]
    return Cost(
        seconds=epoch * config.optim.epochs + (val + test) * told["eval_seconds"],
        memory_bytes=told["memory_bytes"],
        disk_bytes=told["disk_bytes"],
        source=f"Measured by a few steps on {_host(estimate.job)}, without reading the data set.",
    )


def _host(job: Job) -> str:
    return job.worker.rpartition("@")[2]


def _epoch_seconds(run: Run, payloads: Sequence[dict[str, Any]]) -> float:
    """From one epoch's end to the next within an attempt, validation and checkpoint included; the median.

    Never less than the training alone, which is all that a single epoch tells.
    """
    trained = float(median(payload["seconds"] for payload in payloads))
    rows = JobEvent.objects.filter(job=run.job_id, kind="epoch").order_by("key").values_list("attempt", "at")
    gaps = [(b[1] - a[1]).total_seconds() for a, b in pairwise(rows) if a[0] == b[0]]
    return max(trained, median(gaps)) if gaps else trained


def _labelled(classes: dict[str, int]) -> int:
    return sum(n for name, n in classes.items() if name)
