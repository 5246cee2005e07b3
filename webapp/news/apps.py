from django.apps import AppConfig


class NewsConfig(AppConfig):
    name = "webapp.news"

    def ready(self) -> None:
        """Hear of every end."""
        from webapp.jobs import endings
        from webapp.news import services

        endings.listen(services.job_ended)
