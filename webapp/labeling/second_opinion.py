"""A second model labels the stored faces of a batch, to know on which of them the two differ."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from mmfrm.events import Event, Finished, Predicted
from mmfrm.jobs import PredictJob
from webapp import packs
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling import selectors
from webapp.labeling.disagreement import by_meaning, divergence
from webapp.labeling.models import LabelBatch, Opinion, Prediction, SecondOpinion
from webapp.registry.models import Model
from webapp.registry.services import name_for_all
from webapp.zips import written_whole

KIND = "second_opinion"


@transaction.atomic
def ask(user: User, batch: LabelBatch, model: Model) -> SecondOpinion:
    """Queue a second labelling of a batch's faces. A model is asked once. Raises RefusedError otherwise."""
    LabelBatch.objects.select_for_update().get(pk=batch.pk)
    earlier = batch.second_opinions.filter(model=model).first()
    if earlier is not None:
        return earlier
    if model.pk == batch.model_id:
        raise RefusedError(f"{model} has labelled these faces: choose another model.")
    why = obstacle(batch)
    if why:
        raise RefusedError(why)
    name = name_for_all(model)  # whoever sees the batch reads it
    job = jobs.create(kind=KIND, queue=Job.Queue.CPU, owner=user, title=f"Label {batch} by {name}")
    return SecondOpinion.objects.create(
        batch=batch, model=model, job=job, model_name=name, classes=model.classes
    )


def obstacle(batch: LabelBatch) -> str:
    """Why no second model can be asked now, for people; "" where one can."""
    if not batch.job.is_over:
        return "Its faces are not all there yet. Ask again when the labelling has ended."
    if not batch.predictions.filter(offset__isnull=False).exists():
        return "This batch has no face that a second model could label; its page says why."
    return ""


def asked(batch: LabelBatch) -> QuerySet[SecondOpinion]:
    """The second models of a batch, and whether each `has_opinions` by which faces can be ordered."""
    return batch.second_opinions.select_related("job").annotate(has_opinions=_has_opinions())


def heard(batch: LabelBatch) -> QuerySet[SecondOpinion]:
    """Those that have said something, by which faces can be ordered."""
    return batch.second_opinions.filter(_has_opinions())


def _has_opinions() -> Exists:
    return Exists(Opinion.objects.filter(second=OuterRef("pk")))


def says(second: SecondOpinion, faces: Iterable[Prediction]) -> dict[int, str]:
    """The class that the other model gives each face, in its own words; by the face's key."""
    rows = second.opinions.filter(prediction__in=[face.pk for face in faces])
    return {face: likeliest(second, p) for face, p in rows.values_list("prediction", "probabilities")}


def likeliest(second: SecondOpinion, probabilities: Sequence[float]) -> str:
    """The class that the other model would give, in its own words."""
    name: str = second.classes[max(range(len(probabilities)), key=probabilities.__getitem__)]
    return name


def prepare(job: Job) -> PredictJob:
    """The faces as a zip, written once: a job that goes on must find what it began with."""
    second = SecondOpinion.objects.select_related("batch", "model").get(job=job)
    if second.model is None:
        raise RefusedError(f"The model {second.model_name} was deleted.")
    folder = jobs.folder_of(job)
    source = folder / "faces.zip"
    if not source.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(second.batch, source)
    return PredictJob(
        model=str(second.model.folder),
        source=str(source),
        flip_average=bool(second.batch.options.get("flip_average")),
    )


def _write(batch: LabelBatch, path: Path) -> None:
    with written_whole(path) as archive:
        for row in selectors.in_pieces(batch, batch.predictions.filter(offset__isnull=False)):
            data = selectors.pixels_of(batch, row)
            archive.writestr(zipfile.ZipInfo(f"{row.index:09}{packs.ending(data)}"), data)


def on_event(job: Job, event: Event) -> None:
    """Keep what it says of each face; told again, nothing changes."""
    match event:
        case Predicted():
            _keep(SecondOpinion.objects.select_related("batch__model").get(job=job), event)
        case Finished():
            (jobs.folder_of(job) / "faces.zip").unlink(missing_ok=True)
        case _:
            pass


def _keep(second: SecondOpinion, event: Predicted) -> None:
    said = {
        int(PurePosixPath(row["file"]).stem): row["probabilities"]
        for row in event.rows
        if row.get("probabilities")
    }
    faces = second.batch.predictions.filter(index__in=list(said), probabilities__isnull=False)
    rows = [_opinion(second, face, said[face.index]) for face in faces]
    Opinion.objects.bulk_create(rows, ignore_conflicts=True, batch_size=200)


def _opinion(second: SecondOpinion, face: Prediction, probabilities: list[float]) -> Opinion:
    first = by_meaning(face.probabilities or [], second.batch.model.classes)
    return Opinion(
        second=second,
        prediction=face,
        probabilities=probabilities,
        disagreement=divergence(first, by_meaning(probabilities, second.classes)),
    )
