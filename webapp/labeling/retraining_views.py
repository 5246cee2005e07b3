"""The page that says what a further training was worth."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.permissions import get_visible, may_create, may_edit, require
from webapp.accounts.request import user_of
from webapp.errors import RefusedError
from webapp.experiments.models import Run
from webapp.labeling import retraining
from webapp.labeling.models import BeforeAfter


@require_GET
def before_after(request: HttpRequest, run: int) -> HttpResponse:
    """Both models on the same test faces, class by class."""
    row = _run(request, run)
    found = BeforeAfter.objects.select_related("job").filter(run=row).first()
    context: dict[str, Any] = {
        "run": row,
        "found": found,
        "obstacle": retraining.obstacle(row),
        "may_create": may_create(request.user),
        "may_edit": may_edit(request.user, row),
    }
    if found is not None and found.report:
        report = found.report
        context |= {
            "report": report,
            "overall": retraining.overall(report),
            "classes": retraining.by_class(report),
            "confusions": retraining.confusions(report),
            "chart": report["classes"],
        }
    return render(request, "labeling/before_after.html", context)


@require_POST
def measure(request: HttpRequest, run: int) -> HttpResponse:
    """Measure both, where that was not done."""
    row = _run(request, run)
    require(may_create(request.user), "Viewers cannot start a comparison. Ask for the editor role.")
    try:
        retraining.measure(user_of(request), row)
    except RefusedError as error:
        messages.error(request, str(error))
    return redirect("labeling:before_after", run)


def _run(request: HttpRequest, pk: int) -> Run:
    rows = Run.objects.select_related("version__dataset", "experiment", "job", "owner")
    return get_visible(rows, request.user, pk=pk)
