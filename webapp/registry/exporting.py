"""Models on their way to other programs: what an export's job reads, and what is kept of it."""

from __future__ import annotations

import json

from django.db import transaction

from mmfrm.events import Event, Finished
from mmfrm.jobs import ExportJob
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.registry.models import Model, ModelExport

FILES = ("model.onnx", "model.safetensors", "model.json", "report.json")
ENDED = (Job.State.FINISHED, Job.State.FAILED, Job.State.STOPPED)


@transaction.atomic
def start(user: User, model: Model, version: DatasetVersion | None) -> ModelExport:
    """Queue the export of a model. While one is waiting or working, that one is given back."""
    model = Model.objects.select_for_update().get(pk=model.pk)
    going_on = model.exports.exclude(job__state__in=ENDED).first()
    if going_on is not None:
        return going_on
    job = jobs.create(kind="export", queue=Job.Queue.CPU, owner=user, title=f"Export {model.name}")
    return ModelExport.objects.create(
        model=model,
        job=job,
        version=version,
        data_name=str(version) if version else "",
    )


def prepare(job: Job) -> ExportJob:
    """The export as its child reads it. Raises ValueError where its faces were deleted meanwhile."""
    export = ModelExport.objects.select_related("model", "version__dataset").get(job=job)
    if export.data_name and export.version is None:
        raise ValueError(f"{export.data_name} was deleted. Start another export.")
    data = str(export.version.folder) if export.version else ""
    return ExportJob(model=str(export.model.folder), data=data)


def on_event(job: Job, event: Event) -> None:
    """Keep the report in the row: it is what the model's page tells."""
    if isinstance(event, Finished):
        export = ModelExport.objects.get(job=job)
        export.report = json.loads((export.folder / "report.json").read_text())
        export.save(update_fields=["report"])


def latest(model: Model) -> ModelExport | None:
    """The export that the model's page tells of: what goes on, or how the last one ended."""
    return model.exports.select_related("job").first()


def latest_finished(model: Model) -> ModelExport | None:
    """The newest export that has files."""
    return model.exports.filter(job__state=Job.State.FINISHED).first()
