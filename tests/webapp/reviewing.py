"""A batch to review, and what the review page asks and says."""

from __future__ import annotations

import uuid
from typing import Any

from django.test import Client
from django.urls import reverse

from webapp.accounts.models import User
from webapp.jobs import services as jobs
from webapp.labeling.models import LabelBatch, Prediction
from webapp.registry.models import Model

CLASSES = ["neutral", "happiness", "sadness"]


def make_batch(editor: User) -> LabelBatch:
    """Thirty faces, the last of them the least sure; and a file that could not be read."""
    model = Model.objects.create(owner=editor, name="Starter", classes=CLASSES)
    job = jobs.create(kind="predict", queue="cpu", owner=editor, title="Label")
    batch = LabelBatch.objects.create(owner=editor, name="Holiday", model=model, job=job)
    for i in range(30):
        sure = 0.9 - i / 100
        Prediction.objects.create(
            batch=batch, index=i, file=f"{29 - i:02}.png", probabilities=[sure, 1 - sure, 0.0], label=0,
            confidence=sure, offset=0, length=1,
        )  # fmt: skip
    Prediction.objects.create(batch=batch, index=30, file="notes.txt", error="not an image")
    return batch


def say(client: Client, batch: LabelBatch, *rows: dict[str, Any]) -> dict[str, Any]:
    url = reverse("labeling:say", args=[batch.pk])
    answer = client.post(url, {"rows": list(rows)}, content_type="application/json")
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def ask(client: Client, batch: LabelBatch, page: str, count: int = 10, **more: Any) -> dict[str, Any]:
    url = reverse("labeling:next_faces", args=[batch.pk])
    answer = client.post(url, {"page": page, "count": count} | more, content_type="application/json")
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def indexes(told: dict[str, Any]) -> list[int]:
    return [face["index"] for face in told["faces"]]


def row(index: int, label: int | None = 1, verdict: str = "label") -> dict[str, Any]:
    return {"key": str(uuid.uuid4()), "index": index, "verdict": verdict, "label": label}
