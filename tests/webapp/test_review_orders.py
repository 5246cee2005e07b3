"""What is reviewed first: where two models differ, and labels that are likely wrong."""

from __future__ import annotations

import hashlib
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import reverse

from mmfrm.events import Finished, Predicted
from mmfrm.jobs import PredictJob
from tests.synthetic_runs import queued_run, ready_version
from tests.webapp.reviewing import CLASSES, ask, indexes, make_batch, row, say
from webapp.accounts.models import User
from webapp.jobs.models import Job
from webapp.labeling import second_opinion, services
from webapp.labeling.disagreement import by_meaning, divergence
from webapp.labeling.doubt import learnt_from
from webapp.labeling.models import LabelBatch, SecondOpinion
from webapp.registry.doubt import suspects
from webapp.registry.models import Model

pytestmark = pytest.mark.django_db


@pytest.fixture
def batch(editor: User, settings: Any, tmp_path: Path) -> LabelBatch:
    """Thirty faces whose pixels are there: a byte each, all different."""
    cache.clear()
    settings.DATA_DIR = tmp_path
    batch = make_batch(editor)
    batch.folder.mkdir(parents=True)
    (batch.folder / "faces.pack").write_bytes(bytes(range(30)))
    for face in batch.predictions.filter(label=0):
        face.offset = face.index
        face.save()
    Job.objects.filter(pk=batch.job_id).update(state=Job.State.FINISHED)
    batch.job.refresh_from_db()
    return batch


def test_a_second_model_labels_the_stored_faces_and_orders_them_by_disagreement(
    editor: User, client_of: Any, batch: LabelBatch
) -> None:
    client, url = client_of(editor), reverse("labeling:second", args=[batch.pk])
    other = Model.objects.create(owner=editor, name="Other", classes=["Sad", "contempt", "Happy", "Neutral"])
    assert client.post(url, {"model": f"model:{batch.model_id}"}).status_code == 422, (
        "not the model that has labelled them"
    )
    client.post(url, {"model": f"model:{other.pk}"})
    client.post(url, {"model": f"model:{other.pk}"})
    second = SecondOpinion.objects.get()
    order = f"models:{second.pk}"
    assert order not in client.get(url).content.decode(), "nothing is known yet to order by"
    assert order not in client.get(reverse("labeling:review", args=[batch.pk])).content.decode()
    told = second_opinion.prepare(second.job)
    assert isinstance(told, PredictJob)
    assert told.model == str(other.folder)
    with zipfile.ZipFile(told.source) as archive:
        assert {int(name): archive.read(name) for name in archive.namelist()} == {
            i: bytes([i]) for i in range(30)
        }

    rows: list[dict[str, Any]] = [
        {
            "file": "000000004.png",
            "probabilities": [0.0, 0.0, 1.0, 0.0],
        },  # happiness, where the first says neutral
        {"file": "000000009.png", "probabilities": [0.0, 0.9, 0.0, 0.1]},  # what the first does not know
        {"file": "000000002.png", "probabilities": [0.0, 0.0, 0.12, 0.88]},  # the same
        {"file": "000000003.png", "error": "not an image", "probabilities": None},
    ]
    for _ in range(2):  # a job that goes on tells again
        second_opinion.on_event(second.job, Predicted(rows=rows))
    second_opinion.on_event(second.job, Finished(result={}))
    another = second_opinion.ask(
        editor, batch, Model.objects.create(owner=editor, name="Third", classes=CLASSES)
    )  # whose order must not mix with the first's
    second_opinion.on_event(another.job, Predicted(rows=[rows[2] | {"probabilities": [0.0, 0.0, 1.0]}]))

    found = ask(client, batch, "a", 9, order=f"models:{second.pk}")
    assert indexes(found) == [9, 4, 2]
    assert found["faces"][0]["second"] == {"says": "contempt", "shares": [0.1, 0.0, 0.0]}
    page = client.get(reverse("labeling:review", args=[batch.pk]), {"order": f"models:{second.pk}"})
    assert page.context["order"] == f"models:{second.pk}"
    assert order in client.get(url).content.decode()
    grid = client.get(reverse("labeling:batch", args=[batch.pk]), {"order": order})
    assert [(item.row.index, item.second) for item in grid.context["shown"]] == [
        (9, "contempt"), (4, "Happy"), (2, "Neutral")
    ]  # fmt: skip
    assert "Most unlike Other first" in grid.content.decode()
    unreadable = client.get(reverse("labeling:batch", args=[batch.pk]), {"order": order, "label": "error"})
    assert [item.row.index for item in unreadable.context["shown"]] == [30]
    for wrong in ("models:", "models:999", "models:x", "nothing", 3):
        answer = client.post(
            reverse("labeling:next_faces", args=[batch.pk]),
            {"page": "a", "order": wrong, "count": 1},
            content_type="application/json",
        )
        assert answer.status_code == 400
    Job.objects.update(state=Job.State.FINISHED)
    services.delete(batch)
    assert not Job.objects.exists(), "what was done for a batch goes with it"


def test_a_checkpoint_of_a_run_can_be_asked_and_one_that_failed_says_why_and_can_go_on(
    editor: User, client_of: Any, batch: LabelBatch
) -> None:
    client, url = client_of(editor), reverse("labeling:second", args=[batch.pk])
    run = queued_run(editor, ready_version(editor), name="later")
    Job.objects.filter(pk=run.job_id).update(state=Job.State.FINISHED)
    assert f'value="run:{run.pk}"' in client.get(url).content.decode()
    other = Model.objects.create(owner=editor, name="Other", classes=CLASSES)
    client.post(url, {"model": f"model:{other.pk}"})
    job = SecondOpinion.objects.get().job
    Job.objects.filter(pk=job.pk).update(state=Job.State.FAILED, reason="The disk is full.")
    page = client.get(url).content.decode()
    assert "The disk is full." in page
    assert reverse("jobs:resume", args=[job.pk]) in page


