"""Asking a second model about a batch's faces."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from webapp.accounts.permissions import get_visible, may_edit, may_label, require
from webapp.accounts.request import user_of
from webapp.errors import RefusedError
from webapp.labeling import second_opinion
from webapp.labeling.forms import SecondModelForm
from webapp.labeling.models import LabelBatch
from webapp.registry import weights


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """Models that were asked, and a form to ask one more."""
    batch = get_visible(LabelBatch.objects.select_related("model", "job"), request.user, pk=pk)
    require(may_label(request.user, batch), "Viewers cannot ask a second model. Ask for the editor role.")
    user = user_of(request)
    form = SecondModelForm(request.POST or None, user=user, batch=batch)
    if form.is_valid():
        try:
            second = second_opinion.ask(user, batch, weights.model_of(user, form.cleaned_data["model"]))
            messages.success(request, f"{second.model_name} labels the same faces now.")
        except RefusedError as error:
            messages.error(request, str(error))
        return redirect("labeling:second", pk)
    context = {
        "batch": batch,
        "form": form,
        "seconds": second_opinion.asked(batch),
        "may_edit": may_edit(user, batch),
        "has_models": form.has_models,
        "obstacle": second_opinion.obstacle(batch),
    }
    return render(request, "labeling/second.html", context, status=422 if form.errors else 200)
