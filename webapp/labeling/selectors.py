"""What pages read of label batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet
from django.http import QueryDict

from webapp.accounts.models import User
from webapp.accounts.permissions import visible
from webapp.experiments.models import Run
from webapp.jobs.models import Job
from webapp.labeling.models import LabelBatch, Prediction
from webapp.registry.models import Model

ORDERS = {
    "index": ("In order", ("index",)),
    "unsure": ("Least confident first", ("confidence", "index")),
    "sure": ("Most confident first", ("-confidence", "index")),
    "file": ("File name", ("file", "index")),
}
VIEWS = ("grid", "table")


@dataclass(frozen=True)
class FaceFilter:
    """Which faces of a batch are shown, and in which order; comes from and goes to the address."""

    label: str = ""  # a class name, "error", or all
    text: str = ""
    order: str = "index"
    view: str = "grid"

    @classmethod
    def of(cls, query: QueryDict) -> FaceFilter:
        order, view = query.get("order", "index"), query.get("view", "grid")
        return cls(
            label=query.get("label", ""),
            text=query.get("text", "").strip(),
            order=order if order in ORDERS else "index",
            view=view if view in VIEWS else "grid",
        )

    def query(self) -> str:
        """The address's query string, without the page."""
        default = FaceFilter()
        return urlencode({k: v for k, v in vars(self).items() if v != getattr(default, k)})

    def apply(self, batch: LabelBatch) -> QuerySet[Prediction]:
        rows = batch.predictions.all()
        if self.label == "error":
            rows = rows.exclude(error="")
        elif self.label in batch.model.classes:
            rows = rows.filter(label=batch.model.classes.index(self.label))
        if self.text:
            rows = rows.filter(file__icontains=self.text)
        if "confidence" in ORDERS[self.order][1][0]:
            rows = rows.filter(confidence__isnull=False)
        return rows.order_by(*ORDERS[self.order][1])


@dataclass(frozen=True)
class ClassCount:
    """How many faces of a batch have a class."""

    name: str
    count: int


def batches(user: User) -> QuerySet[LabelBatch]:
    """Batches that somebody may see, newest first, with how many faces they hold."""
    rows = visible(LabelBatch.objects.all(), user).select_related("model", "job", "owner")
    return rows.annotate(
        faces=Count("predictions"), errors=Count("predictions", filter=~Q(predictions__error=""))
    )


def counts(batch: LabelBatch) -> tuple[list[ClassCount], int]:
    """Faces a class, in the model's order, and the number of files without an answer."""
    by_label = dict(batch.predictions.order_by().values_list("label").annotate(n=Count("pk")))
    listed = [ClassCount(name, by_label.get(i, 0)) for i, name in enumerate(batch.model.classes)]
    return listed, by_label.get(None, 0)


def usable_models(user: User) -> QuerySet[Model]:
    """Models that somebody may label with."""
    return visible(Model.objects.all(), user).order_by("-created_at")


def usable_runs(user: User) -> QuerySet[Run]:
    """Finished runs whose best checkpoint is not a model yet; choosing one promotes it."""
    finished = Run.objects.filter(job__state=Job.State.FINISHED, model=None)
    return visible(finished, user).select_related("experiment").order_by("-created_at")


def csv_rows(batch: LabelBatch) -> Iterator[list[str]]:
    """The whole batch as CSV cells, header first: one row a face, in order, its box if it was found."""
    classes: list[str] = batch.model.classes
    looked = batch.options.get("faces") == "find"
    boxes = ("x", "y", "width", "height") if looked else ()
    yield ["file", *boxes, "class", "confidence", *(f"p_{name}" for name in classes), "error", "model"]
    rows = batch.predictions.order_by("index").values_list(
        "file", "box", "label", "confidence", "probabilities", "error"
    )
    model = f"{batch.model.name} ({batch.model_id})"
    for file, box, label, confidence, probabilities, error in rows.iterator(2000):
        place = [str(n) for n in box] if box else ["" for _ in boxes]
        if probabilities is None or label is None:
            yield [file, *place, "", "", *("" for _ in classes), error, model]
        else:
            figures = (f"{p:.6f}" for p in probabilities)
            yield [file, *place, classes[label], f"{confidence:.6f}", *figures, "", model]
