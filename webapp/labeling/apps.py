from django.apps import AppConfig


class LabelingConfig(AppConfig):
    name = "webapp.labeling"

    def ready(self) -> None:
        """Make labelling jobs known."""
        from django.db.models.signals import post_delete
        from django.urls import reverse

        from webapp.datasets import importing
        from webapp.jobs import kinds
        from webapp.labeling import making, making_job, retraining, second_opinion, services

        kinds.register(
            kinds.Kind(
                name="predict",
                queue="cpu",
                subject=lambda job: job.label_batch,
                url=lambda job: reverse("labeling:batch", args=[job.label_batch.pk]),
                prepare=services.prepare,
                on_event=services.on_event,
            )
        )
        kinds.register(
            kinds.Kind(
                name=making.KIND,
                queue="cpu",
                subject=importing.subject,
                url=importing.url,
                prepare=making_job.prepare,
                on_event=making_job.on_event,
            )
        )
        kinds.register(
            kinds.Kind(
                name=retraining.KIND,
                queue="cpu",
                subject=lambda job: job.before_after.run,
                url=lambda job: reverse("labeling:before_after", args=[job.before_after.run_id]),
                prepare=retraining.prepare,
                on_event=retraining.on_event,
            )
        )
        kinds.register(
            kinds.Kind(
                name=second_opinion.KIND,
                queue="cpu",
                subject=lambda job: job.second_opinion.batch,
                url=lambda job: reverse("labeling:second", args=[job.second_opinion.batch_id]),
                prepare=second_opinion.prepare,
                on_event=second_opinion.on_event,
            )
        )
        kinds.listen("train", retraining.on_training_event)
        post_delete.connect(retraining.forget, sender="labeling.BeforeAfter")
