"""Making a data set of a batch, and the page that adds its corrections to one that is there."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.accounts.models import User
from webapp.accounts.permissions import get_visible, may_create, require
from webapp.accounts.request import user_of
from webapp.datasets.models import DatasetVersion
from webapp.errors import RefusedError
from webapp.labeling import making
from webapp.labeling.forms import AddForm, DatasetForm
from webapp.labeling.models import LabelBatch


@require_POST
def make(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a data set of a batch, or a further version of one."""
    batch, user = _batch(request, pk)
    form = DatasetForm(request.POST, user=user, batch=batch)
    if not form.is_valid():
        messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
        return redirect("labeling:batch", pk)
    try:
        version = making.make_dataset(user, batch, **form.cleaned_data)
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("labeling:batch", pk)
    return redirect("datasets:version", version.dataset_id, version.number)


@require_GET
def choose_target(request: HttpRequest, pk: int) -> HttpResponse:
    """Which data set the corrections are to be added to."""
    batch, user = _batch(request, pk)
    context = {"batch": batch, "targets": making.targets(user), "counts": making.reviewed_counts(batch)}
    return render(request, "labeling/add.html", context)


@require_http_methods(["GET", "POST"])
def add(request: HttpRequest, pk: int, version_pk: int) -> HttpResponse:
    """Where each class goes and which faces; then a new version."""
    batch, user = _batch(request, pk)
    version = _target(user, version_pk)
    form = AddForm(request.POST or None, batch=batch, version=version)
    if form.is_valid():
        try:
            made = making.add_to(user, batch, version, **form.wish())
        except RefusedError as error:
            form.add_error(None, str(error))
        else:
            return redirect("datasets:version", made.dataset_id, made.number)
    counts = {name: (count, changed) for name, count, changed in making.reviewed_counts(batch)}
    rows = [(bound, name, *counts[name]) for name, bound in form.mapping_fields()]
    title = f"Add to {version.dataset.name}"
    context = {"batch": batch, "version": version, "title": title, "form": form, "rows": rows}
    return render(request, "labeling/add_to.html", context, status=422 if form.errors else 200)


def _batch(request: HttpRequest, pk: int) -> tuple[LabelBatch, User]:
    batch = get_visible(LabelBatch.objects.select_related("model", "owner"), request.user, pk=pk)
    user = user_of(request)
    require(may_create(user), "Viewers cannot make data sets. Ask for the editor role.")
    return batch, user


def _target(user: User, pk: int) -> DatasetVersion:
    found = next((version for version in making.targets(user) if version.pk == pk), None)
    if found is None:
        raise Http404
    return found
