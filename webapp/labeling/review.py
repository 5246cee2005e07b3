"""Reviewing a batch: handing faces to people, and keeping what they say of them.

A face is lent to one page for a short while, by one conditional UPDATE, so that several people who review
the same batch meet different faces. What is said is a Correction; sent twice it is kept once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from webapp.accounts.models import User
from webapp.labeling.estimate import Estimate, wilson
from webapp.labeling.models import Correction, LabelBatch, Prediction, Verdict

LEASE = timedelta(seconds=120)  # a page asks again every half minute, and with every few faces
MOST_FACES = 24  # lent at once
MOST_ROWS = 200  # of what was said, in one request

ORDERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "unsure": ("Least confident first", ("confidence", "index")),
    "random": ("At random, for an honest accuracy", ("draw", "index")),
    "file": ("By file", ("file", "index")),
}


# --- handing out -----------------------------------------------------------------------------------


def hand_out(
    batch: LabelBatch, user: User, *, page: str, order: str, count: int, holding: Sequence[int]
) -> tuple[list[Prediction], list[int]]:
    """Up to `count` further faces for a page, and those of `holding` that are still its own.

    page: names a browser tab. Two tabs of one person are lent different faces.
    """
    whose = f"{user.pk}:{page}"[:60]
    kept = _lend(_open(batch).filter(index__in=holding), whose)
    wanted = _open(batch).exclude(index__in=holding).order_by(*ORDERS[order][1])
    faces: list[Prediction] = []
    while len(faces) < count:
        free = wanted.filter(_free_for(whose)).exclude(pk__in=[face.pk for face in faces])
        chosen = list(free.values_list("pk", flat=True)[: count - len(faces)])
        if not chosen:
            break
        faces += _lend(wanted.filter(pk__in=chosen), whose)  # fewer where another was quicker
    return faces, [face.index for face in kept]


def _open(batch: LabelBatch) -> QuerySet[Prediction]:
    return batch.predictions.filter(verdict=Verdict.NOTHING, label__isnull=False, offset__isnull=False)


def _free_for(whose: str) -> Q:
    return Q(leased_until=None) | Q(leased_until__lt=timezone.now()) | Q(leased_to=whose)


def _lend(rows: QuerySet[Prediction], whose: str) -> list[Prediction]:
    """Those of `rows` that are lent to `whose` now. The condition is checked by the UPDATE itself."""
    pks = list(rows.values_list("pk", flat=True))
    until = timezone.now() + LEASE
    free = Prediction.objects.filter(_free_for(whose), pk__in=pks, verdict=Verdict.NOTHING)
    free.update(leased_to=whose, leased_until=until)
    return list(rows.filter(pk__in=pks, leased_to=whose, leased_until=until))


# --- keeping what is said ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """One row as a page sends it."""

    key: UUID
    index: int
    verdict: str
    label: int | None
    undoes: UUID | None
    said_at: datetime


def parse(row: Mapping[str, Any], classes: int) -> Said:
    """A row of a page's outbox. Raises ValueError for anything that no page of ours sends."""
    verdict, label, index = str(row.get("verdict", "")), row.get("label"), row.get("index")
    undoes = row.get("undoes")
    if not isinstance(index, int) or not 0 <= index < 2**31:
        raise ValueError("no such face")
    if undoes is None and (verdict not in Verdict.values or verdict == Verdict.NOTHING):
        raise ValueError("no such verdict")
    is_class = isinstance(label, int) and not isinstance(label, bool) and 0 <= label < classes
    if undoes is None and (verdict == Verdict.LABEL) != is_class:
        raise ValueError("no such class")
    said = parse_datetime(str(row.get("said_at", ""))) or timezone.now()
    if timezone.is_naive(said):
        raise ValueError("a time without a zone")
    return Said(
        key=UUID(str(row.get("key"))),
        index=index,
        verdict=verdict,
        label=label if is_class else None,
        undoes=None if undoes is None else UUID(str(undoes)),
        said_at=said,
    )


