"""Pages of data sets: the list, the making, the overview, and what was odd."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mmfrm.spreadsheet import csv_line, safe_cell
from webapp.accounts.permissions import get_editable, may_administer, may_create, may_edit, require
from webapp.accounts.request import user_of
from webapp.datasets import (
    browsing,
    exporting,
    preview_views,
    report,
    revising,
    selectors,
    server_paths,
    services,
)
from webapp.datasets.choice_forms import reading_form
from webapp.datasets.forms import EditForm, ImportForm, PathForm, ReadingForm
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.errors import RefusedError
from webapp.jobs.models import Job
from webapp.jobs.selectors import why_waiting
from webapp.streams import StreamedRows

CARDS_A_PAGE = 24


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Every data set that the visitor may see."""
    page = Paginator(selectors.datasets(user_of(request)), CARDS_A_PAGE).get_page(request.GET.get("page"))
    cards = []
    for dataset in page:
        known = list(dataset.versions.all())
        version = next((v for v in known if v.ready_at), known[0] if known else None)
        faces = browsing.card_faces(version) if version is not None else []
        layout = report.LAYOUT_NAMES.get(version.layout, version.layout) if version is not None else ""
        cards.append({"dataset": dataset, "version": version, "faces": faces, "layout": layout})
    return render(request, "datasets/index.html", {"page": page, "cards": cards})


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Upload, name, import."""
    user = user_of(request)
    require(may_create(user), "Viewers cannot add data sets. Ask an administrator for the editor role.")
    form = ImportForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = services.import_uploads(
                user,
                upload_ids=data["upload"],
                name=data["name"],
                private=data["private"],
                look_first="look" in request.POST,
                **form.reading(),
            )
        except RefusedError as error:
            form.add_error(None, str(error))
        else:
            return redirect("datasets:dataset", made[0].pk) if len(made) == 1 else redirect("datasets:index")
    return _new_page(request, form, PathForm(prefix="server"))


@require_POST
def import_path(request: HttpRequest) -> HttpResponse:
    """Import what lies on the server already; for administrators, below the roots that the settings name."""
    require(may_administer(request.user), "Only administrators import from the server's own folders.")
    form = PathForm(request.POST, prefix="server")
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = server_paths.import_path(
                user_of(request),
                path=data["path"],
                name=data["name"],
                private=data["private"],
                look_first="look" in request.POST,
                **form.reading(),
            )
        except RefusedError as error:
            form.add_error("path", str(error))
        else:
            return redirect("datasets:dataset", made.pk)
    return _new_page(request, ImportForm(), form)


def _new_page(request: HttpRequest, form: ImportForm, path_form: PathForm) -> HttpResponse:
    context = {
        "form": form,
        "path_form": path_form,
        "roots": server_paths.roots() if may_administer(request.user) else [],
    }
    status = 422 if form.errors or path_form.errors else 200
    return render(request, "datasets/new.html", context, status=status)


@require_POST
def try_drawn(request: HttpRequest) -> HttpResponse:
    """Drawn faces and a first training on them, for whoever has no data at hand."""
    user = user_of(request)
    require(may_create(user), "Viewers cannot add data sets. Ask an administrator for the editor role.")
    dataset = services.draw(user, seed=secrets.randbelow(2**31), then_quick_look=True)
    return redirect("datasets:dataset", dataset.pk)


@require_GET
def dataset(request: HttpRequest, pk: int, number: int | None = None) -> HttpResponse:
    """The overview of a version; while it is imported, how far that is."""
    version = selectors.version_of(user_of(request), pk, number)
    context = frame(request, version, "overview")
    if version.ready_at is None:
        form = reading_form(version.import_job)
        return render(request, "datasets/importing.html", context | _importing(version, form))
    return render(request, "datasets/overview.html", context | _overview(request, version))


def _importing(version: DatasetVersion, form: ReadingForm) -> dict[str, Any]:
    row = version.import_job
    looked = row.job.kind == "preview" and row.job.state == Job.State.FINISHED
    return {
        "queue_reason": why_waiting(row.job),
        "is_read": row.job.kind in services.READS,
        "may_discard": revising.has_others(version),
        "placeholders": range(24),
        "reading_form": form,
        "chosen": report.chosen_words(row.options | {"classes": row.options.get("mapping", {})}),
        "layout_name": report.LAYOUT_NAMES.get(row.options.get("layout", ""), ""),
        "preview": preview_views.shown(row.job) if looked else None,
    }


def _overview(request: HttpRequest, version: DatasetVersion) -> dict[str, Any]:
    table = report.class_table(version)
    labelled = sum(row.total for row in table.rows if row.name)
    return {
        "table": table,
        "chart": report.chart(table),
        "labelled": labelled,
        "labelled_share": labelled / max(1, version.images),
        "layout_name": report.LAYOUT_NAMES.get(version.layout, version.layout),
        "observations": report.observations(version, table),
        "duplicates": report.duplicates(version),
        "findings": report.findings(version),
        "flags": report.flags(version),
        "verdicts": report.verdicts(version),
        "faces": [(s, browsing.label_of(version, s)) for s in browsing.evenly(version)],
        "offers": exporting.offers(version),
        "remedies": revising.remedies(version),
        "chosen": report.chosen(version),
        "seconds": selectors.seconds_taken(version),
        "runs": selectors.runs(user_of(request), version),
    }


@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Import what was looked at or failed, or look at it (again), perhaps read in another way."""
    row = get_editable(Dataset.objects.select_related("owner"), request.user, pk=pk)
    version = selectors.version_of(user_of(request), pk)
    form = reading_form(version.import_job, request.POST)
    if not form.is_valid() and version.ready_at is None:
        context = frame(request, version, "overview") | _importing(version, form)
        return render(request, "datasets/importing.html", context, status=422)
    looked = request.POST.get("looked", "")
    if not form.is_valid() or not services.retry(
        row,
        user_of(request),
        look_first="look" in request.POST,
        looked=int(looked) if looked.isdecimal() else None,
        **form.reading(),
    ):
        messages.info(
            request, "Nothing was started: it is being read already, or was looked at again meanwhile."
        )
    return redirect("datasets:dataset", pk)


