"""Keeping what people say of faces: every answer a row, sent twice kept once, taken back by a further row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from webapp.accounts.models import User
from webapp.accounts.permissions import may_edit
from webapp.labeling import standing
from webapp.labeling.models import SAYABLE, Correction, LabelBatch, Prediction, Verdict

MOST_ROWS = 200  # of what was said, in one request
MOST_EARLY = timedelta(days=1)  # how long an undo waits for what it would take back


@dataclass(frozen=True)
class Said:
    """One row as a page sends it."""

    key: UUID
    index: int
    verdict: str
    label: int | None
    undoes: UUID | None
    decides: bool
    said_at: datetime


def parse(row: Mapping[str, Any], classes: int, ahead: timedelta = timedelta()) -> Said:
    """A row of a page's outbox. Raises ValueError for anything that no page of ours sends.

    ahead: how much later it is here than on the clock of the browser, which says when it was said.
    """
    verdict, label, index = str(row.get("verdict", "")), row.get("label"), row.get("index")
    undoes = row.get("undoes")
    if not isinstance(index, int) or not 0 <= index < 2**31:
        raise ValueError("no such face")
    if undoes is None and verdict not in SAYABLE:
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
        decides=row.get("decides") is True,
        said_at=said + ahead,
    )


def clock_ahead(sent_at: object) -> timedelta:
    """How much later it is here than on the clock that a page sent; none where it sent none that is sound."""
    try:
        sent = parse_datetime(str(sent_at))
    except ValueError:
        sent = None
    return timedelta() if sent is None or timezone.is_naive(sent) else timezone.now() - sent


def keep(batch: LabelBatch, user: User, rows: Iterable[Said]) -> dict[UUID, str]:
    """Write down what somebody said, in order; each row's fate by its key.

    "kept"; "overtaken": somebody else has spoken since or has decided already, or what it would take back
    was refused; "early": what it would take back has not arrived, so send it again later; "gone": there is
    no such face.
    """
    fates: dict[UUID, str] = {}
    for said in rows:
        if said.undoes is not None and fates.get(said.undoes) in ("overtaken", "gone"):
            fates[said.key] = "overtaken"
            continue
        with transaction.atomic():
            fates[said.key] = _keep(batch, user, said)
    return fates


def _keep(batch: LabelBatch, user: User, said: Said) -> str:
    # How many people are asked may have changed since the request began, and must not change before this row
    # is there to be weighed anew. The lock also puts what is said at the same time in an order. It leaves the
    # batch's key alone, so that no labelling that adds faces waits; SQLite has one writer anyway.
    held = LabelBatch.objects.select_for_update(no_key=True).filter(pk=batch.pk).first()
    return "gone" if held is None else _keep_in(held, user, said)


def _keep_in(batch: LabelBatch, user: User, said: Said) -> str:
    # Nobody is lent the face meanwhile: whether it is lent is saved with what holds of it.
    face = batch.predictions.select_for_update().filter(index=said.index, label__isnull=False).first()
    if face is None:
        return "gone"
    if Correction.objects.filter(key=said.key).exists():
        return "kept"
    rows = list(face.corrections.select_related("by").order_by("pk"))
    verdict, label, undoes, decides = said.verdict, said.label, None, said.decides
    if said.undoes is not None:
        undoes = next(
            (r for r in rows if (r.key, r.by_id, r.undoes_id) == (said.undoes, user.pk, None)), None
        )
        if undoes is None:  # for good where it was refused, and the page was closed before it heard of it
            return "overtaken" if timezone.now() - said.said_at > MOST_EARLY else "early"
        stream = _stream(batch, standing.holding(rows), undoes)
        if stream[-1:] != [undoes]:
            return "overtaken"
        verdict, label = (stream[-2].verdict, stream[-2].label) if len(stream) > 1 else ("", None)
        decides = undoes.decides
    elif _is_overtaken(batch, user, face, said, standing.holding(rows)):
        return "overtaken"
    now = timezone.now()
    row = Correction.objects.create(
        prediction=face, key=said.key, verdict=verdict, label=label, undoes=undoes, by=user,
        decides=decides, said_at=min(said.said_at, now),
    )  # fmt: skip
    _follow(batch, face, [*rows, row], user)
    return "kept"


def _is_overtaken(
    batch: LabelBatch, user: User, face: Prediction, said: Said, left: list[Correction]
) -> bool:
    """Whether somebody else has decided already; or, where the latest word holds, has spoken since this one
    was said, which waited for a connection."""
    if said.decides:
        return not _may_decide(batch, user, face, left)
    latest = left[-1] if left and batch.labels_wanted == 1 else None
    return latest is not None and latest.by_id != user.pk and latest.said_at > said.said_at


def _may_decide(batch: LabelBatch, user: User, face: Prediction, left: list[Correction]) -> bool:
    """Whether somebody may settle a face: it is in conflict, or was settled by the same person last."""
    decisions = [row for row in left if row.decides]
    mine = bool(decisions) and decisions[-1].by_id == user.pk
    is_asked = user.pk in standing.answers_of(left)
    return (face.verdict == Verdict.CONFLICT or mine) and (may_edit(user, batch) or not is_asked)


def _stream(batch: LabelBatch, left: list[Correction], row: Correction) -> list[Correction]:
    """The rows that hold and among which `row` must be the latest to be taken back."""
    if batch.labels_wanted == 1:
        return left
    return [r for r in left if r.decides == row.decides and (row.decides or r.by_id == row.by_id)]


def _follow(batch: LabelBatch, face: Prediction, rows: list[Correction], user: User) -> None:
    """What follows from a new row: what holds, the person's answer, and that others may be asked at once."""
    standing.repeat(face, rows, batch.labels_wanted)
    standing.repeat_answer(face, rows, user.pk)
    if batch.labels_wanted > 1 and face.leased_to.startswith(f"{user.pk}:"):
        face.leased_to, face.leased_until = "", None
    face.save(update_fields=[*standing.REPEATED, "leased_to", "leased_until"])
