"""The jobs that fill a version: reading an upload, or drawing faces."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.urls import reverse

from mmfrm.events import Event, Finished
from mmfrm.jobs import DrawJob, ImportJob, PreviewJob
from mmfrm.jobs import Job as JobFile
from mmfrm.presets import presets
from webapp.datasets import loading, report, server_paths, services
from webapp.datasets.models import Dataset, DatasetImport
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.uploads import services as uploads

if TYPE_CHECKING:
    from webapp.experiments.models import Run

log = logging.getLogger(__name__)


def subject(job: Job) -> Dataset:
    """Whose permissions the job has."""
    return job.dataset_import.version.dataset


def url(job: Job) -> str:
    """The page that shows it."""
    version = job.dataset_import.version
    if version.number > 1:
        return reverse("datasets:version", args=[version.dataset_id, version.number])
    return reverse("datasets:dataset", args=[version.dataset_id])


def prepare_import(job: Job) -> JobFile:
    """Read the source into the version's folder. Raises RefusedError where it is gone, or not allowed now."""
    row = _import_of(job)
    return ImportJob(out=str(row.version.folder), name=row.version.dataset.name, **_reading(row))


def prepare_preview(job: Job) -> JobFile:
    """Look into the source. Raises RefusedError as `prepare_import` does."""
    return PreviewJob(**_reading(_import_of(job)))


def _reading(row: DatasetImport) -> dict[str, Any]:
    """What the source is and how it is read, in the words of mmfrm's SourceJob."""
    if path := row.options.get("path"):
        source, filename = server_paths.allowed(path), ""
    elif row.upload is not None:
        source, filename = row.upload.path, row.upload.filename
    else:
        raise RefusedError("The uploaded file is no longer here. Upload it again.")
    given = ("layout", "faces", "min_face", "several", *services.CHOICES)
    chosen = {k: row.options[k] for k in given if k in row.options}
    return {"source": str(source), "filename": filename, **chosen}


def prepare_drawing(job: Job) -> JobFile:
    """Draw faces into the version's folder."""
    row = _import_of(job)
    return DrawJob(out=str(row.version.folder), count=row.options["count"], seed=row.options["seed"])


def on_event(job: Job, event: Event) -> None:
    """When the folder is whole, make it a version: rows, counts, ready. A second time changes nothing."""
    if not isinstance(event, Finished) or job.kind == "preview":
        return
    row = _import_of(job)
    if row.version.ready_at is not None:
        return
    loading.load(row.version)
    if row.version.parent_id is None and (words := report.chosen(row.version)):
        row.version.note = f"{row.version.note}: {'; '.join(words)}"[:300]
        row.version.save(update_fields=["note"])
    if row.upload is not None:  # the packs hold every pixel that was taken from it
        uploads.discard(row.upload)
    if row.options.get("then_quick_look"):
        _start_quick_look(row)


def _start_quick_look(row: DatasetImport) -> None:
    """Begin a first training; the data set is worth keeping even where that fails."""
    from webapp.experiments.services import start_run  # experiments know data sets, not the other way round

    try:
        with transaction.atomic():
            run: Run = start_run(
                row.version.made_by,
                version=row.version,
                preset="quick-look",
                config=presets()["quick-look"],
                name="Quick look at drawn faces",
                private=row.version.dataset.private,
            )
    except RefusedError as error:
        log.warning("no quick look at %s: %s", row.version, error)
        jobs.note(row.job, "notice", {"level": "warning", "text": f"No training was started: {error}"})
        return
    row.options["run"] = run.pk
    row.save(update_fields=["options"])


def _import_of(job: Job) -> DatasetImport:
    rows = DatasetImport.objects.select_related("job", "upload", "version__dataset", "version__made_by")
    return rows.get(job=job)