@require_GET
def refusals(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """The files that were refused, repaired or skipped, and why."""
    version = selectors.version_of(user_of(request), pk, number)
    verdict = request.GET.get("verdict", "")
    page = selectors.refusals(version, verdict, request.GET.get("page"))
    context = {"page": page, "verdict": verdict, "verdicts": report.verdicts(version)}
    return render(request, "datasets/refusals.html", frame(request, version, "odd") | context)


@require_GET
def refusals_csv(request: HttpRequest, pk: int, number: int) -> StreamedRows:
    """The same as a spreadsheet, all of them."""
    version = selectors.version_of(user_of(request), pk, number)
    response = StreamedRows(_refusal_lines(version), content_type="text/csv; charset=utf-8")
    name = f"{slugify(version.dataset.name) or 'data-set'}-v{version.number}-odd.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Name, description, privacy."""
    row = get_editable(Dataset.objects.select_related("owner"), request.user, pk=pk)
    form = EditForm(request.POST or None, instance=row)
    if form.is_valid():
        services.edit(row, **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("datasets:dataset", pk)
    context = {"dataset": row, "form": form, "goes_along": selectors.goes_along(row)}
    context["why_not"] = services.why_not_deleted(row)
    return render(request, "datasets/edit.html", context, status=422 if form.errors else 200)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a data set and its pixels."""
    row = get_editable(Dataset.objects.all(), request.user, pk=pk)
    try:
        services.delete(row)
    except RefusedError as error:
        messages.error(request, f"{row.name} was not deleted. {error}")
        return redirect("datasets:edit", pk)
    messages.success(request, f"{row.name} and its images were deleted.")
    return redirect("datasets:index")


def frame(request: HttpRequest, version: DatasetVersion, tab: str) -> dict[str, Any]:
    """What the head of every page of a version shows."""
    return {
        "dataset": version.dataset,
        "version": version,
        "job": version.import_job.job,
        "import": version.import_job,
        "tab": tab,
        "versions": selectors.versions(version.dataset),
        "alike": version.report.get("duplicates", {}).get("near_groups", 0),
        "odd": sum(count for _, _, count in report.verdicts(version)),
        "may_edit": may_edit(request.user, version.dataset),
    }


def _refusal_lines(version: DatasetVersion) -> Iterator[str]:
    yield csv_line(["file", "verdict", "reason"])
    rows = version.refusals.order_by("index").values_list("name", "verdict", "reason")
    for row in rows.iterator(2000):
        yield csv_line(map(safe_cell, row))
