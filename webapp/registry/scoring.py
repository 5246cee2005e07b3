"""A model asked about every face of a data set: starting that, and keeping what it says."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.urls import reverse

from mmfrm.classes import mapping_indices
from mmfrm.events import Event, Finished, Predicted
from mmfrm.jobs import PredictJob
from webapp.accounts.models import User
from webapp.datasets.models import Dataset, DatasetVersion, Sample
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.registry import doubt, weights
from webapp.registry.models import AS_FILTERED, Score, Scoring
from webapp.registry.services import name_for_all

KIND = "score"
LEAST = 1e-6  # probabilities are told with six digits: a loss is never more than that allows


def choices(user: User, version: DatasetVersion) -> weights.Groups:
    """Models that may be asked, and finished runs on this version."""
    asked = version.scorings.exclude(job__state__in=Job.RESTING).values("model")
    return weights.choices(
        weights.models(user).exclude(pk__in=asked), weights.runs(user).filter(version=version)
    )


def start(user: User, version: DatasetVersion, choice: str) -> Scoring:
    """Queue it. A model is asked once of a version, however often; what failed is tried again.

    Raises RefusedError where the model cannot be asked.
    """
    if version.ready_at is None:
        raise RefusedError("This version is still being made.")
    if choice not in {value for _, rows in choices(user, version) for value, _ in rows}:
        raise RefusedError("Choose a model.")
    model = weights.model_of(user, choice)
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=version.dataset_id)
        earlier = Scoring.objects.filter(version=version, model=model).select_related("job").first()
        if earlier is not None:
            jobs.resume(earlier.job, user)
            return earlier
        title = f"Score {version} with {name_for_all(model)}"
        job = jobs.create(kind=KIND, queue=Job.Queue.CPU, owner=user, title=title)
        return Scoring.objects.create(version=version, model=model, job=job)


def subject(job: Job) -> Dataset:
    """Whose permissions the job has."""
    return job.scoring.version.dataset


def url(job: Job) -> str:
    """Where its faces are shown."""
    version = job.scoring.version
    return reverse("datasets:faces", args=[version.dataset_id, version.number])


def prepare(job: Job) -> PredictJob:
    """Label the faces of the version as any photos that are aligned."""
    scoring = Scoring.objects.select_related("version__dataset", "model").get(job=job)
    return PredictJob(source=str(scoring.version.folder), model=str(scoring.model.folder))


def on_event(job: Job, event: Event) -> None:
    """Keep answers as they come, and judge the labels at the end.

    A resumed job tells old ones again, which changes nothing.
    """
    if not isinstance(event, Predicted | Finished):
        return
    scoring = Scoring.objects.select_related("version", "model__run__version").get(job=job)
    if isinstance(event, Finished):
        doubt.judge(scoring)
    else:
        _keep(scoring, event)


def forget(instance: Scoring, **_: Any) -> None:
    """Its job and that job's folder go when it goes, also when its data set or version is deleted."""
    job = Job.objects.filter(pk=instance.job_id).first()
    if job is None:
        return
    transaction.on_commit(partial(shutil.rmtree, jobs.folder_of(job), ignore_errors=True))
    job.delete()


def _keep(scoring: Scoring, event: Predicted) -> None:
    answered = {row["picture"]: row["probabilities"] for row in event.rows if row.get("probabilities")}
    rows = Sample.objects.filter(version=scoring.version, index__in=list(answered))
    theirs = mapping_indices(scoring.version.classes, scoring.model.classes)
    scores = [
        _score(scoring.pk, row.pop("pk"), answered[row["index"]], theirs, row)
        for row in rows.values("pk", *AS_FILTERED)
    ]
    Score.objects.bulk_create(scores, ignore_conflicts=True, batch_size=500)


def _score(
    scoring_id: int,
    sample_id: int,
    probabilities: Sequence[float],
    theirs: Sequence[int | None],
    as_filtered: Mapping[str, Any],
) -> Score:
    """theirs: the model's index of each class of the version; as_filtered: columns of the sample."""
    answer = max(range(len(probabilities)), key=probabilities.__getitem__)
    label = None if as_filtered["label"] is None else theirs[as_filtered["label"]]
    figures: dict[str, Any] = {}
    if label is not None:
        figures["loss"] = -math.log(max(probabilities[label], LEAST))
        figures["disagreement"] = probabilities[answer] - probabilities[label]
    return Score(
        scoring_id=scoring_id,
        sample_id=sample_id,
        answer=answer,
        probabilities=list(probabilities),
        confidence=probabilities[answer],
        **figures,
        **as_filtered,
    )
