"""Data sets made of a batch: its faces become a source that the import reads like any other."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from mmfrm.events import Event, Finished
from mmfrm.jobs import ImportJob
from webapp import packs
from webapp.accounts.models import User
from webapp.accounts.permissions import get_visible, may_create, may_edit, require
from webapp.accounts.request import user_of
from webapp.datasets import importing
from webapp.datasets.models import Dataset, DatasetImport, DatasetVersion
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling import exports, selectors
from webapp.labeling.forms import DatasetForm
from webapp.labeling.models import LabelBatch, MadeDataset, Prediction, Verdict

KIND = "label_dataset"


@require_POST
def make(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a data set of a batch, or a further version of one."""
    batch = get_visible(LabelBatch.objects.select_related("model"), request.user, pk=pk)
    user = user_of(request)
    require(may_create(user), "Viewers cannot make data sets. Ask for the editor role.")
    form = DatasetForm(request.POST, user=user, batch=batch)
    if not form.is_valid():
        messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
        return redirect("labeling:batch", pk)
    try:
        version = make_dataset(user, batch, **form.cleaned_data)
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("labeling:batch", pk)
    return redirect("datasets:version", version.dataset_id, version.number)


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
    """Queue the making of a version of `dataset`, or of a new one. Raises RefusedError where none can be.

    with_confident: also faces that nobody reviewed, where the model's confidence is at least `threshold`.
    """
    count = chosen(batch, with_confident, threshold).count()
    if count == 0:
        raise RefusedError("No face was reviewed yet. Review some, or take the confident ones along.")
    if dataset is None:
        private = batch.private
        dataset = Dataset.objects.create(owner=user, private=private, name=(name or batch.name)[:200])
    elif not may_edit(user, dataset):
        raise RefusedError(f"Only {dataset.owner} or an administrator may add a version to {dataset}.")
    elif batch.private and not dataset.private:
        raise RefusedError("The batch is private and that data set is not: make a new one.")
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    last = dataset.versions.aggregate(last=Max("number"))["last"] or 0
    version = DatasetVersion.objects.create(
        dataset=dataset, number=last + 1, made_by=user, note=_note(batch, count, with_confident, threshold)
    )
    job = jobs.create(kind=KIND, queue=Job.Queue.CPU, owner=user, title=f"Make {version}"[:200])
    DatasetImport.objects.create(job=job, version=version, options={"layout": "csv"})
    MadeDataset.objects.create(
        batch=batch, version=version, with_confident=with_confident, threshold=threshold
    )
    return version


def chosen(batch: LabelBatch, with_confident: bool, threshold: float) -> QuerySet[Prediction]:
    """The faces of a batch that a data set takes: those that people gave a class, and the confident rest."""
    which = Q(verdict=Verdict.LABEL)
    if with_confident:
        which |= Q(verdict=Verdict.NOTHING, confidence__gte=threshold)
    return batch.predictions.filter(which, offset__isnull=False)


def _note(batch: LabelBatch, count: int, with_confident: bool, threshold: float) -> str:
    rest = f" and what the model was at least {threshold:.0%} sure of" if with_confident else ""
    return f"{count:,} faces of “{batch.name}”: reviewed{rest}"[:300]


# --- the job -----------------------------------------------------------------------------------------


def prepare(job: Job) -> ImportJob:
    """Write the faces as a zip with a table of labels, once, and have it imported.

    Later corrections do not change it: a job that goes on must find what it began with.
    """
    made = MadeDataset.objects.select_related("batch__model", "version__dataset").get(
        version__import_job__job=job
    )
    folder = jobs.folder_of(job)
    source = folder / "faces.zip"
    if not source.exists():
        if made.batch is None:
            raise RefusedError("The batch that this data set was to be made of is gone.")
        folder.mkdir(parents=True, exist_ok=True)
        _write_source(made, made.batch, source)
    version = made.version
    return ImportJob(
        source=str(source), out=str(version.folder), name=version.dataset.name, filename="faces.zip",
        layout="csv",
    )  # fmt: skip


def _write_source(made: MadeDataset, batch: LabelBatch, path: Path) -> None:
    """faces.zip, and beside it provenance.jsonl: a line a face, by the name it has in the zip."""
    part = path.with_suffix(".part")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "label", "group"])
    with (
        part.open("wb") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        (path.parent / "provenance.jsonl").open("w") as lines,
    ):
        for name, data, row in _faces(made, batch):
            archive.writestr(zipfile.ZipInfo(name), data)
            origin = _origin(batch, row)
            group = row.file if row.box is not None else ""  # faces of one photo are never parted
            writer.writerow([name, origin["label"], group])
            lines.write(json.dumps({"name": name} | origin) + "\n")
        archive.writestr("labels.csv", table.getvalue())
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(path)


def _faces(made: MadeDataset, batch: LabelBatch) -> Iterator[tuple[str, bytes, Prediction]]:
    rows = chosen(batch, made.with_confident, made.threshold)
    for row in selectors.in_pieces(batch, rows):
        if row.offset is not None and row.length is not None:
            data = packs.read(batch.folder / "faces.pack", row.offset, row.length)
            yield f"batch-{batch.pk}/{exports.file_name(row, data)}", data, row


def _origin(batch: LabelBatch, row: Prediction) -> dict[str, Any]:
    """Where a sample and its label come from."""
    classes: list[str] = batch.model.classes
    label = selectors.final_label(row)
    if label is None or row.label is None:
        raise ValueError(f"face {row.index} has no class")
    return {
        "label": classes[label],
        "label_by": "model" if row.reviewed_by is None else str(row.reviewed_by),
        "at": None if row.reviewed_at is None else row.reviewed_at.isoformat(),
        "batch": batch.pk,
        "index": row.index,
        "file": row.file,
        "box": row.box,
        "model": exports.model_version(batch),
        "model_label": classes[row.label],
        "confidence": row.confidence,
    }


def on_event(job: Job, event: Event) -> None:
    """Make it a version as any import does, and put the provenance beside its samples."""
    if not isinstance(event, Finished):
        return
    made = MadeDataset.objects.select_related("batch__model", "version__dataset").get(
        version__import_job__job=job
    )
    version, folder = made.version, jobs.folder_of(job)
    importing.on_event(job, event)
    told = folder / "provenance.jsonl"
    if told.exists():
        shutil.copyfile(told, version.folder / "provenance.jsonl")
    (folder / "faces.zip").unlink(missing_ok=True)
    version.refresh_from_db()
    batch = made.batch
    version.report["made_of"] = {
        "batch": made.batch_id,
        "batch_name": "" if batch is None else batch.name,
        "model": "" if batch is None else exports.model_version(batch),
        "with_confident": made.with_confident,
        "threshold": made.threshold if made.with_confident else None,
        "provenance": "provenance.jsonl",
    }
    version.save(update_fields=["report"])
