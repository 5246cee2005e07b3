"""Faces that were labelled before reviews existed get a place each in the random order."""

from __future__ import annotations

import random
from typing import Any

from django.db import migrations


def draw(apps: Any, _: Any) -> None:
    prediction = apps.get_model("labeling", "Prediction")
    source = random.SystemRandom()
    pks = list(prediction.objects.order_by().values_list("pk", flat=True))
    for start in range(0, len(pks), 1000):
        rows = [prediction(pk=pk, draw=source.getrandbits(31)) for pk in pks[start : start + 1000]]
        prediction.objects.bulk_update(rows, ["draw"], batch_size=200)


class Migration(migrations.Migration):
    dependencies = [("labeling", "0002_review")]

    operations = [migrations.RunPython(draw, migrations.RunPython.noop)]
