"""Label batches: from an upload to rows, grid and CSV."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from mmfrm.events import Finished, Predicted, Started, Stopped
from webapp.accounts.models import User
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling import services
from webapp.labeling.models import (
    Answer,
    Correction,
    LabelBatch,
    Opinion,
    Prediction,
    SecondOpinion,
    Verdict,
)
from webapp.registry.models import Model
from webapp.uploads.models import Upload

CLASSES = ["neutral", "happiness", "sadness"]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def labeller() -> User:
    return User.objects.create_user("lena", password="a long pass phrase", role=User.Role.EDITOR)


@pytest.fixture
def model(labeller: User) -> Model:
    return Model.objects.create(owner=labeller, name="Starter", classes=CLASSES)


@pytest.fixture
def upload(labeller: User) -> Upload:
    row = Upload.objects.create(
        owner=labeller, filename="photos.zip", size=4, received=4, finished_at=timezone.now()
    )
    row.path.parent.mkdir(parents=True, exist_ok=True)
    row.path.write_bytes(b"PK..")
    return row


@pytest.fixture
def batch(labeller: User, model: Model, upload: Upload) -> LabelBatch:
    return services.start_batch(
        labeller, name="Holiday", model=model, upload=upload, flip_average=False, private=False
    )


@pytest.fixture
def client(labeller: User) -> Client:
    client = Client()
    client.force_login(labeller)
    return client


def picture(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(out, "PNG")
    return out.getvalue()


def claimed(batch: LabelBatch) -> Job:
    job = jobs.claim("cpu", "a worker")
    assert job is not None
    assert job.pk == batch.job_id
    assert jobs.record(job, Started())
    return job


def rows_of(batch: LabelBatch, count: int) -> list[dict[str, Any]]:
    """Rows as the child says them; the last one is a file that could not be read."""
    batch.folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    offset = 0
    with (batch.folder / "faces.pack").open("wb") as pack:
        for i in range(count):
            data = picture(i)
            pack.write(data)
            high = 0.5 + i / 100
            probabilities = [0.0, 0.0, 0.0]
            probabilities[i % 3], probabilities[(i + 1) % 3] = high, 1 - high
            rows.append(
                {
                    "index": i,
                    "file": f"photo {i}.png",
                    "box": None,
                    "probabilities": probabilities,
                    "error": None,
                }
                | {"offset": offset, "length": len(data)}
            )
            offset += len(data)
    rows.append(
        {"index": count, "file": "=cmd.png", "box": None, "probabilities": None, "error": "not an image"}
    )
    return rows


def test_the_same_upload_is_labelled_once_however_often_the_form_is_sent(
    client: Client, model: Model, upload: Upload
) -> None:
    form = {"upload": str(upload.pk), "model": f"model:{model.pk}", "name": ""}
    first = client.post(reverse("labeling:new"), form)
    second = client.post(reverse("labeling:new"), form)
    assert first.status_code == second.status_code == 302
    assert first["Location"] == second["Location"]
    assert LabelBatch.objects.get().name == "photos.zip"
    assert Job.objects.get().kind == "predict"


def test_an_upload_of_somebody_else_or_half_arrived_is_refused(
    client: Client, model: Model, upload: Upload
) -> None:
    other = User.objects.create_user("otto", role=User.Role.EDITOR)
    theirs = Upload.objects.create(owner=other, filename="x.zip", size=1, finished_at=timezone.now())
    half = Upload.objects.create(owner=upload.owner, filename="y.zip", size=100, received=1)
    for bad in (theirs, half):
        answer = client.post(reverse("labeling:new"), {"upload": str(bad.pk), "model": f"model:{model.pk}"})
        assert answer.status_code == 422
        assert b"not arrived whole" in answer.content
    assert not LabelBatch.objects.exists()


def test_an_upload_that_another_tab_has_used_is_refused_in_words(
    client: Client, model: Model, upload: Upload
) -> None:
    Upload.objects.update(claimed_at=timezone.now())
    form = {"upload": str(upload.pk), "model": f"model:{model.pk}"}
    answer = client.post(reverse("labeling:new"), form)
    assert answer.status_code == 422
    assert "has been used already" in answer.content.decode()
    assert not LabelBatch.objects.exists()


def test_rows_told_twice_are_kept_once(batch: LabelBatch) -> None:
    job = claimed(batch)
    rows = rows_of(batch, 6)
    jobs.record(job, Predicted(rows=rows[:5]))
    jobs.record(job, Predicted(rows=rows))
    assert list(Prediction.objects.order_by("index").values_list("index", flat=True)) == list(range(7))
    first = Prediction.objects.get(index=1)
    assert (first.label, first.confidence) == (1, 0.51)


def test_a_batch_survives_any_number_of_deaths_between_which_it_gets_further(batch: LabelBatch) -> None:
    rows = rows_of(batch, settings.JOB_MOST_LOSSES + 3)
    later = timezone.now() + timedelta(seconds=settings.JOB_LOST_SECONDS + 60)
    for done in range(1, len(rows)):
        job = claimed(batch)
        jobs.record(job, Predicted(rows=rows[: done - 1], again=True))
        jobs.record(job, Predicted(rows=rows[done - 1 : done]))
        jobs.reap(later)
    batch.job.refresh_from_db()
    assert (batch.job.state, batch.job.losses) == (Job.State.QUEUED, 1)
    assert list(Prediction.objects.order_by("index").values_list("index", flat=True)) == list(range(done))
    for _ in range(settings.JOB_MOST_LOSSES):  # rows that are only told again are no progress
        jobs.record(claimed(batch), Predicted(rows=rows[:done], again=True))
        jobs.reap(later)
    batch.job.refresh_from_db()
    assert batch.job.state == Job.State.FAILED


def test_the_upload_is_deleted_when_the_batch_is_finished_and_not_before(
    batch: LabelBatch, upload: Upload, django_capture_on_commit_callbacks: Any
) -> None:
    job = claimed(batch)
    jobs.record(job, Predicted(rows=rows_of(batch, 2)))
    jobs.end(job, last=Stopped(), exit_status="exit 3")
    assert upload.path.exists()
    assert Job.objects.get().state == "queued"
    job = claimed(batch)
    with django_capture_on_commit_callbacks(execute=True):
        jobs.record(job, Finished(result={}))
    assert not upload.path.exists()
    batch.refresh_from_db()
    assert batch.upload is None


def test_the_csv_has_one_exact_row_a_face_and_no_formula(client: Client, batch: LabelBatch) -> None:
    jobs.record(claimed(batch), Predicted(rows=rows_of(batch, 4)))
    answer = client.get(reverse("labeling:csv", args=[batch.pk]))
    assert answer["Content-Disposition"] == 'attachment; filename="holiday.csv"'
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    table = list(csv.DictReader(io.StringIO(text)))
    assert [r["file"] for r in table] == [*(f"photo {i}.png" for i in range(4)), "'=cmd.png"]
    assert table[1]["class"] == "happiness"
    assert float(table[1]["p_happiness"]) == pytest.approx(0.51)
    assert sum(float(table[1][f"p_{c}"]) for c in CLASSES) == pytest.approx(1.0)
    assert table[4]["class"] == ""
    assert table[4]["error"] == "not an image"


def test_filters_and_orders_are_in_the_address(client: Client, batch: LabelBatch) -> None:
    jobs.record(claimed(batch), Predicted(rows=rows_of(batch, 9)))
    url = reverse("labeling:faces", args=[batch.pk])

    def shown(query: str) -> list[int]:
        return [item.row.index for item in client.get(f"{url}?{query}").context["shown"]]

    assert shown("") == list(range(10))
    assert shown("label=happiness") == [1, 4, 7]
    assert shown("label=error") == [9]
    assert shown("order=unsure&label=happiness") == [1, 4, 7]
    assert shown("order=sure&label=happiness") == [7, 4, 1]
    assert shown("text=photo+8") == [8]
    assert shown("order=unsure&label=error") == [9], "where nothing is to be ordered by, nothing is left out"
    assert shown("order=nonsense&view=nonsense&label=nonsense") == list(range(10))


def test_the_list_counts_faces_reviewed_ones_and_files_without_one_in_few_queries(
    client: Client, batch: LabelBatch, labeller: User, django_assert_max_num_queries: Any
) -> None:
    jobs.record(claimed(batch), Predicted(rows=rows_of(batch, 4)))
    batch.predictions.filter(index=0).update(verdict=Verdict.UNSURE)
    batch.predictions.filter(index=1).update(verdict=Verdict.CONFLICT)
    empty = LabelBatch.objects.create(
        owner=labeller,
        name="Empty",
        model=batch.model,
        job=jobs.create(kind="predict", queue="cpu", owner=labeller, title="Label"),
    )
    with django_assert_max_num_queries(8):
        page = client.get(reverse("labeling:index"))
    sizes = {row.pk: (size.faces, size.reviewed, size.errors) for row, size in page.context["rows"]}
    assert sizes == {batch.pk: (4, 1, 1), empty.pk: (0, 0, 0)}


@pytest.mark.parametrize("view", ["grid", "table"])
def test_a_page_of_faces_takes_a_constant_number_of_queries(
    client: Client, batch: LabelBatch, view: str, django_assert_max_num_queries: Any
) -> None:
    jobs.record(claimed(batch), Predicted(rows=rows_of(batch, 70)))
    with django_assert_max_num_queries(11):
        page = client.get(reverse("labeling:batch", args=[batch.pk]), {"view": view})
    assert page.status_code == 200
    assert len(page.context["shown"]) == 60


def test_a_face_is_served_to_those_who_see_the_batch(client: Client, batch: LabelBatch) -> None:
    jobs.record(claimed(batch), Predicted(rows=rows_of(batch, 3)))
    url = reverse("labeling:face", args=[batch.pk, 2])
    answer = client.get(url)
    assert answer.content == picture(2)
    assert answer["Content-Type"] == "image/png"
    assert client.get(url, headers={"If-None-Match": answer["ETag"]}).status_code == 304
    assert client.get(reverse("labeling:face", args=[batch.pk, 3])).status_code == 404  # the unreadable file
    batch.private = True
    batch.save()
    stranger = Client()
    stranger.force_login(User.objects.create_user("otto", role=User.Role.EDITOR))
    assert stranger.get(url).status_code == 404
    assert Client().get(url).status_code == 302


def says_twice_and_asks_another_model(batch: LabelBatch) -> None:
    """A face with everything that can be said of one: an answer, taken back, and another model's opinion."""
    face, by, now = batch.predictions.first(), batch.owner, timezone.now()
    assert face is not None
    said = Correction.objects.create(prediction=face, verdict=Verdict.LABEL, label=1, by=by, said_at=now)
    Correction.objects.create(prediction=face, undoes=said, by=by, said_at=now)
    Answer.objects.create(prediction=face, by=by, verdict=Verdict.LABEL, label=1, said_at=now)
    asked = jobs.create(kind="predict", queue=Job.Queue.CPU, owner=by, title="Second")
    Job.objects.filter(pk=asked.pk).update(state=Job.State.FINISHED)
    second = SecondOpinion.objects.create(batch=batch, job=asked, model_name="Other", classes=CLASSES)
    Opinion.objects.create(second=second, prediction=face, probabilities=[0, 1, 0], disagreement=0.5)


