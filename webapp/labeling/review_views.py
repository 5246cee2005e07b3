"""The review page, and what it asks for and says while somebody works."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_POST

from mmfrm.classes import canonical
from webapp.accounts.permissions import get_visible, may_label, require
from webapp.accounts.request import user_of
from webapp.labeling import agreement, doubt, keeping, orders, review, second_opinion
from webapp.labeling.disagreement import by_meaning
from webapp.labeling.models import LabelBatch, Prediction, SecondOpinion, Verdict

KEYS = "1234567890qwertyiopdfghjk"  # one a class; the letters of the other commands are left out
COMMANDS = (
    ("n", Verdict.NOT_A_FACE, "Not a face", "face-id-error"),
    ("u", Verdict.UNSURE, "Unsure", "question-mark"),
    ("s", Verdict.SKIPPED, "Skip", "player-skip-forward"),
)


@require_GET
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """Review a batch by keyboard."""
    return _review(request, pk, is_deciding=False)


@require_GET
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Settle by keyboard what those who were asked disagree on."""
    return _review(request, pk, is_deciding=True)


def _review(request: HttpRequest, pk: int, *, is_deciding: bool) -> HttpResponse:
    batch = _batch(request, pk)
    order = request.GET.get("order", "")
    order = order if orders.known(batch, order) else "unsure"
    doubts = order == orders.DOUBT
    context = {
        "batch": batch,
        "is_deciding": is_deciding,
        "keys": keys(batch),
        "commands": [row for row in COMMANDS if not (is_deciding and row[1] == Verdict.SKIPPED)],
        "orders": orders.choices(batch),
        "order": order,
        "second": orders.second_of(batch, order),
        "learnt": doubt.learnt_from(batch) if doubts else None,
        "settings": page_settings(request, batch) | {"deciding": is_deciding},
        "standing": review.standing(batch, user_of(request)),
    }
    return render(request, "labeling/review.html", context)


@require_POST
def next_faces(request: HttpRequest, pk: int) -> JsonResponse:
    """Lend further faces to a page, and renew what it holds."""
    batch = _batch(request, pk)
    asked = _body(request)
    holding = asked.get("holding", [])
    order, count = asked.get("order", "unsure"), asked.get("count", 0)
    is_deciding = asked.get("deciding") is True
    is_sound = isinstance(holding, list) and all(isinstance(i, int) and 0 <= i < 2**31 for i in holding)
    if not is_sound or not orders.known(batch, order) or not isinstance(count, int):
        raise BadRequest("Not what the review page asks.")
    faces, kept = review.hand_out(
        batch,
        user_of(request),
        page=str(asked.get("page", "")),
        order=order,
        count=max(0, min(count, review.MOST_FACES)),
        holding=holding[: keeping.MOST_ROWS],
        deciding=is_deciding,
    )
    shown = _shown(batch, faces, order, with_answers=is_deciding or order == orders.DOUBT)
    until = (timezone.now() + review.LEASE).isoformat()
    return JsonResponse({"faces": shown, "kept": kept, "until": until} | _standing(request, batch))


@require_POST
def give_back(request: HttpRequest, pk: int) -> HttpResponse:
    """A page was left: what it was lent may be lent to others at once."""
    batch = _batch(request, pk)
    asked = _body(request)
    try:
        until = parse_datetime(str(asked.get("until", "")))
    except ValueError:  # written like a time, and none: the 30th of February
        until = None
    if until is None or timezone.is_naive(until):
        raise BadRequest("Not what the review page says.")
    freed = review.take_back(batch, user_of(request), page=str(asked.get("page", "")), until=until)
    return JsonResponse({"freed": freed})


@require_POST
def say(request: HttpRequest, pk: int) -> JsonResponse:
    """Keep what somebody said of faces; answers the fate of every row by its key."""
    batch = _batch(request, pk)
    body = _body(request)
    rows, ahead = body.get("rows", []), keeping.clock_ahead(body.get("sent_at"))
    if not isinstance(rows, list) or len(rows) > keeping.MOST_ROWS:
        raise BadRequest("Too many rows at once.")
    fates: dict[str, str] = {}
    said = []
    for row in rows:
        try:
            said.append(keeping.parse(row, len(batch.model.classes), ahead))
        except (ValueError, AttributeError, OverflowError):
            key = row.get("key", "") if isinstance(row, dict) else ""
            fates[str(key)] = "gone"  # no page of ours says this; sending it again would not help
    fates |= {str(key): fate for key, fate in keeping.keep(batch, user_of(request), said).items()}
    return JsonResponse({"fates": fates} | _standing(request, batch))


