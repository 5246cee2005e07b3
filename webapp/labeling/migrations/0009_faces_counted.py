"""What is counted with every answer of a review is read from an index, not from rows with their pixels' places."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("labeling", "0008_second_opinions")]

    operations = [
        migrations.AddIndex(
            model_name="prediction",
            index=models.Index(
                fields=["batch", "verdict", "label", "corrected", "answers"], name="faces_counted"
            ),
        ),
    ]
