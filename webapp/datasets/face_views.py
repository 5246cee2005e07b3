"""The faces of a data set: the grid, one of them, and its pixels."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET

from webapp import packs
from webapp.accounts.permissions import visible
from webapp.accounts.request import user_of
from webapp.datasets import browsing, report, selectors
from webapp.datasets.browsing import FaceFilter
from webapp.datasets.models import Sample
from webapp.datasets.views import frame


@require_GET
def faces(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """The grid; for htmx, its faces alone."""
    version = selectors.version_of(user_of(request), pk, number)
    filters = FaceFilter.of(request.GET)
    page, samples = browsing.faces(version, filters, request.GET.get("page"))
    context = frame(request, version, "faces") | {
        "filters": filters,
        "page": page,
        "faces": [(s, browsing.label_of(version, s)) for s in samples],
        "flags": report.flags(version),
        "table": report.class_table(version),
    }
    partial = request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request")
    response = render(request, "datasets/_faces.html" if partial else "datasets/faces.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_GET
def face(request: HttpRequest, pk: int, number: int, index: int) -> HttpResponse:
    """One face: its label, its votes, what was measured of it."""
    version = selectors.version_of(user_of(request), pk, number)
    sample = browsing.face(version, index)
    filters = FaceFilter.of(request.GET)
    before, after = browsing.neighbours(sample, filters)
    context = frame(request, version, "faces") | {
        "sample": sample,
        "votes": browsing.votes_of(sample),
        "vote_count": sum(sample.votes or []),
        "split_name": report.SPLIT_NAMES.get(sample.split, sample.split),
        "twins": [(s, browsing.label_of(version, s)) for s in browsing.twins(sample)],
        "before": before,
        "after": after,
        "label": browsing.label_of(version, sample),
        "page_of_grid": browsing.page_of(sample, filters),
    }
    return render(request, "datasets/face.html", context)


@require_GET
def pixels(request: HttpRequest, pk: int, number: int, index: int) -> HttpResponse:
    """The image of one face. Where it lies is known from its row, never said by the visitor."""
    rows = Sample.objects.filter(version__dataset_id=pk, version__number=number, index=index)
    sample = visible(rows.select_related("version__dataset"), request.user, "version__dataset__").first()
    if sample is None:
        raise Http404
    path = (sample.version.folder / sample.pack).resolve()
    if not path.is_relative_to(sample.version.dataset.folder.resolve()):
        raise Http404
    return packs.image_response(
        request,
        path=path,
        offset=sample.offset,
        length=sample.length,
        etag=sample.sha256,
    )
