"""How far the people who labelled the same faces agree, who differs from whom, and on what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from webapp.accounts.models import User
from webapp.labeling.kappa import Kappa, cohen, fleiss, specific
from webapp.labeling.models import Answer, LabelBatch, Prediction, Verdict

NO_FACE = "not a face"  # a category beside the classes; who is unsure has named none


@dataclass(frozen=True)
class Pair:
    """Two people, and the faces that both gave a category."""

    first: str
    second: str
    faces: int
    agreed: int
    kappa: Kappa | None
    apart: tuple[str, str, int] | None  # what each says where they differ most, and how often

    @property
    def share(self) -> float:
        """Of the faces, those that both call the same."""
        return self.agreed / self.faces


@dataclass(frozen=True)
class Agreement:
    """Of the faces that all who were asked have answered."""

    answered: int
    unsure: int  # of them, faces that somebody was unsure of: left out of every coefficient
    compared: int
    unanimous: int
    people: int
    kappa: Kappa | None  # Cohen's for two people, Fleiss' for more
    categories: list[str]
    specific: list[float | None]  # by category
    given: list[int]  # answers, by category
    pairs: list[Pair]  # the least agreeing first
    differences: list[list[int]]  # pairs of answers to one face, by the two categories; symmetric

    @property
    def agreed_share(self) -> float:
        """Of the compared faces, those that everybody calls the same."""
        return self.unanimous / self.compared if self.compared else 0.0


def agreement(batch: LabelBatch) -> Agreement:
    """Figures of a batch's independent answers: what people said before anybody decided.

    Where one label a face is wanted there are none: a second answer is a correction of the first, and whoever
    corrects has seen what was there.
    """
    categories = [*batch.model.classes, NO_FACE]
    rows = Answer.objects.none()
    if batch.labels_wanted > 1:
        answered = Answer.objects.filter(
            prediction__batch=batch, prediction__answers__gte=batch.labels_wanted
        )
        rows = answered.exclude(verdict=Verdict.SKIPPED)
    faces: dict[int, dict[int, int | None]] = defaultdict(dict)
    for face, person, verdict, label in rows.values_list("prediction", "by", "verdict", "label"):
        faces[face][person] = _category(verdict, label, len(categories) - 1)
    sure = [_certain(said) for said in faces.values() if None not in said.values()]
    counts = [[list(said.values()).count(k) for k in range(len(categories))] for said in sure]
    pairs, differences = _pairs(sure, categories)
    people = {person for said in sure for person in said}
    return Agreement(
        answered=len(faces),
        unsure=len(faces) - len(sure),
        compared=len(sure),
        unanimous=sum(len(set(said.values())) == 1 for said in sure),
        people=len(people),
        kappa=pairs[0].kappa if len(people) == 2 else fleiss(counts),
        categories=categories,
        specific=specific(counts) if counts else [None for _ in categories],
        given=[sum(row[k] for row in counts) for k in range(len(categories))],
        pairs=pairs,
        differences=differences,
    )


def _category(verdict: str, label: int | None, no_face: int) -> int | None:
    if verdict == Verdict.LABEL:
        return label
    return no_face if verdict == Verdict.NOT_A_FACE else None


def _certain(said: dict[int, int | None]) -> dict[int, int]:
    return {person: category for person, category in said.items() if category is not None}


def _pairs(faces: Sequence[dict[int, int]], categories: list[str]) -> tuple[list[Pair], list[list[int]]]:
    """Each two people's figures, and all their differences together."""
    size = range(len(categories))
    tables: dict[tuple[int, int], Counter[tuple[int, int]]] = defaultdict(Counter)
    for said in faces:
        for pair in combinations(sorted(said), 2):
            tables[pair][said[pair[0]], said[pair[1]]] += 1
    names = {
        user.pk: str(user) for user in User.objects.filter(pk__in={pk for pair in tables for pk in pair})
    }
    pairs, together = [], [[0 for _ in size] for _ in size]
    for (first, second), said_both in tables.items():
        for (i, j), count in said_both.items():
            together[i][j] += count
            together[j][i] += count
        apart = [(count, i, j) for (i, j), count in said_both.items() if i != j]
        worst = max(apart, default=None)
        pairs.append(
            Pair(
                first=names[first],
                second=names[second],
                faces=said_both.total(),
                agreed=sum(said_both[k, k] for k in size),
                kappa=cohen([[said_both[i, j] for j in size] for i in size]),
                apart=None if worst is None else (categories[worst[1]], categories[worst[2]], worst[0]),
            )
        )
    pairs.sort(key=lambda pair: pair.share)
    return pairs, together


def said_of(faces: Sequence[Prediction], classes: Sequence[str]) -> dict[int, list[dict[str, object]]]:
    """Who says what of each face, for whoever decides; by the face's key."""
    told: dict[int, list[dict[str, object]]] = {face.pk: [] for face in faces}
    rows = Answer.objects.filter(prediction__in=told).exclude(verdict=Verdict.SKIPPED).select_related("by")
    for row in rows.order_by("said_at"):
        name = row.get_verdict_display() if row.label is None else classes[row.label]
        told[row.prediction_id].append({"by": str(row.by), "said": name, "label": row.label})
    return told
