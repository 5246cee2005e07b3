"""Starting a run, and the page where it is watched."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mmfrm.config import TrainConfig
from webapp.accounts.permissions import get_editable, get_visible, may_create, may_edit, require
from webapp.accounts.request import user_of
from webapp.errors import RefusedError
from webapp.experiments import figures, points, selectors, services, steered, training
from webapp.experiments import symptoms as diagnosis
from webapp.experiments.forms import RunEditForm, RunForm, clone_initial
from webapp.experiments.models import Run
from webapp.experiments.preset_cards import preset_cards, preset_values
from webapp.jobs import selectors as jobs
from webapp.jobs import wording


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Choose a data set and a preset, change what matters, start."""
    asked = ("preset", "version", "experiment", "start_from")
    initial = {name: request.GET[name] for name in asked if name in request.GET}
    before = selectors.run_before(user_of(request), initial.get("start_from", ""))
    if before is None or "preset" in initial:
        return _start(request, initial=initial)
    # Weights fit only the network that they are of: begin with the settings of its own training.
    again = {"preset": before.preset, "name": f"{before.name} (again)"[:200]}
    return _start(request, initial=again | initial, start=before.train_config)


@require_http_methods(["GET", "POST"])
def clone(request: HttpRequest, pk: int) -> HttpResponse:
    """The same form, filled in as another run was."""
    run = _run(request, pk)
    return _start(request, initial=clone_initial(run), start=steered.as_it_went(run), clone_of=run)


def _start(
    request: HttpRequest,
    *,
    initial: dict[str, Any],
    start: TrainConfig | None = None,
    clone_of: Run | None = None,
) -> HttpResponse:
    user = user_of(request)
    require(may_create(user), "Viewers cannot start runs. Ask an administrator for the editor role.")
    form = RunForm(request.POST or None, user=user, start=start, initial=initial)
    if form.is_valid():
        data = form.cleaned_data
        names = ("version", "preset", "config", "name", "experiment", "start_from", "private", "request_key")
        try:
            run = services.start_run(user, **{name: data[name] for name in names})
        except RefusedError as error:
            form.add_error(None, str(error))
        else:
            return redirect("experiments:run", run.pk)
    context = {
        "form": form,
        "clone_of": clone_of,
        "steered_after": steered.told_to_a_clone(clone_of) if clone_of else [],
        "cards": preset_cards(),
        "presets": preset_values(),
        "has_data": selectors.ready_versions(user).exists(),
    }
    return render(request, "experiments/new_run.html", context, status=422 if form.errors else 200)


@require_GET
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """One run: its state, its curves, its figures, its settings and its history."""
    row = _run(request, pk)
    context = {
        "run": row,
        "symptoms": diagnosis.of_run(row),
        "setting_groups": selectors.settings_table(row),
        "form": RunEditForm(instance=row),
        "facts": selectors.facts_of(row),
        "lost_seconds": settings.JOB_LOST_SECONDS,
        "data_url": reverse("datasets:version", args=[row.version.dataset_id, row.version.number]),
    }
    return render(request, "experiments/run.html", context | _head(request, row) | _results(row) | _log(row))


@require_GET
def head(request: HttpRequest, pk: int) -> HttpResponse:
    """The run's head alone, for htmx: its state has changed."""
    return render(request, "experiments/_head.html", _head(request, _run(request, pk)) | {"is_partial": True})


@require_GET
def symptoms(request: HttpRequest, pk: int) -> HttpResponse:
    """What is wrong with it, alone: an epoch has ended."""
    return render(request, "experiments/_symptoms.html", {"symptoms": diagnosis.of_run(_run(request, pk))})


@require_GET
def results(request: HttpRequest, pk: int) -> HttpResponse:
    """Confusions and per-class figures alone: there are new ones."""
    row = _run(request, pk)
    return render(request, "experiments/_results.html", _head(request, row) | _results(row))


@require_GET
def log(request: HttpRequest, pk: int) -> HttpResponse:
    """History and the log's tail alone."""
    row = _run(request, pk)
    return render(request, "experiments/_log.html", {"run": row, "job": row.job} | _log(row))


@require_GET
def run_points(request: HttpRequest, pk: int) -> JsonResponse:
    """The epochs so far, and the seq after which the socket goes on."""
    return JsonResponse(points.epochs_of(_run(request, pk)))


@require_GET
def run_steps(request: HttpRequest, pk: int) -> JsonResponse:
    """The steps so far, thinned."""
    return JsonResponse(points.steps_of(_run(request, pk)))


@require_GET
def run_hardware(request: HttpRequest, pk: int) -> JsonResponse:
    """Readings of its machine so far, thinned."""
    return JsonResponse(points.hardware_of(_run(request, pk)))


@require_POST
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Rename a run, or hide it."""
    row = get_editable(Run.objects.all(), request.user, pk=pk)
    form = RunEditForm(request.POST, instance=row)
    if form.is_valid():
        services.edit_run(row, **form.cleaned_data)
        messages.success(request, "Saved.")
    else:
        messages.error(request, "A run needs a name of at most 200 letters.")
    return redirect("experiments:run", pk)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a run with its checkpoints."""
    row = get_editable(Run.objects.select_related("job"), request.user, pk=pk)
    try:
        services.delete_run(row)
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("experiments:run", pk)
    messages.success(request, f"{row.name} is deleted, with its checkpoints.")
    return redirect("experiments:experiment", row.experiment_id)


def _run(request: HttpRequest, pk: int) -> Run:
    rows = Run.objects.select_related("owner", "job", "experiment", "trial", "version__dataset", "model")
    return get_visible(rows, request.user, pk=pk)


def _head(request: HttpRequest, row: Run) -> dict[str, Any]:
    job, epochs = row.job, row.epochs
    done = selectors.epochs_done([row]).get(row.pk, 0)
    model = getattr(row, "model", None)
    return {
        "run": row,
        "job": job,
        "model": model,
        "may_edit": may_edit(request.user, row),
        "may_steer": may_edit(request.user, row),
        "may_create": may_create(request.user),
        "may_promote": model is not None or (not job.is_active and training.weights_of(row) is not None),
        "may_label_with": model is not None or job.state == job.State.FINISHED,
        "epochs": epochs,
        "epochs_done": done,
        "share_of_epochs": f"{100 * done / epochs:.1f}",
        "share": f"{100 * job.share_done:.1f}",
        "took": job.took_seconds,
        "why_waiting": jobs.why_waiting(job),
        "truth": jobs.truth_of(job),
        "waiting_orders": steered.waiting(row, job),
    }


def _results(row: Run) -> dict[str, Any]:
    return {"figures": figures.of_run(row), "downloads": selectors.downloads_of(row)}


def _log(row: Run) -> dict[str, Any]:
    return {
        "history": wording.history(row.job),
        "notices": wording.notices(row.job),
        "marks": steered.marks(row),
    }
