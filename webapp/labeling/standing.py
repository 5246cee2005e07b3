"""What holds of a face after all that people have said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction

from webapp.labeling.models import Answer, Correction, LabelBatch, Prediction, Verdict

MOST_LABELS = 5  # people asked for each face
PIECE = 500  # faces decided anew at once


@dataclass(frozen=True)
class Stand:
    """What holds, who said it last, and how many people have answered."""

    verdict: str
    latest: Correction | None
    answers: int


def holding(rows: Iterable[Correction]) -> list[Correction]:
    """What was said and not taken back, the latest last."""
    left: list[Correction] = []
    for row in rows:
        if row.undoes_id is None:
            left.append(row)
        else:
            left = [earlier for earlier in left if earlier.pk != row.undoes_id]
    return left


def answers_of(rows: Iterable[Correction]) -> dict[int, Correction]:
    """Each person's answer, by the person's key: the latest of `holding` rows, decisions aside."""
    return {row.by_id: row for row in rows if not row.decides}


def stand_of(rows: Sequence[Correction], wanted: int) -> Stand:
    """What follows from the rows that hold, where `wanted` people are asked.

    One: the latest holds. Several: once as many have answered (skipping is no answer), what more than half
    of them say; else the face is in conflict, until somebody decides.
    """
    given = [row for row in answers_of(rows).values() if row.verdict != Verdict.SKIPPED]
    if wanted == 1:
        return Stand(rows[-1].verdict if rows else "", rows[-1] if rows else None, len(given))
    decisions = [row for row in rows if row.decides]
    if decisions:
        return Stand(decisions[-1].verdict, decisions[-1], len(given))
    if len(given) < wanted:
        return Stand(Verdict.NOTHING, None, len(given))
    (winner, votes), *_ = Counter((row.verdict, row.label) for row in given).most_common(1)
    if 2 * votes <= len(given):
        return Stand(Verdict.CONFLICT, None, len(given))
    agreeing = [row for row in given if (row.verdict, row.label) == winner]
    return Stand(winner[0], max(agreeing, key=lambda row: row.pk), len(given))


REPEATED = ("verdict", "corrected", "answers", "reviewed_by", "reviewed_at")


def repeat(face: Prediction, rows: Iterable[Correction], wanted: int) -> None:
    """Put on a face what follows from everything said of it; the caller saves the REPEATED fields."""
    left = holding(rows)
    now = stand_of(left, wanted)
    label = now.latest.label if now.latest is not None else None
    face.verdict, face.corrected, face.answers = now.verdict, label, now.answers
    face.reviewed_by = None if now.latest is None else now.latest.by
    face.reviewed_at = None if now.latest is None else now.latest.said_at


def repeat_answer(face: Prediction, rows: Iterable[Correction], person: int) -> None:
    """Keep one person's Answer to a face in step with what the person has said."""
    row = answers_of(holding(rows)).get(person)
    if row is None:
        face.said_by.filter(by_id=person).delete()
        return
    said = {"verdict": row.verdict, "label": row.label, "said_at": row.said_at}
    Answer.objects.bulk_create(  # one statement, and a reviewer waits for it
        [Answer(prediction=face, by_id=person, **said)],
        update_conflicts=True, update_fields=list(said), unique_fields=["prediction", "by"],
    )  # fmt: skip


@transaction.atomic
def want_labels(batch: LabelBatch, wanted: int) -> None:
    """Ask `wanted` people for each face from now on; what was said is weighed anew."""
    batch = LabelBatch.objects.select_for_update().get(pk=batch.pk)
    batch.labels_wanted = wanted
    batch.save(update_fields=["labels_wanted"])
    faces = batch.predictions.filter(corrections__isnull=False).distinct().order_by("pk")
    last = 0
    while piece := list(faces.filter(pk__gt=last)[:PIECE]):
        said: dict[int, list[Correction]] = {face.pk: [] for face in piece}
        for row in Correction.objects.filter(prediction__in=piece).select_related("by").order_by("pk"):
            said[row.prediction_id].append(row)
        for face in piece:
            repeat(face, said[face.pk], wanted)
        Prediction.objects.bulk_update(piece, REPEATED, batch_size=100)
        last = piece[-1].pk
