"""Pages of experiments."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.accounts.permissions import get_editable, get_visible, may_edit
from webapp.accounts.request import user_of
from webapp.errors import RefusedError
from webapp.experiments import points, selectors, services
from webapp.experiments.comparison import FIGURES, compare
from webapp.experiments.forms import ExperimentForm
from webapp.experiments.models import Experiment


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Every experiment that the visitor may see, and the latest runs."""
    user = user_of(request)
    page = Paginator(selectors.experiments(user), 20).get_page(request.GET.get("page"))
    context = {"page": page, "has_data": selectors.ready_versions(user).exists()}
    return render(request, "experiments/index.html", context | _table(selectors.latest_runs(user)))


@require_GET
def latest(request: HttpRequest) -> HttpResponse:
    """The latest runs alone, for htmx: something has changed."""
    context = {"with_experiment": True, **_table(selectors.latest_runs(user_of(request)))}
    return render(request, "experiments/_runs.html", context)


@require_GET
def experiment(request: HttpRequest, pk: int) -> HttpResponse:
    """One experiment: its question, its runs in a table, their curves over each other."""
    row = _experiment(request, pk)
    runs = _runs(request, row)
    context = {
        "experiment": row,
        "may_edit": may_edit(request.user, row),
        "curves": points.CURVES,
        **_table(runs),
        **_comparison(runs),
    }
    return render(request, "experiments/experiment.html", context)


@require_GET
def table(request: HttpRequest, pk: int) -> HttpResponse:
    """The runs' table alone, for htmx: something has changed."""
    row = _experiment(request, pk)
    context = {"experiment": row, "with_curves": True, **_table(_runs(request, row))}
    return render(request, "experiments/_runs.html", context)


@require_GET
def comparison(request: HttpRequest, pk: int) -> HttpResponse:
    """The cells' table alone, for htmx: something has changed."""
    runs = _runs(request, _experiment(request, pk))
    return render(request, "experiments/_comparison.html", _comparison(runs))


@require_GET
def curves(request: HttpRequest, pk: int) -> JsonResponse:
    """One validation figure of the experiment's runs, by epoch."""
    runs = _runs(request, _experiment(request, pk))
    return JsonResponse({"runs": points.curves(runs, request.GET.get("figure", "accuracy"))})


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Name, question and privacy."""
    row = get_editable(Experiment.objects.all(), request.user, pk=pk)
    form = ExperimentForm(request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        # The form has already changed `row`, so the service is given what the database has.
        services.edit_experiment(Experiment.objects.get(pk=pk), **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("experiments:experiment", pk)
    status = 422 if form.errors else 200
    return render(request, "experiments/edit.html", {"form": form, "experiment": row}, status=status)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete an experiment with its runs and their checkpoints."""
    row = get_editable(Experiment.objects.all(), request.user, pk=pk)
    try:
        services.delete_experiment(row, user_of(request))
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("experiments:experiment", pk)
    messages.success(request, f"{row.name} and its runs are deleted.")
    return redirect("experiments:index")


def _experiment(request: HttpRequest, pk: int) -> Experiment:
    return get_visible(Experiment.objects.select_related("owner"), request.user, pk=pk)


def _runs(request: HttpRequest, row: Experiment) -> list[Any]:
    return list(selectors.runs(user_of(request)).filter(experiment=row))


def _table(runs: list[Any]) -> dict[str, Any]:
    return {"rows": selectors.run_rows(runs)}


def _comparison(runs: list[Any]) -> dict[str, Any]:
    """Trials are compared on the page of their search."""
    runs = [run for run in runs if run.opens_test]
    return {"comparison": compare(runs), "compared": FIGURES}
