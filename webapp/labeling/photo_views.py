"""One photo of a batch with the boxes of its faces, and its pixels."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET

from webapp import packs
from webapp.accounts.permissions import get_visible, may_label
from webapp.labeling import review_views, selectors
from webapp.labeling.models import LabelBatch, Prediction
from webapp.labeling.showing import ShownFace, shown
from webapp.partials import wants_part


@dataclass(frozen=True)
class Frame:
    """The picture to draw boxes in, and its size in the pixels that boxes count in."""

    kind: str  # "photo", "crop" where the batch is of face crops, "" where no picture was kept
    width: int = 0
    height: int = 0


@require_GET
def photo(request: HttpRequest, pk: int, picture: int) -> HttpResponse:
    """A photo's faces: boxes, every probability, what people said. For htmx, the faces alone."""
    batch = _batch(request, pk)
    rows = selectors.photo_faces(batch, picture)
    if not rows:
        raise Http404
    filters = selectors.FaceFilter.of(request.GET)
    before, after = selectors.neighbours(batch, picture, filters)
    may_review = may_label(request.user, batch)
    classes: list[str] = batch.model.classes
    context = {
        "batch": batch,
        "picture": picture,
        "file": rows[0].file,
        "frame": _frame(rows),
        "faces": [_of_photo(shown(row, classes)) for row in rows],
        "error": rows[0].error,
        "filters": filters,
        "before": before,
        "after": after,
        "may_review": may_review,
        "settings": review_views.page_settings(request, batch) if may_review else None,
        "keys": review_views.keys(batch),
        "commands": review_views.COMMANDS,
    }
    response = render(request, f"labeling/{'_photo' if wants_part(request) else 'photo'}.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_GET
def pixels(request: HttpRequest, pk: int, picture: int) -> HttpResponse:
    """The kept copy of a photo."""
    batch = _batch(request, pk)
    row = batch.predictions.filter(picture=picture, photo__isnull=False).order_by("index").first()
    if row is None or row.photo is None:
        raise Http404
    offset, length, *_ = row.photo
    return packs.image_response(
        request, path=batch.folder / "photos.pack", offset=offset, length=length, etag=f"p{pk}-{row.pk}"
    )


def _batch(request: HttpRequest, pk: int) -> LabelBatch:
    return get_visible(LabelBatch.objects.select_related("model", "job", "owner"), request.user, pk=pk)


def _frame(rows: list[Prediction]) -> Frame:
    first = rows[0]
    if first.photo:
        return Frame("photo", width=first.photo[2], height=first.photo[3])
    if first.box is None and first.offset is not None:
        return Frame("crop")
    return Frame("")


def _of_photo(face: ShownFace) -> tuple[ShownFace, int]:
    """With its number in the photo, from 1 on."""
    return face, (face.row.face or 0) + 1
