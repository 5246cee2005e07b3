"""The jobs of labelling: what each is about, where it is shown, how it begins and what its events mean."""

from __future__ import annotations

from django.urls import reverse

from webapp.datasets import importing
from webapp.jobs.kinds import Kind
from webapp.labeling import making, making_job, retraining, second_opinion, services

KINDS = (
    Kind(
        name="predict",
        queue="cpu",
        subject=lambda job: job.label_batch,
        url=lambda job: reverse("labeling:batch", args=[job.label_batch.pk]),
        prepare=services.prepare,
        on_event=services.on_event,
    ),
    Kind(
        name=making.KIND,
        queue="cpu",
        subject=importing.subject,
        url=importing.url,
        prepare=making_job.prepare,
        on_event=making_job.on_event,
    ),
    Kind(
        name=retraining.KIND,
        queue="cpu",
        subject=lambda job: job.before_after.run,
        url=lambda job: reverse("labeling:before_after", args=[job.before_after.run_id]),
        prepare=retraining.prepare,
        on_event=retraining.on_event,
    ),
    Kind(
        name=second_opinion.KIND,
        queue="cpu",
        subject=lambda job: job.second_opinion.batch,
        url=lambda job: reverse("labeling:second", args=[job.second_opinion.batch_id]),
        prepare=second_opinion.prepare,
        on_event=second_opinion.on_event,
    ),
)
