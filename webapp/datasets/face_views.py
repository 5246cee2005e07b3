"""The faces of a data set: the grid, one of them, and its pixels."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET

from webapp import packs
from webapp.accounts.permissions import visible
from webapp.accounts.request import user_of
from webapp.datasets import browsing, ordering, provenance, report, revising, selectors
from webapp.datasets.browsing import FaceFilter
from webapp.datasets.models import DatasetVersion, Sample
from webapp.datasets.revising import Pending
from webapp.datasets.views import frame
from webapp.partials import wants_part


@require_GET
def faces(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """The grid; for htmx, its faces alone."""
    version = selectors.version_of(user_of(request), pk, number)
    response = grid(request, version, partial=wants_part(request))
    patch_vary_headers(response, ["HX-Request"])
    return response


def grid(request: HttpRequest, version: DatasetVersion, *, partial: bool) -> HttpResponse:
    """A page of faces by the filters of the address, with the changes that wait."""
    filters = FaceFilter.of(request.GET)
    user = user_of(request)
    waiting = revising.pending(version, user)
    known = ordering.scorings(user, version)
    order = ordering.order_of(request.GET, known)
    page, samples = browsing.faces(version, filters, request.GET.get("page"), order)
    scores = ordering.scores(order, samples)
    context = frame(request, version, "faces") | {
        "filters": filters,
        "page": page,
        "faces": [(*_as_shown(version, s, waiting), _said(order, scores.get(s.pk))) for s in samples],
        "pending": waiting,
        "flags": report.flags(version),
        "table": report.class_table(version),
        "agreements": [(key, name) for key, (name, _) in browsing.AGREEMENTS.items()],
        "scorings": known,
        "order": order,
        "sorts": [(key, name) for key, (name, *_) in ordering.SORTS.items()],
    }
    return render(request, "datasets/_faces.html" if partial else "datasets/faces.html", context)


def _said(order: ordering.Order | None, score: Any) -> str:
    """What a model said of a face, in words as short as a face is wide."""
    if order is None or score is None:
        return ""
    answer = f"{order.scoring.model.classes[score.answer]} {score.confidence:.0%}"
    return answer if order.sort != "loss" else f"{answer}, {score.loss:.2f}"


def _as_shown(version: DatasetVersion, sample: Sample, waiting: Pending) -> tuple[Sample, str, str]:
    """A face, its label, and what waits to be changed of it, in words."""
    return sample, browsing.label_of(version, sample), words_of(sample, waiting)


def words_of(sample: Sample, waiting: Pending) -> str:
    """What waits to be changed of a face; empty where nothing does."""
    said = []
    if sample.index in waiting.excluded:
        said.append("left out")
    if sample.index in waiting.relabelled:
        said.append(f"→ {waiting.relabelled[sample.index] or 'no label'}")
    said += [f"+ {tag}" for tag in waiting.tagged.get(sample.index, [])]
    return ", ".join(said)


@require_GET
def face(request: HttpRequest, pk: int, number: int, index: int) -> HttpResponse:
    """One face: its label, its votes, what was measured of it."""
    version = selectors.version_of(user_of(request), pk, number)
    sample = browsing.face(version, index)
    filters = FaceFilter.of(request.GET)
    user = user_of(request)
    order = ordering.order_of(request.GET, ordering.scorings(user, version))
    before, after = browsing.neighbours(sample, filters, order)
    context = frame(request, version, "faces") | {
        "sample": sample,
        "votes": browsing.votes_of(sample),
        "vote_count": sum(sample.votes or []),
        "split_name": report.SPLIT_NAMES.get(sample.split, sample.split),
        "twins": [(s, browsing.label_of(version, s)) for s in browsing.twins(sample)],
        "origin": provenance.origin_of(sample),
        "before": before,
        "after": after,
        "label": browsing.label_of(version, sample),
        "page_of_grid": browsing.page_of(sample, filters, order),
        "predictions": ordering.predictions(user, sample),
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
