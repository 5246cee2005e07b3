"""A look before the import: nothing is imported until somebody says so, and every choice goes along."""

from __future__ import annotations

import io
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image

from mmfrm.jobs import ImportJob, PreviewJob
from tests.mmfrm.sources import png, write_zip
from tests.mmfrm.test_face_finding import Known, needs_faces, tiled
from tests.webapp.test_datasets import uploaded
from tests.webapp.work import do_next
from webapp.accounts.models import User
from webapp.datasets import importing, services
from webapp.datasets.models import Dataset, DatasetImport
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.uploads.models import Upload

Clients = Callable[[User], Client]
FINDING = {"layout": "auto", "faces": "find", "min_face": "50", "several": "leave_out"}


pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    names = ("anger", "happiness", "neutral")
    files = {f"{names[i % 3]}/{i:02}.png": png(i) for i in range(30)}
    return write_zip(tmp_path / "faces.zip", files | {"notes.txt": b"taken in May"})


def page(client: Client, dataset: Dataset) -> str:
    answer = client.get(reverse("datasets:dataset", args=[dataset.pk]))
    assert answer.status_code == HTTPStatus.OK
    return answer.content.decode()


def test_a_look_shows_how_it_is_read_and_the_import_follows_when_it_is_asked_for(
    editor: User, viewer: User, client_of: Clients, crops: Path, django_capture_on_commit_callbacks: Any
) -> None:
    client = client_of(editor)
    form = {"upload": [str(uploaded(editor, crops).pk)], "layout": "auto", "look": "1"}
    client.post(reverse("datasets:new"), form)
    dataset = Dataset.objects.get()
    assert do_next().kind == "preview"
    seen = page(client, dataset)
    assert "class folders: 3 folders are named after expressions" in seen
    assert "12 pictures from all over it." in seen
    assert "notes.txt" in seen
    assert "Import 30 pictures" in seen
    assert "Import 30 pictures" not in page(client_of(viewer), dataset), "a viewer looks, and no more"
    assert "looked at, not imported yet" in client.get(reverse("datasets:index")).content.decode()
    assert Upload.objects.exists(), "what was only looked at is kept"
    looked = DatasetImport.objects.get().job
    folder = jobs.folder_of(looked)
    picture = reverse("datasets:preview_picture", args=[dataset.pk, looked.pk, 3])
    assert client.get(picture)["Content-Type"] == "image/jpeg"
    gone = reverse("datasets:preview_picture", args=[dataset.pk, looked.pk, 99])
    assert client.get(gone).status_code == HTTPStatus.NOT_FOUND
    retry = reverse("datasets:retry", args=[dataset.pk])
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(2):  # a double click, or a second tab
            client.post(retry, {"layout": "auto"})
    assert not folder.exists(), "the pictures of a preview go with it"
    assert list(Job.objects.values_list("kind", "state", "title")) == [("import", "queued", "Import faces")]
    client.post(retry, {"layout": "auto", "look": "1"})
    assert Job.objects.get().kind == "import", "too late to look"
    assert do_next().state == Job.State.FINISHED
    assert dataset.versions.get().images == 30
    assert client.get(picture).status_code == HTTPStatus.NOT_FOUND


def test_choices_go_to_the_look_to_the_next_look_and_to_the_import(
    editor: User, client_of: Clients, crops: Path
) -> None:
    client = client_of(editor)
    uploads = [str(uploaded(editor, crops).pk)]
    wrong = client.post(reverse("datasets:new"), {**FINDING, "upload": uploads, "min_face": "3"})
    assert wrong.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    client.post(reverse("datasets:new"), {**FINDING, "upload": uploads, "look": "1"})
    dataset = Dataset.objects.get()
    job = importing.prepare_preview(Job.objects.get())
    assert isinstance(job, PreviewJob)
    assert (job.faces, job.min_face, job.several) == ("find", 50, "leave_out")
    assert services.retry(dataset, editor, layout="auto") is False, "it is looked at just now"
    jobs.stop(Job.objects.get(), editor)
    retry = reverse("datasets:retry", args=[dataset.pk])
    client.post(retry, {**FINDING, "min_face": "nonsense", "look": "1"})
    assert Job.objects.get().state == Job.State.STOPPED
    client.post(retry, {"layout": "folders", "faces": "aligned", "look": "1"})
    looked = do_next()
    assert looked.result["layout"] == "folders"
    assert 'value="folders" selected' in page(client, dataset)
    client.post(retry, {**FINDING, "several": "largest", "look": "1"})
    again = Job.objects.get()
    assert again.pk != looked.pk
    assert again.kind == "preview"
    jobs.stop(again, editor)
    client.post(retry, {**FINDING, "several": "largest"})
    job = importing.prepare_import(Job.objects.get())
    assert isinstance(job, ImportJob)
    assert (job.layout, job.faces, job.min_face, job.several) == ("auto", "find", 50, "largest")


def test_renaming_renames_the_job_as_what_it_is(editor: User, crops: Path) -> None:
    [dataset] = services.import_uploads(
        editor, upload_ids=[uploaded(editor, crops).pk], name="First", look_first=True, layout="auto"
    )
    assert Job.objects.get().title == "Look into First"
    services.edit(dataset, name="Second", description="", private=False)
    assert Job.objects.get().title == "Look into Second"


@needs_faces
def test_faces_of_photos_are_framed_before_and_aligned_by_the_import(
    editor: User, client_of: Clients, tmp_path: Path
) -> None:
    faces = Known(["fer0032382.png", "fer0032633.png"]).faces
    pictures = {"happiness/one.png": tiled(faces[:1])[0], "fear/two.png": tiled(faces)[0]}
    pictures["fear/none.png"] = np.full((160, 220, 3), 90, np.uint8)
    files = {}
    for name, pixels in pictures.items():
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        files[name] = out.getvalue()
    source = write_zip(tmp_path / "photos.zip", files)
    [dataset] = services.import_uploads(
        editor,
        upload_ids=[uploaded(editor, source).pk],
        name="",
        look_first=True,
        layout="auto",
        faces="find",
    )
    assert do_next().state == Job.State.FINISHED
    client = client_of(editor)
    seen = page(client, dataset)
    assert "1 shows one face, 1 shows several faces, 1 shows no face." in seen
    assert seen.count("<rect ") == 3
    assert seen.count('data-taken width="56"') + seen.count('height="56" data-taken') == 2
    assert "Left out: no face of at least 40 pixels was found" in seen
    assert services.retry(dataset, editor, layout="auto", faces="find", several="leave_out")
    assert do_next().state == Job.State.FINISHED
    version = dataset.versions.get()
    [sample] = version.samples.all()
    assert (sample.name, sample.width, sample.height) == ("happiness/one.png", 112, 112)
    assert sample.box is not None
    x, y, width, height = sample.box
    shown = client.get(reverse("datasets:face", args=[dataset.pk, 1, 0])).content.decode()
    assert f"{width} × {height} at {x}, {y}" in shown
    assert dict(version.refusals.values_list("name", "reason")) == {
        "fear/two.png": "2 faces were found, and one was wanted",
        "fear/none.png": "no face of at least 40 pixels was found",
    }
    assert "Faces found and aligned" in page(client, dataset)
