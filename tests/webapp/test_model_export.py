"""A model's export: queued once, kept in its row, shown on the model's page, and deleted with the model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks

from mmfrm.events import Finished, Started
from mmfrm.jobs import ExportJob, read_job
from tests.synthetic_runs import CLASSES, ready_version
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.registry import exporting, services
from webapp.registry.models import Model, ModelExport

ClientOf = Callable[[User], Client]
REPORT = {
    "onnx": {"faces": 128, "largest_difference": 3e-7},
    "data": {"faces": 3153},
    "engines": {
        "openvino-bf16": {"agreement": 0.9991, "change_points": 0.03, "is_accurate": True},
        "openvino-int8": {"agreement": 0.981, "change_points": -0.61, "is_accurate": False},
    },
    "images_per_second": {"openvino-bf16": 188.0},
}


@pytest.fixture(autouse=True)
def own_data_folder(settings: Any, tmp_path: Path) -> None:
    """Keys begin anew with each test, so folders named after them must too."""
    settings.DATA_DIR = tmp_path


@pytest.fixture
def model(editor: User) -> Model:
    made = Model.objects.create(owner=editor, name="Kept", classes=list(CLASSES))
    made.folder.mkdir(parents=True)
    (made.folder / "model.json").write_text("{}")
    return made


@pytest.fixture
def version(editor: User) -> DatasetVersion:
    return ready_version(editor)


def finish(export: ModelExport) -> None:
    """What a worker does, with the report a child would have written."""
    job = jobs.claim("cpu", "a worker")
    assert job is not None
    folder = jobs.prepare(job)
    (folder / "report.json").write_text(json.dumps(REPORT))
    (folder / "model.onnx").write_bytes(b"onnx")
    (folder / "log.txt").write_text("not for download")
    _finished(job)


def _finished(job: Job) -> None:
    last = Finished(result={})
    jobs.record(job, Started(facts={}))
    jobs.record(job, last)
    jobs.end(job, last=last, exit_status="0")


def test_an_export_reads_the_model_and_the_test_faces_asked_for(
    client_of: ClientOf, editor: User, model: Model, version: DatasetVersion
) -> None:
    client_of(editor).post(reverse("registry:export", args=[model.pk]), {"version": version.pk})
    export = ModelExport.objects.get()
    job = read_job(jobs.prepare(export.job))
    assert job == ExportJob(model=str(model.folder), data=str(version.folder))


def test_a_second_click_waits_for_the_first(editor: User, model: Model) -> None:
    assert exporting.start(editor, model, None) == exporting.start(editor, model, None)
    assert Job.objects.filter(kind="export").count() == 1


def test_the_report_is_kept_and_told_with_the_fastest_accurate_engine_first(
    client_of: ClientOf, editor: User, viewer: User, model: Model, version: DatasetVersion
) -> None:
    finish(exporting.start(editor, model, version))
    page = client_of(viewer).get(reverse("registry:model", args=[model.pk])).content.decode()
    assert "no probability differs by more than 3.0e-07" in page
    assert "3,153 faces of" in page
    assert page.index("openvino-bf16") < page.index("openvino-int8")
    assert "yes, the fastest" in page
    assert "no: too different" in page


def test_only_the_files_for_other_programs_are_downloaded(
    client_of: ClientOf, editor: User, model: Model
) -> None:
    url = reverse("registry:exported", args=[model.pk])
    assert client_of(editor).get(url).status_code == 404
    finish(exporting.start(editor, model, None))
    answer = client_of(editor).get(url)
    names = zipfile.ZipFile(io.BytesIO(answer.getvalue())).namelist()
    assert sorted(names) == ["model.onnx", "report.json"]


def test_a_data_set_deleted_before_the_start_is_named(
    editor: User, model: Model, version: DatasetVersion
) -> None:
    export = exporting.start(editor, model, version)
    version.delete()
    with pytest.raises(ValueError, match="was deleted"):
        exporting.prepare(export.job)


def test_a_model_goes_with_its_exports_but_not_under_one(
    editor: User, model: Model, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    export = exporting.start(editor, model, None)
    job = jobs.claim("cpu", "a worker")
    assert job is not None
    with pytest.raises(RefusedError, match="being exported"):
        services.delete(model, editor)
    folder = jobs.prepare(job)
    (folder / "report.json").write_text("{}")
    _finished(job)
    with django_capture_on_commit_callbacks(execute=True):
        services.delete(model, editor)
    assert not folder.exists()
    assert not Job.objects.filter(pk=export.job_id).exists()