def keep(batch: LabelBatch, user: User, rows: Iterable[Said]) -> dict[UUID, str]:
    """Write down what somebody said, in order; each row's fate by its key.

    "kept"; "overtaken": somebody spoke after what it would take back; "early": what it would take back has
    not arrived, so send it again later; "gone": there is no such face.
    """
    fates = {}
    for said in rows:
        with transaction.atomic():
            fates[said.key] = _keep(batch, user, said)
    return fates


def _keep(batch: LabelBatch, user: User, said: Said) -> str:
    # The lock puts what is said of one face at the same time in an order; SQLite has one writer anyway.
    face = batch.predictions.select_for_update().filter(index=said.index, label__isnull=False).first()
    if face is None:
        return "gone"
    if Correction.objects.filter(key=said.key).exists():
        return "kept"
    verdict, label, undoes = said.verdict, said.label, None
    if said.undoes is not None:
        undoes = face.corrections.filter(key=said.undoes, by=user, undoes=None).first()
        if undoes is None:
            return "early"
        holding = _holding(face)
        if holding[-1:] != [undoes]:
            return "overtaken"
        verdict, label = (holding[-2].verdict, holding[-2].label) if len(holding) > 1 else ("", None)
    now = timezone.now()
    row = Correction.objects.create(
        prediction=face, key=said.key, verdict=verdict, label=label, undoes=undoes, by=user,
        said_at=min(said.said_at, now),
    )  # fmt: skip
    _stand(face, row)
    return "kept"


def _holding(face: Prediction) -> list[Correction]:
    """What was said of a face and not taken back, the latest last."""
    rows: list[Correction] = []
    for row in face.corrections.order_by("pk"):
        if row.undoes_id is None:
            rows.append(row)
        else:
            rows = [earlier for earlier in rows if earlier.pk != row.undoes_id]
    return rows


def _stand(face: Prediction, row: Correction) -> None:
    """Repeat the latest correction on its face, for filters."""
    is_open = row.verdict == Verdict.NOTHING
    face.verdict, face.corrected = row.verdict, row.label
    face.reviewed_by = None if is_open else row.by
    face.reviewed_at = None if is_open else row.said_at
    face.save(update_fields=["verdict", "corrected", "reviewed_by", "reviewed_at"])


# --- how far it is -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """How far a review is, and what it says of the model."""

    faces: int
    reviewed: int
    changed: int
    accuracy: Estimate | None


def standing(batch: LabelBatch) -> Standing:
    """Counts of a batch's review, and the model's accuracy where a random part was reviewed."""
    is_changed = Q(verdict=Verdict.LABEL) & ~Q(corrected=F("label"))
    rows = batch.predictions.filter(label__isnull=False).order_by().values_list("verdict")
    counted = list(rows.annotate(n=Count("pk"), changed=Count("pk", filter=is_changed)))
    reviewed = sum(n for verdict, n, _ in counted if verdict != Verdict.NOTHING)
    return Standing(
        faces=sum(n for _, n, _ in counted),
        reviewed=reviewed,
        changed=sum(changed for _, _, changed in counted),
        accuracy=accuracy(batch) if reviewed else None,
    )


def accuracy(batch: LabelBatch) -> Estimate | None:
    """How often the model was right, estimated honestly.

    Faces looked at because the model was unsure say nothing of the rest. So only the beginning of the random
    order counts, up to the first face that nobody has judged: that is a simple random sample. Faces that
    got no class (no face, unsure, skipped) are left out of it.
    """
    faces = batch.predictions.filter(label__isnull=False, offset__isnull=False)
    first_open = faces.filter(verdict=Verdict.NOTHING).order_by("draw").values_list("draw", flat=True).first()
    sample = faces.filter(verdict=Verdict.LABEL)
    if first_open is not None:
        sample = sample.filter(draw__lt=first_open)
    figures = sample.aggregate(of=Count("pk"), right=Count("pk", filter=Q(corrected=F("label"))))
    return wilson(figures["right"], figures["of"])
