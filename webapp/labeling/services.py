"""Everything that changes label batches."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Q

from mmfrm.events import Event, Finished, Predicted
from mmfrm.jobs import PredictJob
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling.models import Answer, Correction, LabelBatch, Opinion, Prediction
from webapp.registry.models import Model
from webapp.rows import delete_at_once
from webapp.uploads import services as uploads
from webapp.uploads.models import Upload


@transaction.atomic
def start_batch(
    user: User,
    *,
    name: str,
    model: Model,
    upload: Upload,
    flip_average: bool,
    private: bool,
    faces: str = "aligned",
    min_face: int = 40,
    keep_photos: bool = True,
    temperature: float | None = None,
) -> LabelBatch:
    """Queue the labelling of an upload. The same upload is labelled once, however often the form is sent.

    temperature: None takes the model's own.
    """
    upload = Upload.objects.select_for_update().get(pk=upload.pk)
    earlier = LabelBatch.objects.filter(upload=upload).first()
    if earlier is not None:
        return earlier
    uploads.claim(user, upload.pk)
    job = jobs.create(kind="predict", queue=Job.Queue.CPU, owner=user, title=f"Label {name}")
    return LabelBatch.objects.create(
        owner=user,
        private=private,
        name=name,
        model=model,
        job=job,
        upload=upload,
        options={
            "flip_average": flip_average,
            "faces": faces,
            "min_face": min_face,
            "keep_photos": keep_photos,
            "temperature": temperature or 0.0,
        },
    )


def prepare(job: Job) -> PredictJob:
    """The batch as its child reads it. The model is copied by path: it cannot be deleted while used."""
    batch = job.label_batch
    return PredictJob(
        model=str(batch.model.folder),
        source=_source(batch),
        filename=batch.upload.filename if batch.upload else "",
        flip_average=bool(batch.options.get("flip_average")),
        faces=batch.options.get("faces", "aligned"),
        min_face=int(batch.options.get("min_face", 40)),
        temperature=float(batch.options.get("temperature") or 0.0),
        save_faces=True,
        save_photos=bool(batch.options.get("keep_photos")),
    )


def _source(batch: LabelBatch) -> str:
    if batch.upload is None:
        raise ValueError(f"The photos of {batch.name} are no longer here; upload them again.")
    return str(batch.upload.path)


def on_event(job: Job, event: Event) -> None:
    """Keep predictions as they come; a resumed job tells old ones again, which changes nothing."""
    match event:
        case Predicted():
            batch_id = LabelBatch.objects.values_list("pk", flat=True).get(job=job)
            rows = [_prediction(batch_id, row) for row in event.rows]
            Prediction.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
        case Finished():
            batch = LabelBatch.objects.select_related("upload").get(job=job)
            if batch.upload is not None:  # the crops in faces.pack are all that is needed from now on
                uploads.discard(batch.upload)
        case _:
            pass


def _prediction(batch_id: int, row: dict[str, Any]) -> Prediction:
    probabilities = row.get("probabilities")
    label = max(range(len(probabilities)), key=probabilities.__getitem__) if probabilities else None
    return Prediction(
        batch_id=batch_id,
        index=row["index"],
        picture=row.get("picture"),
        file=row["file"][:500],
        box=row.get("box"),
        face=row.get("face"),
        faces=row.get("faces"),
        detection=row.get("detection"),
        photo=row.get("photo"),
        probabilities=probabilities,
        label=label,
        confidence=None if label is None or probabilities is None else probabilities[label],
        error=(row.get("error") or "")[:500],
        offset=row.get("offset"),
        length=row.get("length"),
    )


@transaction.atomic
def edit(batch: LabelBatch, *, name: str, private: bool) -> None:
    """Rename a batch, or hide it from the lab."""
    batch.name, batch.private = name, private
    batch.save(update_fields=["name", "private"])


@transaction.atomic
def delete(batch: LabelBatch) -> None:
    """Delete a batch: its rows, its photos, its crops. Raises RefusedError while a worker is at it."""
    own = Q(pk=batch.job_id) | Q(second_opinion__batch=batch)
    rows = list(Job.objects.select_for_update(of=("self",)).filter(own))
    if any(job.is_active for job in rows):
        raise RefusedError("It is being labelled now. Stop it first.")
    folders, upload = [jobs.folder_of(job) for job in rows], batch.upload
    _delete_faces(batch)
    for job in rows:
        job.delete()  # the batch and its second opinions go with them
    if upload is not None:
        uploads.discard(upload)
    for folder in folders:
        transaction.on_commit(partial(shutil.rmtree, folder, ignore_errors=True))


def _delete_faces(batch: LabelBatch) -> None:
    """Delete a batch's faces and all that was said of them, each table in one statement."""
    for model in (Opinion, Answer, Correction):
        delete_at_once(model._default_manager.filter(prediction__batch=batch))
    delete_at_once(batch.predictions.all())
