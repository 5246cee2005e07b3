"""What an import would make of a source: a dozen pictures looked at before it, and their pixels."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from webapp import packs
from webapp.accounts.permissions import get_visible
from webapp.datasets.models import Dataset, DatasetImport
from webapp.datasets.report import LAYOUT_NAMES
from webapp.jobs import services as jobs
from webapp.jobs.models import Job

# What came of a picture: said of one, and of several.
OUTCOMES = {
    "taken": ("shows one face", "show one face"),
    "several": ("shows several faces", "show several faces"),
    "none": ("shows no face", "show no face"),
    "left_out": ("is of a class that is left out", "are of classes that are left out"),
    "unreadable": ("cannot be read", "cannot be read"),
}


def shown(job: Job) -> dict[str, Any]:
    """A finished preview, in the words of its page; see `mmfrm.data.preview`."""
    said: dict[str, Any] = job.result
    outcomes = said["outcomes"]
    counted = [
        f"{outcomes[key]:,} {one if outcomes[key] == 1 else many}"
        for key, (one, many) in OUTCOMES.items()
        if key in outcomes and (said["faces"] == "find" or key in ("left_out", "unreadable"))
    ]
    return said | {
        "layout_name": LAYOUT_NAMES.get(said["layout"], said["layout"]),
        "counted": ", ".join(counted),
        "looked_at": len(said["pictures"]),
        "finds": said["faces"] == "find",
    }


@require_GET
def picture(request: HttpRequest, pk: int, job: int, picture: int) -> HttpResponse:
    """A photo of a preview, or a face crop that would come out."""
    dataset = get_visible(Dataset.objects.all(), request.user, pk=pk)
    row = DatasetImport.objects.filter(version__dataset=dataset, job=job).select_related("job").first()
    if row is None:
        raise Http404
    path = jobs.folder_of(row.job) / "pictures" / f"{picture}.jpg"
    if not path.is_file():
        raise Http404
    etag = f"preview-{job}-{row.job.attempt}-{picture}"
    return packs.image_response(request, path=path, offset=0, length=path.stat().st_size, etag=etag)
