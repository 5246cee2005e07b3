from django.apps import AppConfig


class ExperimentsConfig(AppConfig):
    name = "webapp.experiments"

    def ready(self) -> None:
        """Make trainings known."""
        from django.urls import reverse

        from webapp.experiments import estimating, steering, training
        from webapp.jobs import kinds

        kinds.register(
            kinds.Kind(
                name="train",
                queue="gpu",
                subject=lambda job: job.run,
                url=lambda job: reverse("experiments:run", args=[job.run.pk]),
                prepare=training.prepare,
                on_event=training.on_event,
                orders=steering.orders_of,
                on_end=steering.ended,
                label=training.label,
            )
        )
        kinds.register(
            kinds.Kind(
                name=estimating.KIND,
                queue="gpu",
                subject=lambda job: job.estimate,
                url=lambda job: reverse("experiments:new_run"),
                prepare=estimating.prepare,
                on_event=lambda job, event: None,  # the result stays with the job
            )
        )
