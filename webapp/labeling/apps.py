from django.apps import AppConfig


class LabelingConfig(AppConfig):
    name = "webapp.labeling"

    def ready(self) -> None:
        """Make labelling jobs known."""
        from django.db.models.signals import post_delete

        from webapp.jobs import kinds
        from webapp.labeling import retraining
        from webapp.labeling.job_kinds import KINDS

        for kind in KINDS:
            kinds.register(kind)
        kinds.listen("train", retraining.on_training_event)
        post_delete.connect(retraining.forget, sender="labeling.BeforeAfter")
