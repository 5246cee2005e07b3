"""Faces sorted by what a model found of them, and filtered by how far people agreed."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mmfrm.events import Finished, Predicted
from tests.mmfrm.sources import png, write_zip
from tests.synthetic_runs import queued_run, ready_version
from tests.webapp.test_dataset_versions import address
from tests.webapp.test_datasets import imported
from tests.webapp.test_delete_version import without
from tests.webapp.work import do_next
from webapp.accounts.models import User
from webapp.datasets import deleting, ordering, revising
from webapp.datasets import services as datasets
from webapp.datasets.models import DatasetVersion
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.registry import scoring, services
from webapp.registry.models import Model, Score, Scoring

Clients = Callable[[User], Client]
CLASSES = ("happiness", "neutral", "fear")


pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def version(editor: User, tmp_path: Path) -> DatasetVersion:
    """Ten faces: anger, happiness and neutral in turn; no model here knows anger."""
    names = ("anger", "happiness", "neutral")
    files = {f"train/{names[i % 3]}/{i}.png": png(i) for i in range(10)}
    return imported(editor, write_zip(tmp_path / "faces.zip", files))


def model_of(user: User, name: str = "Kept") -> Model:
    return Model.objects.create(owner=user, name=name, classes=list(CLASSES))


def keep_weights(model: Model) -> None:
    """The smallest network there is, which has learned nothing."""
    from mmfrm.checkpoint import save_model
    from mmfrm.config import NetworkConfig
    from mmfrm.nn import FaceNetwork

    config = NetworkConfig(size="small", width=0.125, fusion="none", landmarks="scratch", stem_norm=True)
    network = FaceNetwork(config, len(CLASSES)).eval()
    save_model(model.folder, network, classes=CLASSES, config=config, card={})


def scored(user: User, version: DatasetVersion, model: Model) -> Scoring:
    """As if the model had said: of face i, i hundredths for fear and the rest for happiness."""
    made = scoring.start(user, version, f"model:{model.pk}")
    rows = [
        {"picture": i, "probabilities": [1 - i / 100, 0.0, i / 100], "error": None}
        for i in range(version.images)
    ]
    for _ in range(2):  # a job that was killed tells it twice
        scoring.on_event(made.job, Predicted(rows=rows))
    Job.objects.filter(pk=made.job_id).update(state=Job.State.FINISHED)
    return made


def shown(client: Client, version: DatasetVersion, query: str) -> list[int]:
    answer = client.get(address("faces", version, query))
    assert answer.status_code == HTTPStatus.OK
    return [sample.index for sample, *_ in answer.context["faces"]]


def test_a_real_model_is_asked_about_every_face_and_each_face_tells_it(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    model, client = model_of(editor), client_of(editor)
    keep_weights(model)
    part = reverse("registry:scorings", args=[version.dataset_id, version.number])
    assert f"model:{model.pk}" in client.get(part).content.decode()
    asking = reverse("registry:score", args=[version.dataset_id, version.number])
    for _ in range(2):  # a double click
        assert client.post(asking, {"model": f"model:{model.pk}"})["Location"].endswith("faces/?models=1")
    assert do_next().state == Job.State.FINISHED
    assert jobs.claim("cpu", "a worker") is None
    assert Score.objects.count() == version.images
    happy = version.samples.filter(label=version.classes.index("happiness")).first()
    assert happy is not None
    score = Score.objects.get(sample=happy)
    assert score.loss == pytest.approx(-math.log(score.probabilities[0]))
    assert score.disagreement == pytest.approx(score.confidence - score.probabilities[0])
    angry = Score.objects.filter(sample__label=version.classes.index("anger"))
    assert set(angry.values_list("loss", "disagreement")) == {(None, None)}, "the model knows no anger"
    page = client.get(reverse("datasets:face", args=[version.dataset_id, 1, happy.index])).content.decode()
    assert "What models say" in page
    assert "Kept" in page
    assert "by disagreement" in client.get(part).content.decode()
    assert f"model:{model.pk}" not in client.get(part).content.decode(), "it was asked"
    services.delete(model, editor)
    assert not Score.objects.exists()
    assert not Job.objects.filter(kind="score").exists()


def test_a_private_model_is_not_named_where_all_see_that_a_data_set_is_scored(
    editor: User, viewer: User, client_of: Clients, version: DatasetVersion
) -> None:
    model = model_of(editor, "Not told yet")
    services.edit(model, name=model.name, private=True)
    made = scoring.start(editor, version, f"model:{model.pk}")
    assert made.job.title == f"Score {version} with private model {model.pk}"
    Job.objects.filter(pk=made.job_id).update(state=Job.State.RUNNING)
    for address_seen in (reverse("jobs:index"), reverse("jobs:log", args=[made.job_id])):
        page = client_of(viewer).get(address_seen).content.decode()
        assert made.job.title in page
        assert "Not told yet" not in page
    with pytest.raises(RefusedError, match=f"with private model {model.pk}” is reading it now"):
        datasets.delete(version.dataset)
    shown = scoring.start(editor, version, f"model:{model_of(editor).pk}")
    assert shown.job.title == f"Score {version} with Kept"


def test_faces_are_sorted_filtered_and_stepped_through_in_that_order(
    editor: User, viewer: User, client_of: Clients, version: DatasetVersion
) -> None:
    made, client = scored(editor, version, model_of(editor)), client_of(viewer)
    # Faces 0 to 3 are anger, 4 to 6 happiness, 7 to 9 neutral, which the model gives nothing.
    assert shown(client, version, "?sort=confidence") == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert shown(client, version, "?sort=sure&label=happiness") == [4, 5, 6]
    assert shown(client, version, "?sort=disagreement") == [7, 8, 9, 6, 5, 4]
    assert shown(client, version, "?sort=loss&label=happiness") == [6, 5, 4]
    assert shown(client, version, f"?sort=loss&by={made.pk}&text=no such") == []
    assert shown(client, version, "?sort=nonsense&by=x") == list(range(10))
    assert "happiness 93%" in client.get(address("faces", version, "?sort=confidence")).content.decode()
    at = reverse("datasets:face", args=[version.dataset_id, 1, 5])
    answer = client.get(at + "?sort=disagreement")
    assert (answer.context["before"], answer.context["after"]) == (6, 4)
    assert client.get(at + "?sort=loss&label=happiness").context["before"] == 6
    none = client.get(reverse("datasets:face", args=[version.dataset_id, 1, 0]) + "?sort=loss")
    assert (none.context["before"], none.context["after"]) == (None, None), (
        "no loss: in no place of the order"
    )


def test_all_that_an_order_shows_are_changed_and_no_more(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    scored(editor, version, model_of(editor))
    change = address("edit_faces", version, "?sort=loss&split=train")
    answer = client_of(editor).post(change, {"action": "exclude", "all": "1"}, headers={"HX-Request": "true"})
    assert "happiness 93%, " in answer.content.decode(), "the grid comes back in its order"
    assert revising.pending(version, editor).excluded == set(range(4, 10)), "the model knows no anger"


def test_labels_are_called_likely_wrong_by_a_model_that_did_not_learn_from_them(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    """Faces 4 to 6 are happiness, 7 to 9 neutral; the model is sure of all but two, and 6 is in another's
    training part."""
    made, client = scored(editor, version, model_of(editor)), client_of(editor)
    said = {
        4: (0.9, 0.1, 0.0),
        5: (0.1, 0.8, 0.1),
        6: (0.0, 0.9, 0.1),
        7: (0.1, 0.8, 0.1),
        9: (0.7, 0.3, 0.0),
    }
    for score in Score.objects.filter(sample__index__in=said).select_related("sample"):
        score.probabilities = list(said[score.sample.index])
        score.save()
    Score.objects.filter(sample__index=8).update(probabilities=[0.1, 0.9, 0.0])
    scoring.on_event(made.job, Finished(result={}))
    assert set(shown(client, version, "?sort=doubt")) == {5, 6, 9}
    made.refresh_from_db()
    assert made.judged == {"faces": 6, "doubtful": 3, "is_known": False}
    page = client.get(address("faces", version, "?sort=doubt")).content.decode()
    assert "the 6 faces here that it has not learnt from" in page
    assert "is not wholly known here" in page
    panel = reverse("registry:scorings", args=[version.dataset_id, version.number])
    assert "3 labels likely wrong" in client.get(panel).content.decode()

    seen = ready_version(editor)
    face = version.samples.get(index=6)
    face.pk, face.version, face.index = None, seen, 0
    face.save()
    run = queued_run(editor, seen, name="it learnt from face 6")
    Model.objects.update(run=run)
    Score.objects.update(doubt=None)
    scoring.on_event(made.job, Finished(result={}))
    assert set(shown(client, version, "?sort=doubt")) == {5, 9}
    Scoring.objects.update(judged={"faces": 0, "doubtful": 0, "is_known": True})
    Score.objects.update(doubt=None)
    none = client.get(address("faces", version, "?sort=doubt")).content.decode()
    assert "has learnt from every labelled face here" in none


def test_a_private_model_is_seen_by_its_owner_alone_and_nobody_else_can_ask_it(
    editor: User, administrator: User, client_of: Clients, version: DatasetVersion
) -> None:
    secret = model_of(administrator, "Secret")
    Model.objects.update(private=True)
    made = scored(administrator, version, secret)
    assert [row.pk for row in ordering.scorings(administrator, version)] == [made.pk]
    assert ordering.scorings(editor, version) == []
    client = client_of(editor)
    part = reverse("registry:scorings", args=[version.dataset_id, version.number])
    assert "Secret" not in client.get(part).content.decode()
    face = reverse("datasets:face", args=[version.dataset_id, 1, 0])
    assert "Secret" not in client.get(face).content.decode()
    assert shown(client, version, f"?sort=confidence&by={made.pk}") == list(range(10))
    Scoring.objects.all().delete()
    asking = reverse("registry:score", args=[version.dataset_id, version.number])
    assert (
        "Choose a model" in client.post(asking, {"model": f"model:{secret.pk}"}, follow=True).content.decode()
    )
    assert not Scoring.objects.exists()


def test_the_grid_asks_as_many_queries_sorted_by_one_model_of_many(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client, asked = client_of(editor), set()
    for name in ("A", "B", "C"):
        scored(editor, version, model_of(editor, name))
        client.get(address("faces", version))
        for query in ("?sort=loss", "?sort=confidence&label=happiness"):
            with CaptureQueriesContext(connection) as queries:
                client.get(address("faces", version, query))
            asked.add(len(queries))
    assert len(asked) == 1
    assert asked.pop() <= 12


def test_votes_are_filtered_by_how_far_people_agreed(
    editor: User, client_of: Clients, tmp_path: Path
) -> None:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["path", "neutral", "happiness", "fear"])
    votes = [(10, 0, 0), (8, 2, 0), (5, 5, 0), (4, 3, 3)]
    writer.writerows([f"{i}.png", *row] for i, row in enumerate(votes))
    files: dict[str, Any] = {f"{i}.png": png(i) for i in range(4)}
    version = imported(
        editor, write_zip(tmp_path / "v.zip", files | {"labels.csv": table.getvalue().encode()})
    )
    client = client_of(editor)
    for key, index in {"all": 0, "most": 1, "half": 2, "split": 3}.items():
        assert shown(client, version, f"?votes={key}") == [index]
    assert len(shown(client, version, "?votes=nonsense")) == 4
    assert 'name="votes"' in client.get(address("faces", version)).content.decode()


@pytest.mark.parametrize("what", ["data set", "version"])
def test_a_scoring_goes_with_what_it_read_and_home_can_still_be_shown(
    editor: User,
    client_of: Clients,
    version: DatasetVersion,
    what: str,
    django_capture_on_commit_callbacks: Any,
) -> None:
    made = scored(editor, version, model_of(editor))
    folder = jobs.folder_of(made.job)
    folder.mkdir(parents=True)
    Job.objects.filter(pk=made.job_id).update(finished_at=timezone.now())
    if what == "version":
        without(version, editor, [0], number=2)
    with django_capture_on_commit_callbacks(execute=True):
        if what == "version":
            deleting.delete(version, editor, with_runs=False)
        else:
            datasets.delete(version.dataset)
    assert not Job.objects.filter(kind="score").exists()
    assert not folder.exists()
    for name in ("home", "jobs:index"):
        assert client_of(editor).get(reverse(name)).status_code == HTTPStatus.OK


def test_what_a_scoring_is_reading_is_not_deleted(editor: User, version: DatasetVersion) -> None:
    made = scoring.start(editor, version, f"model:{model_of(editor).pk}")
    Job.objects.filter(pk=made.job_id).update(state=Job.State.RUNNING)
    assert "is reading it now" in datasets.why_not_deleted(version.dataset)
    without(version, editor, [0], number=2)
    assert "is reading it now" in deleting.why_not(version)
