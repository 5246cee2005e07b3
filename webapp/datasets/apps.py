from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "webapp.datasets"

    def ready(self) -> None:
        """Make imports and drawings known."""
        from webapp.datasets import importing, revising
        from webapp.jobs import kinds

        for name, prepare in (
            ("import", importing.prepare_import),
            ("preview", importing.prepare_preview),
            ("draw", importing.prepare_drawing),
            ("revise", revising.prepare),
        ):
            kinds.register(
                kinds.Kind(
                    name=name,
                    queue="cpu",
                    subject=importing.subject,
                    url=importing.url,
                    prepare=prepare,
                    on_event=importing.on_event,
                )
            )