def test_deleting_a_batch_deletes_its_pixels_and_all_that_was_said_of_them(
    client: Client, batch: LabelBatch, upload: Upload, django_capture_on_commit_callbacks: Any
) -> None:
    job = claimed(batch)
    jobs.record(job, Predicted(rows=rows_of(batch, 3)))
    says_twice_and_asks_another_model(batch)
    client.post(reverse("labeling:delete", args=[batch.pk]))
    assert LabelBatch.objects.exists(), "a running batch is kept"
    held = [said.objects.count() for said in (Prediction, Answer, Correction, Opinion)]
    assert held == [4, 1, 2, 1]  # with a file that is no picture
    jobs.end(job, last=Finished(result={}), exit_status="")
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("labeling:delete", args=[batch.pk]))
    for gone in (LabelBatch, Job, Prediction, Answer, Correction, SecondOpinion, Opinion):
        assert not gone._default_manager.exists(), gone
    assert not batch.folder.exists()
    assert not upload.path.exists()


def test_only_the_owner_changes_a_batch(batch: LabelBatch) -> None:
    other = Client()
    other.force_login(User.objects.create_user("otto", role=User.Role.EDITOR))
    for name in ("edit", "delete"):
        assert other.post(reverse(f"labeling:{name}", args=[batch.pk]), {"name": "Mine"}).status_code == 403
    batch.refresh_from_db()
    assert batch.name == "Holiday"
