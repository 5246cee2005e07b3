"""Starting many runs with one form, and what a start will cost."""

from __future__ import annotations

from collections.abc import Sequence

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from mmfrm.config import TrainConfig
from webapp.accounts.permissions import may_create, require
from webapp.accounts.request import user_of
from webapp.errors import RefusedError
from webapp.experiments import estimates, estimating, selectors, services
from webapp.experiments.forms import RunForm
from webapp.experiments.sweep_form import SweepForm
from webapp.experiments.sweeps import MOST_RUNS, Planned
from webapp.jobs.models import Job

REFUSAL = "Viewers cannot start runs. Ask an administrator for the editor role."


@require_http_methods(["GET", "POST"])
def new_sweep(request: HttpRequest) -> HttpResponse:
    """Choose what varies; all runs start together, in one experiment."""
    user = user_of(request)
    require(may_create(user), REFUSAL)
    initial = {name: request.GET[name] for name in ("preset", "version", "experiment") if name in request.GET}
    form = SweepForm(request.POST if request.method == "POST" else None, user=user, initial=initial)
    if form.is_valid():
        names = ("version", "preset", "planned", "name", "experiment", "start_from", "private", "request_key")
        try:
            made = services.start_sweep(user, **{name: form.cleaned_data[name] for name in names})
        except RefusedError as error:
            form.add_error(None, str(error))
        else:
            return redirect("experiments:experiment", made.pk)
    context = {"form": form, "most": MOST_RUNS, "has_data": selectors.ready_versions(user).exists()}
    return render(request, "experiments/new_sweep.html", context, status=422 if form.errors else 200)


@require_POST
def sweep_plan(request: HttpRequest) -> HttpResponse:
    """The runs that the form would start now, and their cost, for htmx. Starts nothing."""
    user = user_of(request)
    require(may_create(user), REFUSAL)
    form = SweepForm(request.POST, user=user)
    planned = form.cleaned_data["planned"] if form.is_valid() else []
    return cost_page(request, form, [one.config for one in planned], planned)


@require_POST
def run_plan(request: HttpRequest) -> HttpResponse:
    """What the form of one run would cost and read, for htmx. Starts nothing."""
    user = user_of(request)
    require(may_create(user), REFUSAL)
    form = RunForm(request.POST, user=user, initial={})
    return cost_page(request, form, [form.cleaned_data["config"]] if form.is_valid() else [])


def cost_page(
    request: HttpRequest, form: Form, configs: Sequence[TrainConfig], planned: Sequence[Planned] = ()
) -> HttpResponse:
    """What trainings of a form would cost and read, `planned` by name; without any, what is wrong with it.

    `measure` in the form: sizes that are not known are measured first; `waiting`: the state
    of a measurement that the page tells of already.
    """
    if not configs:
        problems = [text for texts in form.errors.values() for text in texts]
        return render(request, "experiments/_plan.html", {"problems": problems})
    version = form.cleaned_data["version"]
    total = estimates.total_of(version, configs)
    if "measure" in request.POST:
        estimating.start(user_of(request), version, total.unknown)
    measurements = estimating.latest(total.unknown)
    going_on = [row.job for row in measurements if row.job.state not in (*Job.OVER, Job.State.PAUSED)]
    if going_on and request.POST.get("waiting") == going_on[0].state:
        return HttpResponse(status=204)  # nothing new: the page stays as it is
    context = {
        "planned": planned,
        "total": total,
        "measuring": going_on,
        "failures": [row.job for row in measurements if row.job.state == Job.State.FAILED],
        "reading": estimates.reading_of(version, configs[0]),
        "readings_differ": any(config.data != configs[0].data for config in configs),
    }
    return render(request, "experiments/_plan.html", context)
