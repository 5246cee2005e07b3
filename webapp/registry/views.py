"""Pages of models."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.permissions import get_editable, get_visible, may_create, may_edit, require
from webapp.accounts.request import user_of
from webapp.errors import RefusedError
from webapp.experiments.models import Run
from webapp.folders import zipped
from webapp.registry import exporting, selectors, services, variants
from webapp.registry import starter as shipped
from webapp.registry.forms import ExportForm, LeaveOutForm, ModelForm
from webapp.registry.models import Model


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Every model that the visitor may see."""
    page = Paginator(selectors.models(user_of(request)), 30).get_page(request.GET.get("page"))
    return render(request, "registry/index.html", {"page": page})


@require_GET
def model(request: HttpRequest, pk: int) -> HttpResponse:
    """One model with its card."""
    row = get_visible(selectors.models(user_of(request)), request.user, pk=pk)
    run = row.run if row.run and selectors.may_open(user_of(request), row.run) else None
    context = {
        "model": row,
        "run": run,
        "card": row.card,
        "size_bytes": selectors.size_bytes(row),
        "may_edit": may_edit(request.user, row),
        "form": ModelForm(instance=row),
        "leave_out_form": LeaveOutForm(model=row),
        "export": exporting.latest(row),
        "export_form": ExportForm(
            user=user_of(request), initial={"version": run.version_id if run else None}
        ),
    }
    return render(request, "registry/model.html", context)


@require_POST
def promote(request: HttpRequest, run: int) -> HttpResponse:
    """Make a run's best weights a model."""
    require(
        may_create(request.user), "Viewers cannot promote models. Ask an administrator for the editor role."
    )
    row = get_visible(Run.objects.select_related("job"), request.user, pk=run)
    try:
        made = services.promote(user_of(request), row)
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("experiments:run", row.pk)
    return redirect("registry:model", made.pk)


@require_POST
def starter(request: HttpRequest) -> HttpResponse:
    """Take the models that ship with the program into this lab, and go on to label with the best."""
    require(may_create(request.user), "Viewers cannot add models. Ask an administrator for the editor role.")
    try:
        made = shipped.adopt(user_of(request))
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("registry:index")
    messages.success(request, "What ships is here now. A model's card says what it is good for, what not.")
    if request.POST.get("then") == "label":
        return redirect(f"{reverse('labeling:new')}?model=model:{made.pk}")
    return redirect("registry:model", made.pk)


@require_POST
def leave_out(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a model of this one that does without some of its expressions."""
    row = get_visible(Model.objects.all(), request.user, pk=pk)
    require(may_create(request.user), "Viewers cannot add models. Ask an administrator for the editor role.")
    form = LeaveOutForm(request.POST, model=row)
    if not form.is_valid():
        messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
        return redirect("registry:model", pk)
    try:
        made = variants.without(
            user_of(request), row, form.cleaned_data["left_out"], name=form.cleaned_data["name"]
        )
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("registry:model", pk)
    messages.success(request, f"{made.name} is here. Its accuracy is not measured yet.")
    return redirect("registry:model", made.pk)


@require_POST
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Rename a model, or hide it."""
    row = get_editable(Model.objects.all(), request.user, pk=pk)
    form = ModelForm(request.POST, instance=row)
    if form.is_valid():
        services.edit(row, **form.cleaned_data)
        messages.success(request, "Saved.")
    else:
        messages.error(request, "A model needs a name of at most 200 letters.")
    return redirect("registry:model", row.pk)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a model with its weights."""
    row = get_editable(Model.objects.all(), request.user, pk=pk)
    try:
        services.delete(row, user_of(request))
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("registry:model", pk)
    messages.success(request, f"{row.name} and its weights are deleted.")
    return redirect("registry:index")


@require_GET
def download(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The model folder as a zip: model.safetensors and model.json."""
    row = get_visible(Model.objects.all(), request.user, pk=pk)
    return zipped(row.folder, f"{slugify(row.name) or 'model'}.zip")


@require_POST
def export(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue an export: ONNX, and engines checked on a data set's test faces."""
    row = get_editable(Model.objects.all(), request.user, pk=pk)
    form = ExportForm(request.POST, user=user_of(request))
    if form.is_valid():
        exporting.start(user_of(request), row, form.cleaned_data["version"])
    else:
        messages.error(request, "That data set is not there any more. Choose another.")
    return redirect("registry:model", row.pk)


@require_GET
def exported(request: HttpRequest, pk: int) -> HttpResponseBase:
    """What the latest finished export wrote, as a zip: ONNX, safetensors, card and report."""
    row = get_visible(Model.objects.all(), request.user, pk=pk)
    export = exporting.latest_finished(row)
    if export is None:
        raise Http404
    return zipped(export.folder, f"{slugify(row.name) or 'model'}-onnx.zip", only=exporting.FILES)
