"""What the home page reads: work that goes on, what ended lately, and where a newcomer stands."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import F

from webapp.accounts.models import User
from webapp.accounts.permissions import may_view, visible
from webapp.datasets.models import DatasetVersion
from webapp.experiments.models import Run
from webapp.experiments.sparks import Spark, spark_of
from webapp.jobs import kinds
from webapp.jobs.models import Job
from webapp.jobs.selectors import Entry, QueueState, listed, queues, truth_of
from webapp.labeling.models import LabelBatch

LATELY = 8  # jobs listed, and more where they are new
WAITING = 8  # jobs of each queue; the page lists as many of all
LOOK_BACK = 60  # jobs looked at to find those that somebody may see


@dataclass(frozen=True)
class Going:
    """A job that a worker has, and what a person should know when it is not simply going on."""

    entry: Entry
    truth: str
    spark: Spark | None


@dataclass(frozen=True)
class Ended:
    """A job that came to rest, and its page."""

    job: Job
    url: str
    is_new: bool  # since the visit before this one


@dataclass(frozen=True)
class Disk:
    """Room on the disk of the data folder, in bytes."""

    free: int
    total: int

    @property
    def is_short(self) -> bool:
        reserve = int(settings.DISK_RESERVE_BYTES)
        return self.free < max(2 * reserve, self.total // 50)

    @property
    def percent_used(self) -> int:
        return round(100 * (1 - self.free / self.total)) if self.total else 0


@dataclass(frozen=True)
class Steps:
    """How far somebody is on the way from data to labels."""

    has_data: bool
    has_run: bool
    has_labels: bool

    @property
    def next(self) -> str:
        """data, run or label: the first that is missing; empty when none is."""
        missing = (("data", self.has_data), ("run", self.has_run), ("label", self.has_labels))
        return next((name for name, is_done in missing if not is_done), "")


@dataclass(frozen=True)
class Activity:
    """What goes on, as one visitor may see it."""

    queues: list[QueueState]
    running: list[Going]
    waiting: list[Entry]
    lately: list[Ended]
    disk: Disk

    @property
    def news(self) -> list[Ended]:
        """What has ended since somebody was here before."""
        return [ended for ended in self.lately if ended.is_new]

    @property
    def earlier(self) -> list[Ended]:
        return [ended for ended in self.lately if not ended.is_new]

    @property
    def is_quiet(self) -> bool:
        return not (self.running or self.waiting or self.lately)

    @property
    def is_without_workers(self) -> bool:
        return not any(queue.workers for queue in self.queues)


def activity(user: User, since: datetime) -> Activity:
    """Running, waiting and lately ended work, the workers and the disk. What ended after `since` is new."""
    found = queues(user, most_waiting=WAITING)
    running = [entry for queue in found for _, entry in queue.workers if entry is not None]
    running += [entry for queue in found for entry in queue.homeless]
    usage = shutil.disk_usage(settings.DATA_DIR)
    return Activity(
        queues=found,
        running=[_going(entry) for entry in sorted(running, key=lambda e: e.job.pk)],
        waiting=[entry for queue in found for entry in queue.waiting],
        lately=_lately(user, since),
        disk=Disk(free=usage.free, total=usage.total),
    )


def steps(user: User) -> Steps:
    """What there is that somebody may see, theirs or a colleague's."""
    versions = DatasetVersion.objects.exclude(ready_at=None)
    runs = Run.objects.filter(job__state=Job.State.FINISHED)
    return Steps(
        has_data=visible(versions, user, "dataset__").exists(),
        has_run=visible(runs, user).exists(),
        has_labels=visible(LabelBatch.objects.all(), user).exists(),
    )


def _going(entry: Entry) -> Going:
    is_shown = entry.is_seen and entry.job.kind == "train"
    return Going(entry, truth_of(entry.job), spark_of(entry.job.pk) if is_shown else None)


def _lately(user: User, since: datetime) -> list[Ended]:
    """The latest ends; all that are new, as far as one looks back."""
    rested = listed(Job.objects.filter(state__in=(*Job.OVER, Job.State.PAUSED)))
    found: list[Ended] = []
    for job in rested.order_by(F("finished_at").desc(nulls_last=True), "-pk")[:LOOK_BACK]:
        kind = kinds.of(job)
        is_new = job.finished_at is not None and job.finished_at > since
        if len(found) >= LATELY and not is_new:
            break
        if may_view(user, kind.subject(job)):
            found.append(Ended(job=job, url=kind.url(job), is_new=is_new))
    return found
