"""Pages of labelling."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mmfrm.spreadsheet import safe_cell
from webapp import packs
from webapp.accounts.permissions import get_editable, get_visible, may_create, may_edit, require
from webapp.accounts.request import user_of
from webapp.errors import RefusedError
from webapp.labeling import selectors, services
from webapp.labeling.forms import BatchForm, EditForm, chosen_model
from webapp.labeling.models import LabelBatch

FACES_A_PAGE = 60


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Every batch that the visitor may see."""
    page = Paginator(selectors.batches(user_of(request)).order_by("-created_at"), 30).get_page(
        request.GET.get("page")
    )
    return render(request, "labeling/index.html", {"page": page})


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Drop photos, choose a model, start."""
    user = user_of(request)
    require(may_create(user), "Viewers cannot start labelling. Ask an administrator for the editor role.")
    form = BatchForm(request.POST or None, user=user, initial={"model": request.GET.get("model", "")})
    if form.is_valid():
        data = form.cleaned_data
        batch = services.start_batch(
            user,
            name=data["name"],
            model=chosen_model(form, user),
            upload=data["upload"],
            flip_average=data["flip_average"],
            faces=data["faces"],
            min_face=data["min_face"],
            private=data["private"],
        )
        return redirect("labeling:batch", batch.pk)
    return render(request, "labeling/new.html", {"form": form}, status=422 if form.errors else 200)


@require_GET
def batch(request: HttpRequest, pk: int) -> HttpResponse:
    """One batch: progress, summary, and its faces while they come."""
    row = _batch(request, pk)
    filters = selectors.FaceFilter.of(request.GET)
    context = {
        "batch": row,
        "filters": filters,
        "may_edit": may_edit(request.user, row),
        "edit_form": EditForm(instance=row),
    }
    return render(request, "labeling/batch.html", context | _summary(row) | _faces(request, row, filters))


@require_GET
def head(request: HttpRequest, pk: int) -> HttpResponse:
    """State and buttons alone, for htmx."""
    row = _batch(request, pk)
    return render(request, "labeling/_head.html", {"batch": row, "may_edit": may_edit(request.user, row)})


@require_GET
def faces(request: HttpRequest, pk: int) -> HttpResponse:
    """The faces alone, for htmx: another page, filter or order, or what has come since."""
    row = _batch(request, pk)
    filters = selectors.FaceFilter.of(request.GET)
    context = {"batch": row, "filters": filters}
    return render(request, "labeling/_faces.html", context | _summary(row) | _faces(request, row, filters))


@require_GET
def face(request: HttpRequest, pk: int, index: int) -> HttpResponse:
    """The pixels of one face."""
    row = _batch(request, pk)
    prediction = row.predictions.filter(index=index).first()
    if prediction is None or prediction.offset is None or prediction.length is None:
        raise Http404
    return packs.image_response(
        request,
        path=row.folder / "faces.pack",
        offset=prediction.offset,
        length=prediction.length,
        etag=f"b{row.pk}-{prediction.pk}",
    )


@require_GET
def labels_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Every face with every probability, streamed."""
    row = _batch(request, pk)
    response = StreamingHttpResponse(_lines(row), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{slugify(row.name) or "labels"}.csv"'
    return response


@require_POST
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Rename, or hide from the lab."""
    row = get_editable(LabelBatch.objects.all(), request.user, pk=pk)
    form = EditForm(request.POST, instance=row)
    if form.is_valid():
        services.edit(row, **form.cleaned_data)
        messages.success(request, "Saved.")
    else:
        messages.error(request, "The name cannot be empty.")
    return redirect("labeling:batch", pk)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete the batch and its pixels."""
    row = get_editable(LabelBatch.objects.select_related("upload", "job"), request.user, pk=pk)
    try:
        services.delete(row)
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("labeling:batch", pk)
    messages.success(request, f"{row.name} and its photos were deleted.")
    return redirect("labeling:index")


def _batch(request: HttpRequest, pk: int) -> LabelBatch:
    return get_visible(LabelBatch.objects.select_related("model", "job", "owner"), request.user, pk=pk)


def _summary(row: LabelBatch) -> dict[str, object]:
    listed, errors = selectors.counts(row)
    total = sum(c.count for c in listed)
    chart = [{"name": c.name, "count": c.count} for c in listed]
    return {"counts": listed, "errors": errors, "labelled": total, "chart": chart, "orders": selectors.ORDERS}


def _faces(request: HttpRequest, row: LabelBatch, filters: selectors.FaceFilter) -> dict[str, object]:
    page = Paginator(filters.apply(row), FACES_A_PAGE).get_page(request.GET.get("page"))
    classes: list[str] = row.model.classes
    shown = []
    for p in page:
        ranked = sorted(zip(classes, p.probabilities or [], strict=False), key=lambda pair: -pair[1])
        shown.append({"row": p, "name": classes[p.label] if p.label is not None else "", "ranked": ranked})
    views = (("grid", "layout-grid"), ("table", "table"))
    return {"page": page, "shown": shown, "classes": classes, "views": views, "placeholders": range(12)}


class _Echo:
    def write(self, line: str) -> str:
        return line


def _lines(row: LabelBatch) -> Iterator[str]:
    writer = csv.writer(_Echo(), lineterminator="\n")
    for cells in selectors.csv_rows(row):
        yield writer.writerow([safe_cell(cell) for cell in cells])