def keys(batch: LabelBatch) -> list[tuple[str, int, str]]:
    """Key, label and name of each class; a class beyond the keys has none and is clicked."""
    classes: list[str] = batch.model.classes
    return [(KEYS[i] if i < len(KEYS) else "", i, name) for i, name in enumerate(classes)]


def page_settings(request: HttpRequest, batch: LabelBatch) -> dict[str, Any]:
    """What the scripts of a page that corrects labels need to know."""
    return {
        "batch": batch.pk,
        "user": user_of(request).pk,
        "next": reverse("labeling:next_faces", args=[batch.pk]),
        "back": reverse("labeling:give_back", args=[batch.pk]),
        "say": reverse("labeling:say", args=[batch.pk]),
        "classes": batch.model.classes,
    }


def _batch(request: HttpRequest, pk: int) -> LabelBatch:
    rows = LabelBatch.objects.select_related("model", "job", "owner")
    batch = get_visible(rows, request.user, pk=pk)
    require(may_label(request.user, batch), "Viewers cannot correct labels. Ask for the editor role.")
    return batch


def _body(request: HttpRequest) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise BadRequest("Not JSON.")
    try:
        data = json.loads(request.body or b"{}")
    except ValueError as error:
        raise BadRequest("Not JSON.") from error
    if not isinstance(data, dict):
        raise BadRequest("Not an object.")
    return data


def _shown(
    batch: LabelBatch, faces: list[Prediction], order: str, *, with_answers: bool
) -> list[dict[str, Any]]:
    """Faces as the page shows them.

    with_answers: what people said of them; whoever still answers must not know what others said.
    """
    shown = [_face(batch, row) for row in faces]
    second = orders.second_of(batch, order)
    if second is not None:
        opinions = second.opinions.filter(prediction__in=faces)
        said_by_it = dict(opinions.values_list("prediction", "probabilities"))
        shown = [face | _second(second, said_by_it[row.pk]) for face, row in zip(shown, faces, strict=True)]
    if with_answers:
        said = agreement.said_of(faces, batch.model.classes)
        shown = [face | {"answers": said[row.pk]} for face, row in zip(shown, faces, strict=True)]
    return shown


def _face(batch: LabelBatch, row: Prediction) -> dict[str, Any]:
    return {
        "index": row.index,
        "file": row.file,
        "url": reverse("labeling:face", args=[batch.pk, row.index]),
        "label": row.label,
        "probabilities": row.probabilities,
        "photo": _photo(batch, row),
    }


def _photo(batch: LabelBatch, row: Prediction) -> dict[str, Any] | None:
    """The photo that a face was found in, to see what goes on around it: its pixels, its size, the box.

    `page` shows the same photo with all its faces.
    """
    if row.photo is None or row.picture is None or row.box is None:
        return None
    width, height = row.photo[2:]
    return {
        "page": f"{reverse('labeling:photo', args=[batch.pk, row.picture])}#face-{row.index}",
        "url": reverse("labeling:photo_pixels", args=[batch.pk, row.picture]),
        "width": width,
        "height": height,
        "box": row.box,
    }


def _second(second: SecondOpinion, probabilities: list[float]) -> dict[str, Any]:
    """What the other model says, in the order of the batch's classes."""
    classes: list[str] = second.batch.model.classes
    shares = by_meaning(probabilities, second.classes)
    said = [shares.get(canonical(name) or name, 0.0) for name in classes]
    return {"second": {"says": second_opinion.likeliest(second, probabilities), "shares": said}}


def _standing(request: HttpRequest, batch: LabelBatch) -> dict[str, Any]:
    now = review.standing(batch, user_of(request))
    estimate = now.accuracy
    accuracy = None
    if estimate is not None:
        accuracy = {"share": estimate.share, "low": estimate.low, "high": estimate.high, "of": estimate.of}
    return {"standing": dataclasses.asdict(now) | {"accuracy": accuracy}}
