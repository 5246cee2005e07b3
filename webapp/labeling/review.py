"""Reviewing a batch: handing faces to people, and how far they are.

A face is lent to one page for a short while, by one conditional UPDATE, so that several people who review
the same batch meet different faces; where several labels a face are wanted, nobody meets one a second time.
What they say is kept by `keeping`, and what follows from it is decided in `standing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Q, QuerySet, Sum
from django.utils import timezone

from webapp.accounts.models import User
from webapp.labeling import orders
from webapp.labeling.estimate import Estimate, wilson
from webapp.labeling.models import Answer, LabelBatch, Prediction, Verdict

LEASE = timedelta(seconds=120)  # a page asks again every half minute, and with every few faces
MOST_FACES = 24  # lent at once


# --- handing out -----------------------------------------------------------------------------------


def hand_out(
    batch: LabelBatch,
    user: User,
    *,
    page: str,
    order: str,
    count: int,
    holding: Sequence[int],
    deciding: bool = False,
) -> tuple[list[Prediction], list[int]]:
    """Up to `count` further faces for a page, and those of `holding` that are still its own.

    page: names a browser tab. Two tabs of one person are lent different faces.
    deciding: faces that people disagree on, instead of faces to answer for.
    """
    whose = _whose(user, page)
    asked = orders.queue(batch, user, order, is_deciding=deciding)
    kept = _lend(asked, asked.faces.filter(index__in=holding), whose)
    wanted = asked.faces.exclude(index__in=holding)
    lent: list[Prediction] = []
    while len(lent) < count:
        free = wanted.filter(_free_for(whose)).exclude(pk__in=[face.pk for face in lent])
        chosen = list(free.values_list("pk", flat=True)[: count - len(lent)])
        if not chosen:
            break
        lent += _lend(asked, wanted.filter(pk__in=chosen), whose)  # fewer where another was quicker
    return lent, sorted(face.index for face in kept)


def take_back(batch: LabelBatch, user: User, *, page: str, until: datetime) -> int:
    """Lend to others what a page that was left had; answers how many faces.

    until: what it had at that time. A page that was reloaded has borrowed anew, and keeps that.
    """
    lent = batch.predictions.filter(leased_to=_whose(user, page), leased_until__lte=until)
    return lent.update(leased_to="", leased_until=None)


def _whose(user: User, page: str) -> str:
    return f"{user.pk}:{page}"[:60]


def _free_for(whose: str) -> Q:
    return Q(leased_until=None) | Q(leased_until__lt=timezone.now()) | Q(leased_to=whose)


def _lend(asked: orders.Queue, rows: QuerySet[Prediction], whose: str) -> list[Prediction]:
    """Those of `rows` that are lent to `whose` now. The condition is checked by the UPDATE itself."""
    pks = list(rows.values_list("pk", flat=True))
    until = timezone.now() + LEASE
    still = (
        asked.faces.order_by().filter(pk__in=pks).values("pk")
    )  # not answered by the same person meanwhile
    free = Prediction.objects.filter(_free_for(whose), pk__in=still, verdict=asked.verdict)
    free.update(leased_to=whose, leased_until=until)
    return list(rows.filter(pk__in=pks, leased_to=whose, leased_until=until))


# --- how far it is -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """How far a review is, and what it says of the model."""

    faces: int
    reviewed: int  # faces whose label is decided
    changed: int
    accuracy: Estimate | None
    wanted: int  # people who are to answer for each face
    answers: int  # given by all of them
    conflicts: int
    mine: int  # answers of who asks


def standing(batch: LabelBatch, user: User | None = None) -> Standing:
    """Counts of a batch's review, and the model's accuracy where a random part was reviewed."""
    is_changed = Q(verdict=Verdict.LABEL) & ~Q(corrected=F("label"))
    rows = batch.predictions.filter(label__isnull=False).order_by().values_list("verdict")
    counts = rows.annotate(n=Count("pk"), changed=Count("pk", filter=is_changed), answers=Sum("answers"))
    counted = {verdict: (n, changed, answers) for verdict, n, changed, answers in counts}
    faces = sum(n for n, _, _ in counted.values())
    undecided = sum(counted.get(verdict, (0,))[0] for verdict in (Verdict.NOTHING, Verdict.CONFLICT))
    mine = Answer.objects.filter(prediction__batch=batch, by=user) if batch.labels_wanted > 1 else None
    return Standing(
        faces=faces,
        reviewed=faces - undecided,
        changed=sum(changed for _, changed, _ in counted.values()),
        accuracy=accuracy(batch) if undecided < faces else None,
        wanted=batch.labels_wanted,
        answers=sum(answers or 0 for _, _, answers in counted.values()),
        conflicts=counted.get(Verdict.CONFLICT, (0,))[0],
        mine=0 if mine is None or user is None else mine.count(),
    )


def accuracy(batch: LabelBatch) -> Estimate | None:
    """How often the model was right, estimated honestly.

    Faces looked at because the model was unsure say nothing of the rest. So only the beginning of the random
    order counts, up to the first face that nobody has judged: that is a simple random sample. Faces that
    got no class (no face, unsure, skipped) are left out of it.
    """
    faces = batch.predictions.filter(label__isnull=False, offset__isnull=False)
    sample = faces.filter(verdict=Verdict.LABEL)
    for verdict in (Verdict.NOTHING, Verdict.CONFLICT):  # one by one, each is the first of an index
        first_open = faces.filter(verdict=verdict).order_by("draw").values_list("draw", flat=True).first()
        if first_open is not None:
            sample = sample.filter(draw__lt=first_open)
    figures = sample.aggregate(of=Count("pk"), right=Count("pk", filter=Q(corrected=F("label"))))
    return wilson(figures["right"], figures["of"])
