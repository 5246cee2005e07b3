"""Scorings went with their data set and left their jobs, which no page could say anything about."""

from typing import Any

from django.db import migrations


def remove_jobs(apps: Any, schema_editor: Any) -> None:
    """Their folders go with the next sweep of orphans."""
    apps.get_model("jobs", "Job").objects.filter(kind="score", scoring=None).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0002_events_by_kind"),
        ("registry", "0007_which_shipped_model"),
    ]

    operations = [migrations.RunPython(remove_jobs, migrations.RunPython.noop)]
