"""A program that is updated may ship another starter model: which one a lab has is kept, not only that it has one."""

from typing import Any

from django.conf import settings
from django.db import migrations, models


def name_earlier(apps: Any, schema_editor: Any) -> None:
    """What was true or false is now the weights' hash or nothing; of an earlier one the hash is not asked for."""
    rows = apps.get_model("registry", "Model").objects
    rows.filter(shipped__in=["0", "f", "false", "False"]).update(shipped="")
    rows.exclude(shipped="").update(shipped="earlier")


class Migration(migrations.Migration):
    dependencies = [
        ("experiments", "0005_estimate"),
        ("registry", "0006_scores_with_what_filters_ask"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="model", name="one_shipped_model"),
        migrations.AlterField(
            model_name="model", name="shipped", field=models.CharField(blank=True, default="", max_length=64)
        ),
        migrations.RunPython(name_earlier, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="model",
            constraint=models.UniqueConstraint(
                condition=~models.Q(shipped=""), fields=("shipped",), name="one_of_each_shipped_model"
            ),
        ),
    ]
