"""The dialog in which a run is steered."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.permissions import get_editable
from webapp.accounts.request import user_of
from webapp.errors import RefusedError
from webapp.experiments import selectors, steering
from webapp.experiments.models import Run
from webapp.experiments.steer_forms import PARTS, SteerForm
from webapp.experiments.steered import parts_of, waits_for
from webapp.jobs.models import Job


@require_http_methods(["GET", "POST"])
def steer(request: HttpRequest, pk: int) -> HttpResponse:
    """What can be ordered of a run now; an order writes itself down and answers with nothing more to show."""
    row = _run(request, pk)
    part = request.POST.get("part", "")
    if request.method == "GET" or part not in PARTS:
        return _dialog(request, row)
    form = _form(row, part, request.POST)
    if not form.is_valid():
        return _dialog(request, row, sent=form)
    names = ("seen", "request_key")
    try:
        made = steering.steer(
            row, user_of(request), **form.order(), **{name: form.cleaned_data[name] for name in names}
        )
    except RefusedError as error:
        return _dialog(request, row, refusal=str(error))
    job = Job.objects.get(pk=row.job_id)
    said = "The note is kept." if made.do == made.Do.NOTE else f"{made}: {waits_for(made, job)}."
    if not request.headers.get("HX-Request"):
        messages.success(request, said)
        return redirect("experiments:run", pk)
    response = HttpResponse(status=204)
    response["HX-Trigger"] = json.dumps({"steered": True, "toast": {"text": said, "level": "success"}})
    return response


@require_POST
def withdraw(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Take back an order to stop that has not come true."""
    row = _run(request, pk)
    if not steering.withdraw(row, number, user_of(request)):
        messages.info(request, "There is nothing to take back any more.")
    return redirect("experiments:run", pk)


def _run(request: HttpRequest, pk: int) -> Run:
    return get_editable(Run.objects.select_related("job", "owner"), request.user, pk=pk)


def _form(row: Run, part: str, data: Any = None) -> SteerForm:
    done = selectors.epochs_done([row]).get(row.pk, 0)
    seen = steering.last_number(row, orders_only=True)
    return PARTS[part](data, run=row, part=part, done=done, seen=seen, rate=selectors.rate_now(row))


def _dialog(
    request: HttpRequest, row: Run, *, sent: SteerForm | None = None, refusal: str = ""
) -> HttpResponse:
    """Every part that makes sense now; the one that was sent with what is wrong with it."""
    forms = {part: _form(row, part) for part in parts_of(row.job)}
    if sent is not None:
        forms[sent.data["part"]] = sent
    context = {"run": row, "forms": list(forms.values()), "refusal": refusal}
    return render(request, "experiments/_steer.html", context)
