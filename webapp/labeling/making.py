"""Data sets made of a batch, and corrections added to data sets that are there: the wish for either."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet

from mmfrm.classes import default_mapping
from webapp.accounts.models import User
from webapp.accounts.permissions import may_edit, visible
from webapp.datasets.models import Dataset, DatasetImport, DatasetVersion
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling.models import Answer, LabelBatch, MadeDataset, Prediction, Verdict

KIND = "label_dataset"
SPLITS = {"train": "Training", "val": "Validation", "test": "Test"}


@transaction.atomic
def make_dataset(
    user: User,
    batch: LabelBatch,
    *,
    name: str = "",
    dataset: Dataset | None = None,
    with_confident: bool = False,
    threshold: float = 0.9,
) -> DatasetVersion:
    """Queue the making of a version of `dataset`, or of a new one, of this batch's faces alone.

    with_confident: also faces that nobody reviewed, where the model's confidence is at least `threshold`.
    Raises RefusedError where none can be made.
    """
    count = chosen(batch, with_confident, threshold).count()
    if count == 0:
        raise RefusedError("No face was reviewed yet. Review some, or take the confident ones along.")
    if dataset is None:
        private = batch.private
        dataset = Dataset.objects.create(owner=user, private=private, name=(name or batch.name)[:200])
    made = MadeDataset(batch=batch, with_confident=with_confident, threshold=threshold)
    return _queue(user, batch, dataset, made, parent=None, count=count)


@transaction.atomic
def add_to(
    user: User,
    batch: LabelBatch,
    parent: DatasetVersion,
    *,
    mapping: Mapping[str, str],
    split: str = "train",
    with_confident: bool = False,
    threshold: float = 0.9,
) -> DatasetVersion:
    """Queue a new version of `parent`'s data set with this batch's faces beside all that `parent` has.

    mapping: a class of the model -> a class of the data set, "" leaves it out. split: where faces go that
    the data set does not have yet; those it has stay where they are, with their labels set right.
    Raises RefusedError where nothing would be added.
    """
    if parent.ready_at is None:
        raise RefusedError(f"{parent} is still being made.")
    if split not in SPLITS:
        raise RefusedError("Faces go to training, validation or test.")
    classes: list[str] = batch.model.classes
    if strange := [goal for goal in mapping.values() if goal and goal not in parent.classes]:
        raise RefusedError(f"{strange[0]} is not a class of {parent}.")
    kept = [i for i, name in enumerate(classes) if mapping.get(name)]
    count = chosen(batch, with_confident, threshold, labels=kept).count()
    if count == 0:
        raise RefusedError("No reviewed face has a class that this data set takes.")
    made = MadeDataset(
        batch=batch, with_confident=with_confident, threshold=threshold, split=split,
        mapping={name: mapping.get(name, "") for name in classes},
    )  # fmt: skip
    return _queue(user, batch, parent.dataset, made, parent=parent, count=count)


def _queue(
    user: User,
    batch: LabelBatch,
    dataset: Dataset,
    made: MadeDataset,
    *,
    parent: DatasetVersion | None,
    count: int,
) -> DatasetVersion:
    if not may_edit(user, dataset):
        raise RefusedError(f"Only {dataset.owner} or an administrator may add a version to {dataset}.")
    if batch.private and not dataset.private:
        raise RefusedError("The batch is private and that data set is not: make a new one.")
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    last = dataset.versions.aggregate(last=Max("number"))["last"] or 0
    note = _note(batch, made, count)
    version = DatasetVersion.objects.create(
        dataset=dataset, number=last + 1, parent=parent, made_by=user, note=note
    )
    job = jobs.create(kind=KIND, queue=Job.Queue.CPU, owner=user, title=f"Make {version}")
    DatasetImport.objects.create(job=job, version=version, options={"layout": "csv"})
    made.version = version
    made.save()
    return version


# Where several people are asked, a face that only some have answered has no verdict yet.
_IS_SPOKEN_OF = ~Q(verdict=Verdict.NOTHING) | Q(Exists(Answer.objects.filter(prediction=OuterRef("pk"))))


def chosen(
    batch: LabelBatch, with_confident: bool, threshold: float, labels: list[int] | None = None
) -> QuerySet[Prediction]:
    """The faces of a batch that a data set takes: those that people gave a class, and the confident rest.

    labels: only those whose final class is among these.
    """
    mine = Q(verdict=Verdict.LABEL)
    rest = Q(confidence__gte=threshold) & ~_IS_SPOKEN_OF
    if labels is not None:
        mine &= Q(corrected__in=labels)
        rest &= Q(label__in=labels)
    return batch.predictions.filter(mine | rest if with_confident else mine, offset__isnull=False)


def spoken_of(batch: LabelBatch) -> QuerySet[Prediction]:
    """The faces of which a person has said something that holds, a class or not: no model decides them."""
    return batch.predictions.filter(_IS_SPOKEN_OF, offset__isnull=False)


def targets(user: User) -> list[DatasetVersion]:
    """The newest version that is ready of each data set that somebody may add to, the newest first."""
    sets = [d for d in visible(Dataset.objects.select_related("owner"), user) if may_edit(user, d)]
    ready = DatasetVersion.objects.filter(dataset__in=sets, ready_at__isnull=False).exclude(classes=[])
    newest: dict[int, DatasetVersion] = {}
    for version in ready.select_related("dataset__owner").order_by("-number"):
        newest.setdefault(version.dataset_id, version)
    return sorted(newest.values(), key=lambda version: -version.pk)


def proposed_mapping(batch: LabelBatch, version: DatasetVersion) -> dict[str, str]:
    """Where each class of the batch's model would go, by its meaning; "" where the data set has none."""
    return default_mapping(batch.model.classes, version.classes)


def reviewed_counts(batch: LabelBatch) -> list[tuple[str, int, int]]:
    """For each class: how many faces people gave it, and how many of these the model had called otherwise."""
    rows = batch.predictions.filter(verdict=Verdict.LABEL, offset__isnull=False).order_by()
    counted = rows.values_list("corrected").annotate(
        n=Count("pk"), c=Count("pk", filter=~Q(label=F("corrected")))
    )
    found = {label: (n, changed) for label, n, changed in counted}
    return [(name, *found.get(i, (0, 0))) for i, name in enumerate(batch.model.classes)]


def _note(batch: LabelBatch, made: MadeDataset, count: int) -> str:
    rest = f" and what the model was at least {made.threshold:.0%} sure of" if made.with_confident else ""
    what = f"{count:,} faces of “{batch.name}”: reviewed{rest}"
    return (f"Added {what}" if made.split else what)[:300]
