"""Which faces a reviewer is asked about, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Case, QuerySet, Value, When

from webapp.accounts.models import User
from webapp.accounts.permissions import may_edit
from webapp.labeling import second_opinion, selectors
from webapp.labeling.disagreement import MODELS, second_key
from webapp.labeling.doubt import doubtful
from webapp.labeling.models import LabelBatch, Prediction, SecondOpinion, Verdict

DOUBT = "doubt"
MOST_DOUBTFUL = 500  # ordered at once

PLAIN = {
    "unsure": ("Least confident", "Least confident first", ("confidence", "index")),
    "random": ("Random", "At random, for an honest accuracy", ("draw", "index")),
    "file": ("By file", "In the order of file names", ("file", "index")),
}


@dataclass(frozen=True)
class Queue:
    """Faces in order, all of which have this verdict."""

    faces: QuerySet[Prediction]
    verdict: str


def queue(batch: LabelBatch, user: User, order: str, *, is_deciding: bool = False) -> Queue:
    """What somebody is asked about. `order` must be `known`."""
    if is_deciding:
        return Queue(conflicts(batch, user).order_by(*PLAIN["unsure"][2]), Verdict.CONFLICT)
    if order == DOUBT:
        pks = doubtful(batch)[:MOST_DOUBTFUL]
        place = Case(*(When(pk=pk, then=Value(at)) for at, pk in enumerate(pks)), default=Value(0))
        return Queue(batch.predictions.filter(pk__in=pks).order_by(place), Verdict.LABEL)
    faces = batch.predictions.filter(verdict=Verdict.NOTHING, label__isnull=False, offset__isnull=False)
    if batch.labels_wanted > 1:
        faces = faces.exclude(said_by__by=user)
    second = second_key(order)
    if second is not None:
        differing = faces.filter(opinions__second=second)
        return Queue(differing.order_by("-opinions__disagreement", "index"), Verdict.NOTHING)
    return Queue(faces.order_by(*PLAIN[order][2]), Verdict.NOTHING)


def conflicts(batch: LabelBatch, user: User) -> QuerySet[Prediction]:
    """Faces that somebody may decide: the owner all of them, a third person those answered by others."""
    rows = batch.predictions.filter(verdict=Verdict.CONFLICT, offset__isnull=False)
    return rows if may_edit(user, batch) else rows.exclude(said_by__by=user)


def known(batch: LabelBatch, order: object) -> bool:
    """Whether a batch can be reviewed in an order. What several people said is not doubted."""
    if not isinstance(order, str):
        return False
    if order == DOUBT:
        return batch.labels_wanted == 1
    return order in PLAIN or second_of(batch, order) is not None


def second_of(batch: LabelBatch, order: str) -> SecondOpinion | None:
    """The second opinion that an order goes by."""
    key = second_key(order)
    return None if key is None else batch.second_opinions.filter(pk=key).first()


def choices(batch: LabelBatch) -> list[tuple[str, str, str]]:
    """Key, short and long name of each order that a batch offers now."""
    listed = [(key, short, long) for key, (short, long, _) in PLAIN.items()]
    for second in second_opinion.heard(batch):
        listed.append(
            (
                f"{MODELS}{second.pk}",
                f"Differs: {second.model_name}"[:40],
                f"Most unlike {second.model_name} first",
            )
        )
    if batch.labels_wanted == 1 and batch.predictions.filter(verdict=Verdict.LABEL).exists():
        listed.append((DOUBT, "Likely wrong", "Reviewed labels that the model makes doubtful, once more"))
    return listed


def of_grid(batch: LabelBatch) -> dict[str, str]:
    """Key and name of each order in which a batch's faces are listed."""
    names = {key: name for key, (name, _) in selectors.ORDERS.items()}
    if batch.options.get("faces") != "find":
        del names["detection"]
    for second in second_opinion.heard(batch):
        names[f"{MODELS}{second.pk}"] = f"Most unlike {second.model_name} first"
    return names
