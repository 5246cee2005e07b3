"""A job's title is made of names that people gave, and is stored however long those are."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tests.synthetic_runs import CLASSES
from webapp.accounts.models import User
from webapp.jobs.models import Job
from webapp.labeling.services import start_batch
from webapp.registry import exporting
from webapp.registry.models import Model
from webapp.uploads.models import Upload

NAME = "n" * 200  # the longest that a model or a batch may have
pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def model(editor: User) -> Model:
    return Model.objects.create(owner=editor, name=NAME, classes=list(CLASSES))


def stored() -> str:
    title = Job.objects.get().title
    assert len(title) == Job._meta.get_field("title").max_length == 200
    return title


def test_an_export_of_a_model_with_a_long_name_is_queued(editor: User, model: Model) -> None:
    exporting.start(editor, model, None)
    assert stored().startswith("Export nnn")


def test_a_batch_with_a_long_name_is_queued(editor: User, model: Model) -> None:
    upload = Upload.objects.create(owner=editor, filename="photos.zip", size=0)
    upload.path.parent.mkdir(parents=True, exist_ok=True)
    upload.path.touch()
    Upload.objects.update(finished_at=timezone.now())
    start_batch(editor, name=NAME, model=model, upload=upload, flip_average=False, private=False)
    assert stored().startswith("Label nnn")
