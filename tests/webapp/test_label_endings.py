"""A batch offers what can be done with it as it stands, and says why there is no more and what helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from mmfrm.events import Failed, Finished, Started, Stopped
from tests.webapp import reviewing
from webapp.accounts.models import User
from webapp.jobs import services as jobs
from webapp.labeling.models import LabelBatch

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
FOR_ROWS, FOR_FACES = ("csv", "jsonl"), ("zip", "review", "agreement")


@pytest.fixture
def batch(editor: User, settings: Any, tmp_path: Path) -> LabelBatch:
    """No row is there yet."""
    settings.DATA_DIR = tmp_path
    batch = reviewing.make_batch(editor)
    batch.predictions.all().delete()
    return batch


def end(batch: LabelBatch, last: Failed | Finished | Stopped) -> None:
    job = jobs.claim("cpu", "a worker")
    assert job is not None
    assert jobs.record(job, Started())
    if isinstance(last, Stopped):
        jobs.stop(job, by=batch.owner)
    else:
        assert jobs.record(job, last)
    jobs.end(job, last=last, exit_status="")
    batch.job.refresh_from_db()


def page_of(client: Client, batch: LabelBatch, name: str = "batch") -> str:
    return client.get(reverse(f"labeling:{name}", args=[batch.pk])).content.decode()


def offered(page: str, batch: LabelBatch) -> set[str]:
    names = (*FOR_ROWS, *FOR_FACES)
    return {name for name in names if f'href="{reverse(f"labeling:{name}", args=[batch.pk])}"' in page}


def test_a_batch_that_failed_before_a_face_says_why_and_offers_nothing_that_needs_faces(
    batch: LabelBatch, editor: User, client_of: ClientOf
) -> None:
    end(batch, Failed(message="smiles.zip is torn. Upload it again.", resumable=False))
    page = page_of(client_of(editor), batch)
    assert offered(page, batch) == set()
    assert "smiles.zip is torn. Upload it again. Label the photos anew" in page
    assert reverse("labeling:new") in page
    assert reverse("jobs:resume", args=[batch.job_id]) not in page, "it would fail alike"


def test_what_can_be_mended_can_be_resumed(batch: LabelBatch, editor: User, client_of: ClientOf) -> None:
    end(batch, Failed(message="The disk is full. Free some space.", resumable=True))
    page = page_of(client_of(editor), batch)
    assert "The disk is full. Free some space. Then resume it." in page
    assert reverse("jobs:resume", args=[batch.job_id]) in page


def test_a_batch_stopped_before_a_face_can_only_be_resumed(
    batch: LabelBatch, editor: User, client_of: ClientOf
) -> None:
    end(batch, Stopped(reason="order"))
    page = page_of(client_of(editor), batch)
    assert batch.job.state == "stopped"
    assert offered(page, batch) == set()
    assert "It was stopped before a face was labelled. Resume it" in page
    assert reverse("jobs:resume", args=[batch.job_id]) in page


def test_what_was_labelled_before_a_failure_is_still_of_use(
    batch: LabelBatch, editor: User, client_of: ClientOf
) -> None:
    batch.predictions.create(
        index=0, file="a.png", probabilities=[1, 0, 0], label=0, confidence=1, offset=0, length=1
    )
    end(batch, Failed(message="An unexpected error.", resumable=False))
    client = client_of(editor)
    page = page_of(client, batch)
    assert offered(page, batch) == {*FOR_ROWS, *FOR_FACES}
    assert reverse("jobs:resume", args=[batch.job_id]) in page, "what is done need not be done again"
    assert page_of(client, batch, "review").count("Nothing left to review") == 1


@pytest.mark.parametrize(
    ("faces", "said"),
    [(0, "No face was found in any of the 2 photos."), (None, "None of the 2 files gave a face")],
)
def test_a_finished_batch_without_a_face_offers_its_rows_and_a_remedy(
    batch: LabelBatch, editor: User, client_of: ClientOf, faces: int | None, said: str
) -> None:
    for index in range(2):
        batch.predictions.create(index=index, file=f"{index}.jpg", faces=faces, error="no face found")
    end(batch, Finished(result={"rows": 2, "errors": 2, "images_per_second": 9.0, "engine": "torch"}))
    client = client_of(editor)
    page = page_of(client, batch)
    assert offered(page, batch) == set(FOR_ROWS)
    assert said in page
    assert "class-chart" not in page
    assert "No face to review" in page_of(client, batch, "review")


def test_the_first_faces_that_come_bring_what_can_be_done_with_them(
    batch: LabelBatch, editor: User, client_of: ClientOf
) -> None:
    client = client_of(editor)
    assert offered(page_of(client, batch), batch) == set()
    assert "further faces appear here by themselves" in page_of(client, batch, "review")
    batch.predictions.create(
        index=0, file="a.png", probabilities=[1, 0, 0], label=0, confidence=1, offset=0, length=1
    )
    part = page_of(client, batch, "faces")
    assert offered(part, batch) == {*FOR_ROWS, *FOR_FACES}
    assert 'id="batch-actions" hx-swap-oob="true"' in part
