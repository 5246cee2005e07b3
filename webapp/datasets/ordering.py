"""Faces in the order of what a model found. Scores are the registry's, reached by their reverse names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from webapp.accounts.models import User
from webapp.accounts.permissions import visible
from webapp.datasets.models import DatasetVersion, Sample
from webapp.jobs.models import Job

SORTS = {  # what people choose: its name, the column, and whether the largest come first
    "doubt": ("Label likely wrong", "doubt", True),
    "disagreement": ("Most against the label", "disagreement", True),
    "loss": ("Highest loss", "loss", True),
    "confidence": ("Least confident", "confidence", False),
    "sure": ("Most confident", "confidence", True),
}


@dataclass(frozen=True)
class Order:
    """A sort by the scores of one model."""

    sort: str  # a key of SORTS
    scoring: Any  # the registry's row

    @property
    def _column(self) -> str:
        return SORTS[self.sort][1]

    def apply(self, narrow: Callable[[QuerySet[Any]], QuerySet[Any]]) -> QuerySet[Any]:
        """Scores of the faces that a filter leaves, in order; equals as in the data set, or against it.

        Scores have the columns that filters ask for, so that one index answers, without a join.
        """
        sign = "-" if SORTS[self.sort][2] else ""
        scored = narrow(self.scoring.scores.filter(**{f"{self._column}__isnull": False}))
        return scored.order_by(f"{sign}{self._column}", f"{sign}index")

    def earlier(self, sample: Sample, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of the scores that come before a face, the nearest last; none where it has no score."""
        return self._beside(sample, rows, before=True)

    def neighbours(self, sample: Sample, rows: QuerySet[Any]) -> tuple[int | None, int | None]:
        """Index of the face before and of the face after."""
        before = self._beside(sample, rows, before=True).reverse()
        after = self._beside(sample, rows, before=False)
        return before.values_list("index", flat=True).first(), after.values_list("index", flat=True).first()

    def _beside(self, sample: Sample, rows: QuerySet[Any], *, before: bool) -> QuerySet[Any]:
        value = score_of(self, sample)
        if value is None:
            return rows.none()
        beyond = "gt" if before == SORTS[self.sort][2] else "lt"
        further = Q(**{f"{self._column}__{beyond}": value})
        equal = Q(**{self._column: value, f"index__{beyond}": sample.index})
        return rows.filter(further | equal)


def score_of(order: Order, sample: Sample) -> float | None:
    """The value that a face is sorted by."""
    scores: Any = order.scoring.scores
    found: float | None = scores.filter(sample=sample).values_list(SORTS[order.sort][1], flat=True).first()
    return found


def scorings(user: User, version: DatasetVersion) -> list[Any]:
    """Models that have said all about a version, and that somebody may see, the latest first."""
    rows: Any = version.scorings
    finished = rows.filter(job__state=Job.State.FINISHED).select_related("model")
    return list(visible(finished, user, "model__"))


def order_of(query: Mapping[str, str], known: list[Any]) -> Order | None:
    """The order that an address asks for, by the latest model where it names none; None: as in the data."""
    sort, by = query.get("sort", ""), query.get("by", "")
    named = [row for row in known if str(row.pk) == by] or known[:1]
    return Order(sort, named[0]) if sort in SORTS and named else None


def scores(order: Order | None, samples: list[Sample]) -> dict[int, Any]:
    """What the model of an order said of faces, by their key: one query."""
    if order is None:
        return {}
    rows = order.scoring.scores.filter(sample__in=samples)
    return {row.sample_id: row for row in rows.defer("probabilities")}


def predictions(user: User, sample: Sample) -> list[dict[str, Any]]:
    """What every model that somebody may see said of a face, the latest first: one query."""
    rows: Any = sample.scores
    seen = visible(rows.select_related("scoring__model"), user, "scoring__model__").order_by("-scoring_id")
    found = []
    for row in seen:
        classes = row.scoring.model.classes
        ranked = sorted(zip(classes, row.probabilities, strict=True), key=lambda pair: -pair[1])
        found.append({"score": row, "model": row.scoring.model, "ranked": ranked})
    return found
