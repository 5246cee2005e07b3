"""Selecting faces, changing them, and making new versions."""

from __future__ import annotations

import json
import re

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.permissions import get_editable
from webapp.accounts.request import user_of
from webapp.datasets import browsing, deleting, duplicate_views, ordering, revising, selectors
from webapp.datasets.browsing import FaceFilter
from webapp.datasets.face_views import grid
from webapp.datasets.models import Dataset, DatasetVersion, Edit
from webapp.datasets.views import frame
from webapp.errors import RefusedError

_TAG = re.compile(r"[a-z0-9_-]{1,40}")


@require_POST
def edit_faces(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Leave out, relabel or tag the selected faces, or all that the filters show; the grid comes back."""
    version = _editable_version(request, pk, number)
    try:
        action, value = _wish(request)
        indices = _selected(request, version)
        revising.add_edit(version, user_of(request), action=action, value=value, indices=indices)
    except RefusedError as error:
        return _back(request, version, str(error))
    return _back(request, version)


@require_POST
def change_alike(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Leave out or relabel faces that are alike: of one group, or of all that the address shows."""
    version = _editable_version(request, pk, number)
    try:
        duplicate_views.act(request, version)
    except RefusedError as error:
        return _back(request, version, str(error))
    return _back(request, version)


@require_POST
def undo(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Take back the last change of faces."""
    version = _editable_version(request, pk, number)
    if revising.undo(version, user_of(request)) is None:
        return _back(request, version, "There is nothing to undo.")
    return _back(request, version)


@require_POST
def make_version(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """A new version with every change that waits."""
    version = _editable_version(request, pk, number)
    try:
        made = revising.make_version(version, user_of(request), why=request.POST.get("why", "").strip())
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("datasets:faces", pk, number)
    return redirect("datasets:version", pk, made.number)


@require_POST
def remedy(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """A new version with a fault mended."""
    version = _editable_version(request, pk, number)
    try:
        made = revising.remedy(version, user_of(request), request.POST.get("remedy", ""))
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("datasets:version", pk, number)
    return redirect("datasets:version", pk, made.number)


@require_POST
def discard(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Take away a version that was never finished."""
    version = _editable_version(request, pk, number)
    try:
        again = revising.discard(version)
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("datasets:version", pk, number)
    if again and version.parent is not None:
        mine = "" if version.made_by == user_of(request) else f" for {version.made_by}"
        text = f"Version {number} was discarded; its changes wait in v{version.parent.number} again{mine}."
        messages.success(request, text)
    else:
        messages.success(request, f"Version {number} was discarded.")
    return redirect("datasets:dataset", pk)


@require_http_methods(["GET", "POST"])
def delete_version(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """What goes with a version, and deleting it."""
    version, user = _editable_version(request, pk, number), user_of(request)
    if request.method == "POST":
        try:
            deleting.delete(version, user, with_runs=bool(request.POST.get("with_runs")))
        except RefusedError as error:
            messages.error(request, str(error))
            return redirect("datasets:delete_version", pk, number)
        messages.success(request, f"Version {number} and the images that only it had were deleted.")
        return redirect("datasets:dataset", pk)
    context = frame(request, version, "delete") | {
        "why_not": deleting.why_not(version),
        "goes_along": deleting.goes_along(version, user),
    }
    return render(request, "datasets/delete_version.html", context)


def _editable_version(request: HttpRequest, pk: int, number: int) -> DatasetVersion:
    get_editable(Dataset.objects.all(), request.user, pk=pk)
    return selectors.version_of(user_of(request), pk, number)


def _wish(request: HttpRequest) -> tuple[str, str]:
    """What is to be done to the faces. Raises RefusedError where that is nothing known."""
    action = request.POST.get("action", "")
    if action == Edit.Action.TAG:
        tag = request.POST.get("tag", "").strip().lower().replace(" ", "_")
        if not _TAG.fullmatch(tag):
            raise RefusedError("A tag has up to 40 letters, digits, - or _.")
        return action, tag
    if action == Edit.Action.RELABEL:
        if not (label := request.POST.get("to", "")):
            raise RefusedError("Choose the new class first.")
        return action, "" if label == "none" else label
    if action != Edit.Action.EXCLUDE:
        raise RefusedError("Leave out, relabel or tag.")
    return action, ""


def _selected(request: HttpRequest, version: DatasetVersion) -> list[int]:
    if request.POST.get("all"):
        order = ordering.order_of(request.GET, ordering.scorings(user_of(request), version))
        rows = browsing.in_order(version, FaceFilter.of(request.GET), order)
        return list(rows.values_list("index", flat=True)[: revising.MOST_AT_ONCE + 1])
    return [int(text) for text in request.POST.getlist("face") if text.isdecimal() and len(text) < 10]


def _back(request: HttpRequest, version: DatasetVersion, problem: str = "") -> HttpResponse:
    """The page as it was, with what now waits: for htmx in place, otherwise by its address.

    The address says which page it is: `on=alike` for that of equal faces, otherwise the grid.
    """
    on_alike = request.GET.get("on") == "alike"
    if request.headers.get("HX-Request"):
        show = duplicate_views.listing if on_alike else grid
        response = show(request, version, partial=True)
        if problem:
            response["HX-Trigger"] = json.dumps({"toast": {"text": problem, "level": "warning"}})
        return response
    if problem:
        messages.warning(request, problem)
    page = "datasets:alike" if on_alike else "datasets:faces"
    response = redirect(page, version.dataset_id, version.number)
    if query := request.GET.urlencode():
        response["Location"] += f"?{query}"
    return response
