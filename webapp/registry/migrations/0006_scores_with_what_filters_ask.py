from django.db import migrations, models
from django.db.models import OuterRef, Subquery

AS_FILTERED = ("index", "split", "label", "agreement", "flagged", "name")


def as_their_samples_have_it(apps, schema_editor):
    """One scoring at a time: each is one UPDATE of a data set's size."""
    Sample = apps.get_model("datasets", "Sample")
    Score = apps.get_model("registry", "Score")
    sample = Sample.objects.filter(pk=OuterRef("sample_id"))
    for pk in apps.get_model("registry", "Scoring").objects.values_list("pk", flat=True):
        values = {column: Subquery(sample.values(column)) for column in AS_FILTERED}
        Score.objects.filter(scoring=pk).update(**values)


class Migration(migrations.Migration):

    dependencies = [
        ("datasets", "0007_how_far_people_agree"),
        ("registry", "0005_doubtful_labels"),
    ]

    operations = [
        migrations.RemoveIndex("score", "scores_by_loss"),
        migrations.RemoveIndex("score", "scores_by_confidence"),
        migrations.RemoveIndex("score", "scores_by_disagreement"),
        migrations.RemoveIndex("score", "scores_by_doubt"),
        migrations.AddField("score", "index", models.PositiveIntegerField(default=0), preserve_default=False),
        migrations.AddField("score", "split", models.CharField(blank=True, max_length=8, default=""), preserve_default=False),
        migrations.AddField("score", "label", models.PositiveSmallIntegerField(blank=True, null=True)),
        migrations.AddField("score", "agreement", models.FloatField(blank=True, null=True)),
        migrations.AddField("score", "flagged", models.CharField(blank=True, max_length=200, default=""), preserve_default=False),
        migrations.AddField("score", "name", models.CharField(max_length=500, default=""), preserve_default=False),
        migrations.RunPython(as_their_samples_have_it, migrations.RunPython.noop),
        migrations.AddIndex("score", models.Index(fields=["scoring", "loss", *AS_FILTERED], name="faces_by_loss")),
        migrations.AddIndex(
            "score", models.Index(fields=["scoring", "confidence", *AS_FILTERED], name="faces_by_confidence")
        ),
        migrations.AddIndex(
            "score", models.Index(fields=["scoring", "disagreement", *AS_FILTERED], name="faces_by_disagreement")
        ),
        migrations.AddIndex(
            "score",
            models.Index(
                fields=["scoring", "doubt", *AS_FILTERED],
                name="faces_by_doubt",
                condition=models.Q(doubt__isnull=False),
            ),
        ),
    ]
