"""The page that compares two versions."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from webapp.accounts.request import user_of
from webapp.datasets import comparing, selectors
from webapp.datasets.views import frame


@require_GET
def compare(request: HttpRequest, pk: int, number: int, other: int) -> HttpResponse:
    """What is different in version `number` from version `other`."""
    user = user_of(request)
    new, old = (selectors.version_of(user, pk, n) for n in (number, other))
    if new.ready_at is None or old.ready_at is None:
        messages.info(request, "A version that is still being made cannot be compared yet.")
        return redirect("datasets:version", pk, number)
    difference = comparing.difference(old, new)
    counts = {kind: len(pairs) for kind, pairs in difference.faces.items()}
    first = next((kind for kind, count in counts.items() if count), "left_out")
    asked = request.GET.get("kind", "")
    kind = asked if asked in comparing.KINDS else first
    page, faces = comparing.shown(old, new, kind, request.GET.get("page"))
    context = frame(request, new, "compare") | {
        "old": old,
        "difference": difference,
        "kind": kind,
        "kind_name": comparing.KINDS[kind],
        "kinds": [(k, name, counts[k]) for k, name in comparing.KINDS.items()],
        "page": page,
        "faces": faces,
        "classes": comparing.by_class(old, new),
        "splits": comparing.by_split(old, new),
        "way": comparing.way(old, new),
    }
    return render(request, "datasets/compare.html", context)
