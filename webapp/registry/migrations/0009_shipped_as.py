"""Two models ship with the program: of which kind a lab's is tells whether there is a newer one."""

from typing import Any

from django.db import migrations, models


def name_kind(apps: Any, schema_editor: Any) -> None:
    """Until now there was one."""
    apps.get_model("registry", "Model").objects.exclude(shipped="").update(shipped_as="starter")


class Migration(migrations.Migration):
    dependencies = [("registry", "0008_jobs_without_their_scoring")]

    operations = [
        migrations.AddField(
            model_name="model",
            name="shipped_as",
            field=models.CharField(blank=True, default="", max_length=20),
        ),
        migrations.RunPython(name_kind, migrations.RunPython.noop),
    ]
