"""The job that makes a data set of a batch: its faces become a source that is read like any other."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmfrm.events import Event, Finished
from mmfrm.jobs import ImportJob, ReviseJob
from mmfrm.jobs import Job as JobFile
from webapp.datasets import importing
from webapp.datasets.models import DatasetVersion
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling import exports, selectors
from webapp.labeling.making import chosen, spoken_of
from webapp.labeling.models import LabelBatch, MadeDataset, Prediction
from webapp.zips import written_whole


def prepare(job: Job) -> JobFile:
    """Write the faces as a zip with a table of labels, once, and have it imported, or added to a version.

    Later corrections do not change it: a job that goes on must find what it began with.
    """
    made = _made_by(job)
    folder = jobs.folder_of(job)
    source = folder / "faces.zip"
    version = made.version
    if made.split and version.parent is None:
        raise RefusedError("The version that the faces were to be added to is gone.")
    if not source.exists():
        if made.batch is None:
            raise RefusedError("The batch that this data set was to be made of is gone.")
        folder.mkdir(parents=True, exist_ok=True)
        _write_source(made, made.batch, source)
    if version.parent is not None:
        return ReviseJob(source=str(version.parent.folder), out=str(version.folder), add=str(source))
    return ImportJob(
        source=str(source), out=str(version.folder), name=version.dataset.name, filename="faces.zip",
        layout="csv",
    )  # fmt: skip


def _made_by(job: Job) -> MadeDataset:
    rows = MadeDataset.objects.select_related("batch__model", "version__dataset", "version__parent__dataset")
    return rows.get(version__import_job__job=job)


def _write_source(made: MadeDataset, batch: LabelBatch, path: Path) -> None:
    """faces.zip, and beside it provenance.jsonl: a line a face, by the name it has in the zip."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "label", "group", "split"])
    with written_whole(path) as archive, (path.parent / "provenance.jsonl").open("w") as lines:
        for name, data, row in _faces(made, batch):
            archive.writestr(zipfile.ZipInfo(name), data)
            origin = _origin(made, batch, row)
            group = row.file if row.box is not None else ""  # faces of one photo are never parted
            writer.writerow([name, origin["label"], group, made.split])
            lines.write(json.dumps({"name": name} | origin) + "\n")
        archive.writestr("labels.csv", table.getvalue())


def _faces(made: MadeDataset, batch: LabelBatch) -> Iterator[tuple[str, bytes, Prediction]]:
    """Faces with their names in the zip. No model overrules a person: neither what is in the data set, nor
    what somebody said of a copy of the same face in this batch."""
    labels = None
    if made.split:
        labels = [i for i, name in enumerate(batch.model.classes) if made.mapping.get(name)]
    known = _persons(made, batch) if made.with_confident else set()
    rows = chosen(batch, made.with_confident, made.threshold, labels)
    for row in selectors.in_pieces(batch, rows):
        if row.offset is None or row.length is None:
            continue
        data = selectors.pixels_of(batch, row)
        if row.reviewed_by is None and sha256(data).hexdigest() in known:
            continue
        yield f"batch-{batch.pk}/{exports.file_name(row, data)}", data, row


def _persons(made: MadeDataset, batch: LabelBatch) -> set[str]:
    """SHA-256 of the faces whose label is not the model's to give."""
    parent = made.version.parent
    known = set(parent.samples.values_list("sha256", flat=True)) if parent is not None else set()
    faces = selectors.in_pieces(batch, spoken_of(batch))
    return known | {sha256(selectors.pixels_of(batch, face)).hexdigest() for face in faces}


def _origin(made: MadeDataset, batch: LabelBatch, row: Prediction) -> dict[str, Any]:
    """Where a sample and its label come from."""
    classes: list[str] = batch.model.classes
    label = selectors.final_label(row)
    if label is None or row.label is None:
        raise ValueError(f"face {row.index} has no class")
    return {
        "label": made.mapping.get(classes[label], classes[label]),
        "said": classes[label],  # in the words of the batch; its label is what these are in the data set
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
    made = _made_by(job)
    version, folder = made.version, jobs.folder_of(job)
    importing.on_event(job, event)
    if (folder / "provenance.jsonl").exists():
        _write_provenance(version, folder / "provenance.jsonl")
    version.refresh_from_db()
    batch = made.batch
    version.report["made_of"] = {
        "batch": made.batch_id,
        "batch_name": "" if batch is None else batch.name,
        "model": "" if batch is None else exports.model_version(batch),
        "with_confident": made.with_confident,
        "threshold": made.threshold if made.with_confident else None,
        "split": made.split or None,
        "mapping": made.mapping or None,
        "provenance": "provenance.jsonl",
    }
    version.save(update_fields=["report"])
    (folder / "faces.zip").unlink(missing_ok=True)  # last: where anything fails, another try needs it


def _write_provenance(version: DatasetVersion, told: Path) -> None:
    """A line a sample by its own name: those of the version before, and those that came, which come last."""
    places: dict[str, str] = {}
    added = version.folder / "added.jsonl"
    if added.exists():
        with added.open() as lines:
            places = {place["name"]: place["sample"] for place in map(json.loads, lines)}
    part = version.folder / "provenance.jsonl.part"
    earlier = version.parent.folder / "provenance.jsonl" if version.parent is not None else None
    with part.open("w") as file:
        if earlier is not None and earlier.exists():
            with earlier.open() as lines:
                file.writelines(lines)
        with told.open() as lines:
            for origin in map(json.loads, lines):
                origin["name"] = places.get(origin["name"], origin["name"])
                file.write(json.dumps(origin) + "\n")
    part.replace(version.folder / "provenance.jsonl")
