"""Pages of batches that several people label: how far they agree, and deciding where they do not."""

from __future__ import annotations

import math

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.permissions import get_editable, get_visible, may_edit, may_label
from webapp.accounts.request import user_of
from webapp.labeling import orders, review, standing
from webapp.labeling.agreement import Agreement, agreement
from webapp.labeling.forms import LabelsWantedForm
from webapp.labeling.models import LabelBatch


@require_GET
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """How far people agree on a batch."""
    batch = get_visible(LabelBatch.objects.select_related("model", "job", "owner"), request.user, pk=pk)
    found = agreement(batch)
    may_review = may_label(request.user, batch)
    context = {
        "batch": batch,
        "found": found,
        "classes": _classes(found),
        "differences": _differences(found),
        "standing": review.standing(batch),
        "form": LabelsWantedForm(initial={"labels_wanted": batch.labels_wanted}),
        "may_edit": may_edit(request.user, batch),
        "may_review": may_review,
        "to_decide": orders.conflicts(batch, user_of(request)).count() if may_review else 0,
    }
    return render(request, "labeling/agreement.html", context)


@require_POST
def want(request: HttpRequest, pk: int) -> HttpResponse:
    """Say how many people are to label each face."""
    batch = get_editable(LabelBatch.objects.all(), request.user, pk=pk)
    form = LabelsWantedForm(request.POST)
    if form.is_valid():
        wanted = form.cleaned_data["labels_wanted"]
        standing.want_labels(batch, wanted)
        people = "one person" if wanted == 1 else f"{wanted} people, apart from each other"
        messages.success(request, f"Each face is now labelled by {people}.")
    else:
        messages.error(request, f"Between one person and {standing.MOST_LABELS} can label each face.")
    return redirect("labeling:agreement", pk)


def _classes(found: Agreement) -> list[dict[str, object]]:
    rows = zip(found.categories, found.specific, found.given, strict=True)
    return [{"name": name, "share": share, "given": given} for name, share, given in rows]


def _differences(found: Agreement) -> list[dict[str, object]]:
    """Rows of the table of differences, without what nobody differs on; the level, 0 to 4, is its shade."""
    table = found.differences
    used = [k for k, row in enumerate(table) if sum(row) > row[k]]
    most = max((table[i][j] for i in used for j in used if i != j), default=1)
    rows: list[dict[str, object]] = []
    for i in used:
        cells = [
            {"name": found.categories[j], "count": table[i][j], "level": math.ceil(4 * table[i][j] / most)}
            for j in used
        ]
        rows.append({"name": found.categories[i], "cells": cells})
    return rows
