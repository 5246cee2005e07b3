from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "webapp.registry"

    def ready(self) -> None:
        """Make exports and scorings known."""
        from django.db.models.signals import post_delete
        from django.urls import reverse

        from webapp.jobs import kinds
        from webapp.registry import exporting, scoring

        kinds.register(
            kinds.Kind(
                name="export",
                queue="cpu",
                subject=lambda job: job.export.model,
                url=lambda job: reverse("registry:model", args=[job.export.model_id]),
                prepare=exporting.prepare,
                on_event=exporting.on_event,
            )
        )
        kinds.register(
            kinds.Kind(
                name=scoring.KIND,
                queue="cpu",
                subject=scoring.subject,
                url=scoring.url,
                prepare=scoring.prepare,
                on_event=scoring.on_event,
            )
        )
        post_delete.connect(scoring.forget, sender="registry.Scoring")
