"""Starting a search, and the page where it is watched and steered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.accounts.models import User
from webapp.accounts.permissions import get_editable, get_visible, may_create, may_edit, require
from webapp.accounts.request import user_of
from webapp.errors import RefusedError
from webapp.experiments import selectors as experiments
from webapp.experiments.launch_views import REFUSAL, cost_page
from webapp.experiments.models import Experiment
from webapp.searches import selectors, services
from webapp.searches.forms import SearchForm, explained, preset_values
from webapp.searches.models import Search

WANTED = (
    "version", "preset", "config", "space", "objective", "name", "parallel", "hours", "chooser", "pruner",
    "grace_epochs", "seed", "experiment", "start_from", "private", "request_key",
)  # fmt: skip


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Choose what may vary and what it may cost."""
    user = user_of(request)
    require(may_create(user), REFUSAL)
    initial = {name: request.GET[name] for name in ("preset", "version", "experiment") if name in request.GET}
    form = SearchForm(request.POST if request.method == "POST" else None, user=user, initial=initial)
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = services.start_search(user, budget=data["trials"], **{name: data[name] for name in WANTED})
        except RefusedError as error:
            form.add_error(None, str(error))
        else:
            return redirect("searches:search", made.pk)
    context = {
        "form": form,
        "settings": explained(),
        "presets": preset_values(),
        "has_data": experiments.ready_versions(user).exists(),
    }
    return render(request, "searches/new.html", context, status=422 if form.errors else 200)


@require_POST
def plan(request: HttpRequest) -> HttpResponse:
    """What the form's search would cost at most, for htmx. Starts nothing."""
    user = user_of(request)
    require(may_create(user), REFUSAL)
    form = SearchForm(request.POST, user=user)
    trials = [form.cleaned_data["config"]] * form.cleaned_data["trials"] if form.is_valid() else []
    return cost_page(request, form, trials)


@require_GET
def search(request: HttpRequest, pk: int) -> HttpResponse:
    """One search: how far it is, its best trial, what matters, and every trial."""
    return render(request, "searches/search.html", _context(request, _search(request, pk)))


@require_GET
def results(request: HttpRequest, pk: int) -> HttpResponse:
    """The head and the table alone, for htmx: something has changed, or it is to be sorted."""
    return render(request, "searches/_results.html", _context(request, _search(request, pk)))


@require_GET
def points(request: HttpRequest, pk: int) -> JsonResponse:
    """What the charts draw."""
    row = _search(request, pk)
    return JsonResponse(selectors.chart(row, selectors.rows(row, user_of(request))))


@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Begin no more trials, and let the open ones step aside."""
    return _steered(request, pk, services.pause, "Paused. Open trials write a checkpoint first.")


@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Go on."""
    return _steered(request, pk, services.resume, "It goes on.")


@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """End it with its open trials."""
    return _steered(request, pk, services.stop, "Stopped. What was tried stays.")


@require_POST
def extend(request: HttpRequest, pk: int) -> HttpResponse:
    """Up to so many trials, also after its end."""
    budget = request.POST.get("budget", "")

    def more(row: Search, by: User) -> bool:
        return services.extend(row, budget=int(budget) if budget.isdecimal() else 0)

    return _steered(request, pk, more, "It tries more.")


@require_POST
def confirm(request: HttpRequest, pk: int) -> HttpResponse:
    """Train the best settings with new seeds, in the same experiment."""
    row = _search(request, pk, to_change=True)
    try:
        made = services.confirm(row, user_of(request))
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("searches:search", pk)
    messages.success(request, "The best settings train with three new seeds, and open the test split.")
    return redirect("experiments:experiment", made.pk)


def _steered(request: HttpRequest, pk: int, wish: Callable[[Search, User], bool], done: str) -> HttpResponse:
    """Carry out a wish and say what happened. Two tabs, or a double click, are harmless."""
    row = _search(request, pk, to_change=True)
    try:
        changed = wish(row, user_of(request))
    except RefusedError as error:
        messages.error(request, str(error))
    else:
        row.refresh_from_db()
        messages.info(
            request, done if changed else f"Nothing to do: it is {row.get_state_display().lower()}."
        )
    return redirect("searches:search", pk)


def _search(request: HttpRequest, pk: int, *, to_change: bool = False) -> Search:
    row = get_object_or_404(Search.objects.select_related("experiment", "version__dataset", "by"), pk=pk)
    allowed = get_editable if to_change else get_visible
    allowed(Experiment.objects.select_related("owner"), request.user, pk=row.experiment_id)
    return row


def _context(request: HttpRequest, row: Search) -> dict[str, Any]:
    sort = request.GET.get("sort", "number")
    found = selectors.rows(row, user_of(request))
    return {
        **selectors.summary(row, found),
        "rows": selectors.sorted_rows(row, found, sort),
        "columns": selectors.columns(row, sort),
        "sort": sort,
        "more": selectors.MORE,
        "epochs": row.train_config.optim.epochs,
        "may_edit": may_edit(request.user, row.experiment),
        "may_create": may_create(request.user),
    }
