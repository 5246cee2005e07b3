"""What people have said of faces before several could be asked: each person's latest is an answer."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def repeat(apps: Any, _: Any) -> None:
    correction, answer = apps.get_model("labeling", "Correction"), apps.get_model("labeling", "Answer")
    prediction = apps.get_model("labeling", "Prediction")
    faces = list(correction.objects.order_by().values_list("prediction_id", flat=True).distinct())
    for start in range(0, len(faces), 500):
        latest: dict[tuple[int, int], dict[int, Any]] = {}
        for row in correction.objects.filter(prediction_id__in=faces[start : start + 500]).order_by("pk"):
            said = latest.setdefault((row.prediction_id, row.by_id), {})
            if row.undoes_id is None:
                said[row.pk] = row
            else:
                said.pop(row.undoes_id, None)  # one takes back only what one said oneself
        rows = [list(said.values())[-1] for said in latest.values() if said]
        answer.objects.bulk_create(
            [
                answer(
                    prediction_id=row.prediction_id, by_id=row.by_id, verdict=row.verdict, label=row.label,
                    said_at=row.said_at,
                )
                for row in rows
            ],
            batch_size=200,
        )  # fmt: skip
        counts: dict[int, int] = {}
        for row in rows:
            if row.verdict != "skipped":
                counts[row.prediction_id] = counts.get(row.prediction_id, 0) + 1
        changed = [prediction(pk=pk, answers=count) for pk, count in counts.items()]
        prediction.objects.bulk_update(changed, ["answers"], batch_size=200)


class Migration(migrations.Migration):
    dependencies = [("labeling", "0006_several_labels_a_face")]

    operations = [migrations.RunPython(repeat, migrations.RunPython.noop)]