def test_a_private_second_model_orders_faces_for_all_and_is_not_named(
    editor: User, administrator: User, client_of: Any, batch: LabelBatch
) -> None:
    model = Model.objects.create(owner=administrator, name="Not told yet", classes=CLASSES, private=True)
    second = second_opinion.ask(administrator, batch, model)
    told = {"file": "000000004.png", "probabilities": [0.0, 0.0, 1.0]}
    second_opinion.on_event(second.job, Predicted(rows=[told]))
    name, client, order = f"private model {model.pk}", client_of(editor), {"order": f"models:{second.pk}"}
    for address in ("second", "review", "batch"):
        page = client.get(reverse(f"labeling:{address}", args=[batch.pk]), order).content.decode()
        assert name in page
        assert "Not told yet" not in page
    queue = client.get(reverse("jobs:index")).content.decode()
    assert f"Label Holiday by {name}" in queue
    assert "Not told yet" not in queue


def test_no_second_model_is_offered_before_the_faces_are_there(
    editor: User, client_of: Any, batch: LabelBatch
) -> None:
    client, url = client_of(editor), reverse("labeling:second", args=[batch.pk])
    Model.objects.create(owner=editor, name="Other", classes=CLASSES)
    assert "Ask this model too" in client.get(url).content.decode()
    Job.objects.filter(pk=batch.job_id).update(state=Job.State.RUNNING)
    page = client.get(url).content.decode()
    assert "Ask this model too" not in page
    assert "Ask again when the labelling has ended" in page


def test_divergence_is_that_of_the_definition() -> None:
    same = {"neutral": 0.5, "happiness": 0.5}
    assert divergence(same, same) == 0
    assert divergence({"neutral": 1.0}, {"happiness": 1.0}) == 1
    # half the entropy that mixing adds: H(¾, ¼) − (H(1) + H(½, ½))/2
    assert divergence({"neutral": 1.0}, same) == pytest.approx(0.8112781 - 0.5, abs=1e-6)
    assert by_meaning([0.2, 0.8], ["Happy", "odd"]) == {"happiness": 0.2, "odd": 0.8}


def test_confident_learning_finds_the_labels_that_were_flipped() -> None:
    drawn = random.Random(5)
    probabilities, labels, flipped = [], [], set()
    for i in range(600):
        truth = drawn.choices((0, 1, 2), (6, 3, 1))[0]
        sure = drawn.betavariate(6, 2) * (0.7 if truth == 2 else 1.0)  # less of a rare class
        part = drawn.random()
        rest = [(1 - sure) * part, (1 - sure) * (1 - part)]
        probabilities.append([*rest[:truth], sure, *rest[truth:]])
        wrong = drawn.random() < 0.08
        labels.append((truth + 1 + drawn.randrange(2)) % 3 if wrong else truth)
        if wrong:
            flipped.add(i)
    found = suspects(probabilities, labels)
    assert len(set(found[:30]) & flipped) >= 27
    assert len(set(found) & flipped) >= 0.5 * len(flipped), "those of which another class is confident"
    assert len(found) <= len(flipped)
    assert suspects([], []) == []


def test_doubtful_labels_are_asked_once_more_but_not_where_the_model_learnt_from_the_face(
    editor: User, client_of: Any, batch: LabelBatch
) -> None:
    client = client_of(editor)
    for face in batch.predictions.filter(index__lt=12):
        face.probabilities = [0.05, 0.9, 0.05] if face.index in (3, 5, 7) else [0.8, 0.1, 0.1]
        face.save()
    say(client, batch, *(row(i, 0) for i in range(10)), row(10, 1), row(11, 1))
    for i in (20, 21, 22):  # so that happiness has a mean of its own
        say(client, batch, row(i, 1))
        batch.predictions.filter(index=i).update(probabilities=[0.2, 0.7, 0.1])
    found = ask(client, batch, "a", 9, order="doubt")
    assert set(indexes(found)[:3]) == {3, 5, 7}
    assert found["faces"][0]["answers"][0]["said"] == "neutral"
    before = indexes(found)
    say(client, batch, row(3, 0))
    assert indexes(ask(client, batch, "a", 9, order="doubt")) == [i for i in before if i != 3]

    assert not learnt_from(batch).is_known
    version = ready_version(editor)
    run = queued_run(editor, version, name="seed 0")
    digest = hashlib.sha256(bytes([5])).hexdigest()
    version.samples.create(
        index=0,
        name="a",
        split="train",
        label=0,
        pack="p",
        offset=0,
        length=1,
        width=1,
        height=1,
        sha256=digest,
    )
    Model.objects.filter(pk=batch.model_id).update(run=run)
    cache.clear()
    fresh = LabelBatch.objects.get(pk=batch.pk)
    assert learnt_from(fresh).faces == {5}
    assert learnt_from(fresh).is_known
    assert indexes(ask(client, fresh, "a", 9, order="doubt")) == [i for i in before if i not in (3, 5)]
    page = client.get(reverse("labeling:review", args=[batch.pk]), {"order": "doubt"}).content.decode()
    assert "The model has learnt from 1 of these faces" in page
