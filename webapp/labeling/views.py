"""Pages of labelling."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp import packs
from webapp.accounts.permissions import get_editable, get_visible, may_create, may_edit, may_label, require
from webapp.accounts.request import user_of
from webapp.errors import RefusedError
from webapp.labeling import orders, review, review_views, second_opinion, selectors, services
from webapp.labeling.ending import ending
from webapp.labeling.forms import BatchForm, DatasetForm, EditForm
from webapp.labeling.models import LabelBatch
from webapp.labeling.showing import shown
from webapp.registry import weights

FACES_A_PAGE = 60


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Every batch that the visitor may see."""
    page = Paginator(selectors.batches(user_of(request)), 30).get_page(request.GET.get("page"))
    sizes = selectors.sizes(page)
    rows = [(row, sizes.get(row.pk, selectors.Size())) for row in page]
    return render(request, "labeling/index.html", {"page": page, "rows": rows})


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Drop photos, choose a model, start."""
    user = user_of(request)
    require(may_create(user), "Viewers cannot start labelling. Ask an administrator for the editor role.")
    form = BatchForm(request.POST or None, user=user, initial={"model": request.GET.get("model", "")})
    if form.is_valid():
        data = form.cleaned_data
        try:
            batch = services.start_batch(
                user,
                name=data["name"],
                model=weights.model_of(user, form.cleaned_data["model"]),
                upload=data["upload"],
                flip_average=data["flip_average"],
                faces=data["faces"],
                min_face=data["min_face"],
                keep_photos=data["keep_photos"],
                temperature=data["temperature"],
                private=data["private"],
            )
        except RefusedError as error:
            form.add_error(None, str(error))
        else:
            return redirect("labeling:batch", batch.pk)
    return render(request, "labeling/new.html", {"form": form}, status=422 if form.errors else 200)


@require_GET
def batch(request: HttpRequest, pk: int) -> HttpResponse:
    """One batch: progress, summary, and its faces while they come."""
    row = _batch(request, pk)
    filters = selectors.FaceFilter.of(request.GET)
    may_review = may_label(request.user, row)
    context = {
        "batch": row,
        "filters": filters,
        "may_review": may_review,
        "standing": review.standing(row),
        "settings": review_views.page_settings(request, row) if may_review else None,
        "keys": review_views.keys(row),
        "commands": review_views.COMMANDS,
        "edit_form": EditForm(instance=row),
        "datasets": selectors.made_datasets(user_of(request), row),
        "dataset_form": DatasetForm(user=user_of(request), batch=row, auto_id="made_%s"),
        "may_create": may_create(request.user),
    }
    summary = _summary(row)
    context |= _head(request, row, summary) | summary | _faces(request, row, filters)
    return render(request, "labeling/batch.html", context)


@require_GET
def head(request: HttpRequest, pk: int) -> HttpResponse:
    """State and buttons alone, for htmx."""
    row = _batch(request, pk)
    return render(request, "labeling/_head.html", {"batch": row} | _head(request, row, _counted(row)))


@require_GET
def faces(request: HttpRequest, pk: int) -> HttpResponse:
    """The faces alone, for htmx: another page, filter or order, or what has come since."""
    row = _batch(request, pk)
    filters = selectors.FaceFilter.of(request.GET)
    context = {
        "batch": row,
        "filters": filters,
        "may_review": may_label(request.user, row),
        "may_create": may_create(request.user),
        "standing": review.standing(row),
        "is_part": True,
    }
    summary = _summary(row)
    context |= _head(request, row, summary) | summary | _faces(request, row, filters)
    return render(request, "labeling/_faces.html", context)


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


def _head(request: HttpRequest, row: LabelBatch, counted: dict[str, Any]) -> dict[str, object]:
    """How the labelling goes or ended. Where going on would meet the same, it is not offered."""
    how = ending(row, labelled=counted["labelled"], errors=counted["errors"])
    may = may_edit(request.user, row)
    return {
        "ending": how,
        "may_edit": may,
        "may_steer": may and (how is None or how.may_be_resumed),
        "notices": selectors.notices(row),
    }


def _counted(row: LabelBatch) -> dict[str, Any]:
    listed, errors = selectors.counts(row)
    return {"counts": listed, "errors": errors, "labelled": sum(c.count for c in listed)}


def _summary(row: LabelBatch) -> dict[str, Any]:
    counted = _counted(row)
    return counted | {
        "chart": [{"name": c.name, "count": c.count} for c in counted["counts"]],
        "orders": orders.of_grid(row),
        "reviews": selectors.REVIEWS,
        "photos": selectors.PHOTOS if row.options.get("faces") == "find" else {},
    }


def _faces(request: HttpRequest, row: LabelBatch, filters: selectors.FaceFilter) -> dict[str, object]:
    rows = filters.apply(row).select_related("reviewed_by")
    page = Paginator(rows, FACES_A_PAGE).get_page(request.GET.get("page"))
    classes: list[str] = row.model.classes
    second = orders.second_of(row, filters.order)
    said_by_it = {} if second is None else second_opinion.says(second, page)
    return {
        "page": page,
        "shown": [shown(p, classes, second=said_by_it.get(p.pk, "")) for p in page],
        "second": second,
        "classes": classes,
        "views": (("grid", "layout-grid"), ("table", "table")),
        "placeholders": range(12),
    }
