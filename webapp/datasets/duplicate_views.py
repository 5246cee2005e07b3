"""Faces that are alike, side by side, and what is done about them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET

from webapp.accounts.request import user_of
from webapp.datasets import duplicates, revising, selectors
from webapp.datasets.face_views import words_of
from webapp.datasets.models import AlikeGroup, DatasetVersion, Edit
from webapp.datasets.views import frame
from webapp.errors import RefusedError
from webapp.partials import wants_part


@require_GET
def alike(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Groups of equal and nearly equal faces; for htmx, the groups alone."""
    version = selectors.version_of(user_of(request), pk, number)
    response = listing(request, version, partial=wants_part(request))
    patch_vary_headers(response, ["HX-Request"])
    return response


def listing(request: HttpRequest, version: DatasetVersion, *, partial: bool) -> HttpResponse:
    """A page of groups by the address, with the changes that wait."""
    kind = duplicates.kind_of(request.GET)
    waiting = revising.pending(version, user_of(request))
    page, shown = duplicates.shown(version, kind, request.GET.get("page"))
    counts = duplicates.counts(version)
    groups = [(g, [(s, label, words_of(s, waiting)) for s, label in g.faces]) for g in shown]
    context = frame(request, version, "alike") | {
        "kind": kind,
        "kinds": [(k, name, counts[k]) for k, name in duplicates.NAMES.items() if counts[k] or not k],
        "page": page,
        "groups": groups,
        "pending": waiting,
        "of_training": counts["leaking"] > 0,
    }
    return render(request, "datasets/_alike.html" if partial else "datasets/alike.html", context)


def act(request: HttpRequest, version: DatasetVersion) -> Edit:
    """What the form of a group, or of all that the address shows, wishes. Raises RefusedError, Http404."""
    user, asked = user_of(request), request.POST
    if name := asked.get("group", ""):
        number = int(name) if name.isdecimal() and len(name) < 10 else -1
        group = get_object_or_404(AlikeGroup, version=version, number=number)
        if (index := asked.get("keep", "")).isdecimal():
            return duplicates.leave_out_all_but_one(version, user, [group], keep=int(index))
        if label := asked.get("relabel", ""):
            return duplicates.relabel(version, user, group, label)
        groups = [group]
    else:
        groups = list(duplicates.of_kind(version, duplicates.kind_of(request.GET)))
    if asked.get("action") == "training":
        return duplicates.leave_out_training(version, user, groups)
    if asked.get("action") == "keep_one":
        return duplicates.leave_out_all_but_one(version, user, groups)
    raise RefusedError("Leave out or relabel.")
