"""Labelling photos whose faces are to be found: from the form to the job, and boxes on page and in CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mmfrm.events import Notice, Predicted, Started
from mmfrm.jobs import PredictJob
from webapp.accounts.models import User
from webapp.jobs import services as jobs
from webapp.labeling import services
from webapp.labeling.models import LabelBatch
from webapp.registry.models import Model
from webapp.uploads.models import Upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def labeller() -> User:
    return User.objects.create_user("lena", password="a long pass phrase", role=User.Role.EDITOR)


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def client(labeller: User) -> Client:
    client = Client()
    client.force_login(labeller)
    return client


@pytest.fixture
def form(labeller: User) -> dict[str, str]:
    """The form as it is sent, but for what is to be done with faces."""
    model = Model.objects.create(owner=labeller, name="Starter", classes=["neutral", "happiness"])
    upload = Upload.objects.create(
        owner=labeller, filename="party.zip", size=4, received=4, finished_at=timezone.now()
    )
    upload.path.parent.mkdir(parents=True, exist_ok=True)
    upload.path.write_bytes(b"PK..")
    return {"upload": str(upload.pk), "model": f"model:{model.pk}", "name": "Party"}


def job_of(batch: LabelBatch) -> PredictJob:
    return services.prepare(batch.job)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, ("aligned", 40)),
        ({"faces": "aligned", "min_face": ""}, ("aligned", 40)),
        ({"faces": "find"}, ("find", 40)),
        ({"faces": "find", "min_face": "72"}, ("find", 72)),
    ],
)
def test_what_the_form_says_of_faces_reaches_the_job(
    client: Client, form: dict[str, str], sent: dict[str, str], expected: tuple[str, int]
) -> None:
    assert client.post(reverse("labeling:new"), form | sent).status_code == 302
    job = job_of(LabelBatch.objects.get())
    assert (job.faces, job.min_face) == expected


@pytest.mark.parametrize("sent", [{"min_face": "3"}, {"min_face": "many"}, {"faces": "invent"}])
def test_what_cannot_be_done_is_refused_at_its_field(
    client: Client, form: dict[str, str], sent: dict[str, str]
) -> None:
    answer = client.post(reverse("labeling:new"), form | {"faces": "find"} | sent)
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == set(sent)
    assert not LabelBatch.objects.exists()


def test_each_face_of_a_photo_is_shown_and_written_with_its_box(client: Client, form: dict[str, str]) -> None:
    client.post(reverse("labeling:new"), form | {"faces": "find"})
    batch = LabelBatch.objects.get()
    job = jobs.claim("cpu", "a worker")
    assert job is not None
    jobs.record(job, Started())
    found: dict[str, Any] = {"picture": 0, "file": "us.jpg", "probabilities": [0.2, 0.8], "error": None}
    none = {"picture": 1, "file": "wall.jpg", "probabilities": None, "error": "no face found", "box": None}
    batch.folder.mkdir(parents=True)
    (batch.folder / "photos.pack").write_bytes(b"\xff\xd8\xffphoto")
    found |= {"photo": [0, 8, 640, 480], "offset": 0, "length": 1}
    rows = [
        found | {"index": 0, "box": [10, 20, 51, 52], "face": 0, "faces": 2, "detection": 0.99},
        found | {"index": 1, "box": [110, 21, 43, 44], "face": 1, "faces": 2, "detection": 0.9},
        none | {"index": 2, "face": None, "faces": 0, "detection": None},
    ]
    jobs.record(job, Predicted(rows=rows))
    for _ in range(2):  # a job that goes on says it again
        jobs.record(job, Notice(text="Some photos were not kept.", level="warning"))
    head = client.get(reverse("labeling:head", args=[batch.pk])).content.decode()
    assert head.count("Some photos were not kept.") == 1
    for view in ("grid", "table"):
        page = client.get(reverse("labeling:batch", args=[batch.pk]), {"view": view}).content.decode()
        assert "51 × 52 at 10, 20" in page
        assert "43 × 44 at 110, 21" in page
        assert "no face found" in page
        assert "99.0" in page  # of the detector
    look_at_photos(client, batch)
    asked = {"page": "a", "order": "file", "count": 9}
    lent = client.post(
        reverse("labeling:next_faces", args=[batch.pk]), asked, content_type="application/json"
    )
    at = reverse("labeling:photo", args=[batch.pk, 0])
    photos = [face["photo"] for face in lent.json()["faces"]]
    assert [photo["page"] for photo in photos] == [f"{at}#face-0", f"{at}#face-1"]
    assert [photo["box"] for photo in photos] == [[10, 20, 51, 52], [110, 21, 43, 44]]
    assert [(photo["url"], photo["width"], photo["height"]) for photo in photos] == [
        (f"{at}pixels", 640, 480)
    ] * 2
    answer = client.get(reverse("labeling:csv", args=[batch.pk]))
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    table = list(csv.DictReader(io.StringIO(text)))
    boxes = [[line[k] for k in ("x", "y", "width", "height")] for line in table]
    assert boxes == [["10", "20", "51", "52"], ["110", "21", "43", "44"], ["", "", "", ""]]
    assert [line["class"] for line in table] == ["happiness", "happiness", ""]
    assert table[2]["error"] == "no face found"


def look_at_photos(client: Client, batch: LabelBatch) -> None:
    """A page a photo, with its boxes and all probabilities; filters and orders by what was found."""
    page = client.get(reverse("labeling:photo", args=[batch.pk, 0])).content.decode()
    assert 'viewBox="0 0 640 480"' in page
    assert '<rect x="10" y="20" width="51" height="52"' in page
    assert '<rect x="110" y="21" width="43" height="44"' in page
    assert page.count('class="card photo-face"') == 2
    assert "face 2 of 2, found with 90.0" in page
    pixels = client.get(reverse("labeling:photo_pixels", args=[batch.pk, 0]))
    assert (pixels.content, pixels.headers["Content-Type"]) == (b"\xff\xd8\xffphoto", "image/jpeg")
    part = client.get(reverse("labeling:photo", args=[batch.pk, 0]), headers={"HX-Request": "true"})
    assert part.content.decode().lstrip().startswith("<section")
    bare = client.get(reverse("labeling:photo", args=[batch.pk, 1])).content.decode()
    assert "no face found" in bare
    for number in (1, 2):  # a photo that was not kept, a photo that is not there
        assert client.get(reverse("labeling:photo_pixels", args=[batch.pk, number])).status_code == 404
    assert client.get(reverse("labeling:photo", args=[batch.pk, 2])).status_code == 404

    def listed(query: str) -> list[int]:
        faces = client.get(reverse("labeling:faces", args=[batch.pk]) + query).context["shown"]
        return [face.row.index for face in faces]

    assert listed("?photo=several") == [0, 1]
    assert listed("?photo=none") == [2]
    assert listed("?photo=one") == []
    assert listed("?order=detection") == [1, 0]
