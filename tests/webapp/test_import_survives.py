"""An import that gets further with each attempt survives any number of deaths; another is given up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from mmfrm.control import Control
from mmfrm.data.ingest import ingest
from mmfrm.events import Kept, Started
from mmfrm.jobs import ImportJob, read_job
from tests.mmfrm.sources import png, write_zip
from tests.webapp.test_datasets import uploaded
from tests.webapp.work import do_next
from webapp.accounts.models import User
from webapp.datasets import services
from webapp.datasets.models import Dataset
from webapp.jobs import services as jobs
from webapp.jobs.models import Job, JobEvent

DEATHS = settings.JOB_MOST_LOSSES + 3


@pytest.fixture
def dataset(editor: User, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Forty faces, of which two are read at a time."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    settings.DISK_RESERVE_BYTES = 0
    monkeypatch.setattr("mmfrm.data.ingest.CHUNK_ITEMS", 2)
    monkeypatch.setattr("mmfrm.data.ingest.COMMIT_SECONDS", 0.0)
    files = {f"{('fear', 'anger')[i % 2]}/{i:02}.png": png(i) for i in range(40)}
    source = write_zip(tmp_path / "faces.zip", files)
    [made] = services.import_uploads(editor, upload_ids=[uploaded(editor, source).pk], name="", layout="auto")
    return made


def attempt() -> Job:
    job = jobs.claim("cpu", "a worker")
    assert job is not None
    assert jobs.record(job, Started())
    return job


def lose(job: Job) -> None:
    jobs.reap(timezone.now() + timedelta(seconds=settings.JOB_LOST_SECONDS + 60))
    job.refresh_from_db()


def die_once_something_is_kept(job: Job) -> int:
    """Work as the child does until the first news of something kept; how far that is."""
    folder = jobs.prepare(job)
    file = read_job(folder)
    assert isinstance(file, ImportJob)
    for event in ingest(folder, file, Control()):
        assert jobs.record(job, event)
        if isinstance(event, Kept):
            return event.done  # and the import is gone, in the middle of its work
    raise AssertionError("it ended by itself")


@pytest.mark.django_db
def test_killed_more_often_than_is_borne_it_goes_on_where_it_was(dataset: Dataset) -> None:
    done = []
    for _ in range(DEATHS):
        job = attempt()
        done.append(die_once_something_is_kept(job))
        lose(job)
        assert (job.state, job.losses) == (Job.State.QUEUED, 1)
    assert done == sorted(set(done)), "each attempt got further"
    assert not JobEvent.objects.filter(kind="kept").exists(), "its log is for people"
    assert do_next().state == Job.State.FINISHED
    assert dataset.versions.get().images == 40


@pytest.mark.django_db
def test_killed_again_and_again_before_anything_is_kept_it_is_given_up(dataset: Dataset) -> None:
    for _ in range(settings.JOB_MOST_LOSSES + 1):
        job = attempt()
        lose(job)
    assert job.state == Job.State.FAILED
    assert "without a checkpoint between" in job.reason
