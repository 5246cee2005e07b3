"""On the page of a data set's faces: which models were asked about them, and asking another."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.permissions import may_create, require, visible
from webapp.accounts.request import user_of
from webapp.datasets import selectors
from webapp.errors import RefusedError
from webapp.registry import scoring
from webapp.registry.models import Scoring


@require_GET
def scorings(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Part of a page: models that were asked, how far they are, and a form to ask another."""
    user = user_of(request)
    version = selectors.version_of(user, pk, number)
    rows = Scoring.objects.filter(version=version).select_related("model", "job")
    context = {
        "version": version,
        "scorings": visible(rows, user, "model__"),
        "choices": scoring.choices(user, version) if may_create(user) else [],
        "may_ask": may_create(user),
    }
    return render(request, "registry/_scorings.html", context)


@require_POST
def score(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Ask a model about every face."""
    user = user_of(request)
    version = selectors.version_of(user, pk, number)
    require(may_create(user), "Viewers cannot start work. Ask an administrator for the editor role.")
    try:
        scoring.start(user, version, request.POST.get("model", ""))
    except RefusedError as error:
        messages.error(request, str(error))
    return redirect(f"{reverse('datasets:faces', args=[pk, number])}?models=1")
