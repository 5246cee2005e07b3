"""Deleting one version of a data set: what goes with it, what stays, and doing it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from webapp.accounts.models import User
from webapp.accounts.permissions import may_edit, may_view
from webapp.datasets import erasing, services
from webapp.datasets.models import Dataset, DatasetImport, DatasetVersion, Sample
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job

if TYPE_CHECKING:
    from webapp.experiments.models import Run

NAMED = 5  # runs that a page or a refusal names


@dataclass(frozen=True)
class GoesAlong:
    """What deleting a version deletes, and what it leaves."""

    images: int  # whose pixels no other version has
    bytes: int
    shared: int  # images that other versions keep
    children: list[int]  # numbers of versions that were made out of it, which stay
    runs: int  # that learned from it
    run_names: list[str]  # of those that the visitor may see, at most NAMED
    foreign: int  # of those runs, the ones that the visitor may not delete


def goes_along(version: DatasetVersion, user: User) -> GoesAlong:
    """Counted by content: where other versions have the same bytes, the pixels stay."""
    rows = Sample.objects.filter(version=version)
    others = Sample.objects.filter(version__dataset=version.dataset_id).exclude(version=version)
    kept = set(others.values_list("sha256", flat=True).distinct())
    alone = [length for digest, length in rows.values_list("sha256", "length") if digest not in kept]
    runs = _runs(version)
    return GoesAlong(
        images=len(alone),
        bytes=sum(alone),
        shared=version.images - len(alone),
        children=sorted(version.children.values_list("number", flat=True)),
        runs=len(runs),
        run_names=[run.name for run in runs if may_view(user, run)][:NAMED],
        foreign=sum(not may_edit(user, run) for run in runs),
    )


def why_not(version: DatasetVersion) -> str:
    """Why a version cannot be deleted now, in words; empty where it can."""
    others = version.dataset.versions.exclude(pk=version.pk)
    if not others.filter(ready_at__isnull=False).exists():
        return "It is the only version. Delete the data set instead."
    if version.ready_at is None:
        return "It was never finished: discard it on its own page."
    # What is being made reads the packs of others, and its rows, which say which, are not there yet.
    if unfinished := others.filter(ready_at=None).order_by("number").first():
        return f"Version {unfinished.number} is not finished. Wait for it, or discard it first."
    if reader := _reader(version):
        return f"“{reader}” is reading it now. Stop that first."
    return ""


@transaction.atomic
def delete(version: DatasetVersion, user: User, *, with_runs: bool) -> None:
    """Delete a version, the pixels that it alone has, and, where wanted, the runs that learned from it.

    Raises RefusedError where that cannot be, or where runs use it and are not to go along.
    """
    Dataset.objects.select_for_update().get(pk=version.dataset_id)  # no version begins meanwhile
    if reason := why_not(version):
        raise RefusedError(reason)
    _delete_runs(version, user, with_runs=with_runs)
    rows = list(DatasetImport.objects.filter(version=version).select_related("job"))
    folders = [jobs.folder_of(row.job) for row in rows]
    Dataset.objects.filter(pk=version.dataset_id).update(erase_wanted_at=timezone.now())
    Job.objects.filter(pk__in=[row.job_id for row in rows]).delete()
    services.delete_faces(version)
    version.delete()
    transaction.on_commit(partial(services.remove_folders, folders))
    transaction.on_commit(partial(erasing.erase, version.dataset_id))


def _delete_runs(version: DatasetVersion, user: User, *, with_runs: bool) -> None:
    from webapp.experiments.services import delete_run  # experiments know data sets, not the other way round

    runs = _runs(version)
    if runs and not with_runs:
        raise RefusedError(f"{_counted(runs)} learned from it. Say that they may go along, or keep it.")
    if foreign := [run for run in runs if not may_edit(user, run)]:
        raise RefusedError(
            f"{_counted(foreign)} of other people learned from it. They must delete them first."
        )
    for run in runs:
        delete_run(run)


def _counted(runs: list[Run]) -> str:
    return f"{len(runs)} run{'s' * (len(runs) != 1)}"


def _runs(version: DatasetVersion) -> list[Run]:
    runs: Any = version.runs
    return list(runs.select_related("job", "owner").order_by("-created_at"))


def _reader(version: DatasetVersion) -> str:
    """The title of a job that is reading a version's files; of runs, those that go along are asked later."""
    reads = Q(export__version=version) | Q(scoring__version=version)
    return Job.objects.filter(reads, state__in=Job.ACTIVE).values_list("title", flat=True).first() or ""
