"""Measuring what a training costs before the first of its size: a short job on the worker to be."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import reduce
from operator import or_

from django.db import transaction
from django.db.models import Q

from mmfrm.config import TrainConfig
from mmfrm.jobs import EstimateJob
from mmfrm.schema import from_dict
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.experiments.models import Estimate
from webapp.jobs import services as jobs
from webapp.jobs.models import Job

KIND = "estimate"
SECONDS = 30.0  # about what one takes, for whoever waits behind it


def size_of(config: TrainConfig) -> str:
    """What decides on the speed and the memory of a step, in one line."""
    net, optim = config.network, config.optim
    parts = (net.size, net.width, net.fusion, net.landmarks, optim.batch_size, optim.first_side)
    half = ("half",) if net.half_side else ()
    return " ".join(str(part) for part in (*parts, config.runtime.precision, *half))


def on_hosts(hosts: Sequence[str]) -> Q:
    """Of jobs done on one of these machines; on any, where none is named.

    Workers' names end in "@host"; what comes before changes with every start of the worker.
    """
    return reduce(or_, (Q(job__worker__endswith=f"@{host}") for host in hosts), Q())


def measured(size: str, hosts: Sequence[str]) -> Estimate | None:
    """The latest measurement of a size."""
    rows = Estimate.objects.select_related("job").filter(on_hosts(hosts), size=size)
    return rows.filter(job__state=Job.State.FINISHED).first()


def latest(configs: Iterable[TrainConfig]) -> list[Estimate]:
    """The newest measurement of each size among configs that has any, whatever became of it."""
    newest: dict[str, Estimate] = {}
    for row in Estimate.objects.select_related("job").filter(size__in={size_of(c) for c in configs}):
        newest.setdefault(row.size, row)
    return list(newest.values())


@transaction.atomic
def start(user: User, version: DatasetVersion, configs: Iterable[TrainConfig]) -> None:
    """Queue a measurement of each size among configs, before all that waits, since it is short.

    Sizes that are being measured are left alone; what failed or rests is begun anew.
    """
    by_size = {size_of(config): config for config in configs}
    for row in latest(by_size.values()):
        if row.job.state in Job.RESTING:
            _remove(row.job)
        elif row.job.state != Job.State.FINISHED:
            del by_size[row.size]
    for size, config in by_size.items():
        net = config.network
        title = f"Measure {net.size} {net.fusion}, batch size {config.optim.batch_size}"
        first = jobs.first_position(Job.Queue.GPU)
        job = jobs.create(kind=KIND, queue=Job.Queue.GPU, owner=user, title=title)
        Job.objects.filter(pk=job.pk).update(position=first)
        Estimate.objects.create(
            job=job, owner=user, config=asdict(config), classes=len(version.classes), size=size
        )


def _remove(job: Job) -> None:
    folder = jobs.folder_of(job)
    job.delete()
    transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def prepare(job: Job) -> EstimateJob:
    """The measurement as its child reads it."""
    row = job.estimate
    return EstimateJob(config=from_dict(TrainConfig, row.config), classes=row.classes)
