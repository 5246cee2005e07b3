"""What pages read of data sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, Prefetch, QuerySet, Sum, When
from django.http import Http404

from webapp.accounts.models import User
from webapp.accounts.permissions import get_visible, visible
from webapp.datasets.models import Dataset, DatasetVersion, Refusal

_READY_FIRST = Case(When(ready_at=None, then=1), default=0)
REFUSALS_A_PAGE = 50
RUNS_SHOWN = 10


def datasets(user: User) -> QuerySet[Dataset]:
    """What somebody may see, the newest first, with the latest version and its job."""
    versions = DatasetVersion.objects.select_related("import_job__job").order_by("-number")
    rows = visible(Dataset.objects.all(), user).select_related("owner")
    return rows.prefetch_related(Prefetch("versions", versions)).order_by("-created_at", "-pk")


def version_of(user: User, pk: int, number: int | None = None) -> DatasetVersion:
    """A version that somebody may see, without a number the latest that is ready. Raises Http404."""
    dataset = get_visible(Dataset.objects.select_related("owner"), user, pk=pk)
    rows = DatasetVersion.objects.filter(dataset=dataset).select_related(
        "made_by", "parent", "import_job__job"
    )
    found = rows if number is None else rows.filter(number=number)
    version = found.order_by(_READY_FIRST, "-number").first()
    if version is None:
        raise Http404
    version.dataset = dataset  # with its owner
    return version


def seconds_taken(version: DatasetVersion) -> float | None:
    """How long the import took, from the start of its first attempt."""
    started = version.import_job.job.started_at
    return (version.ready_at - started).total_seconds() if started and version.ready_at else None


def runs(user: User, version: DatasetVersion) -> list[Any]:
    """The latest runs on a version that somebody may see. By the reverse name: runs know data sets."""
    rows = visible(version.runs.all(), user).select_related("job", "owner")
    return list(rows.order_by("-created_at")[:RUNS_SHOWN])


def refusals(version: DatasetVersion, verdict: str, number: str | None) -> Page[Refusal]:
    """Files that did not arrive as they were, a page of them."""
    rows = Refusal.objects.filter(version=version).order_by("index")
    if verdict in Refusal.Verdict.values:
        rows = rows.filter(verdict=verdict)
    return Paginator(rows, REFUSALS_A_PAGE).get_page(number)


@dataclass(frozen=True)
class GoesAlong:
    """What deleting a data set deletes."""

    versions: int
    images: int
    bytes: int


def goes_along(dataset: Dataset) -> GoesAlong:
    """Counted on the disk too."""
    counts = dataset.versions.aggregate(versions=Count("pk"), images=Sum("images"))
    size = sum(p.stat().st_size for p in dataset.folder.rglob("*") if p.is_file())
    return GoesAlong(counts["versions"], counts["images"] or 0, size)


def versions(dataset: Dataset) -> list[DatasetVersion]:
    """All versions of a data set, the newest first, each with who made it and the job that did."""
    return list(dataset.versions.select_related("made_by", "parent", "import_job__job").order_by("-number"))
