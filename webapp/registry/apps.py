from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "webapp.registry"

    def ready(self) -> None:
        """Make exports known."""
        from django.urls import reverse

        from webapp.jobs import kinds
        from webapp.registry import exporting

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
