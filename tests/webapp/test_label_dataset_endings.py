"""A making of a data set of labelled faces that rests can be gone on with, or given up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.webapp.reviewing import make_batch, row, say
from webapp.accounts.models import User
from webapp.datasets import deleting, importing, revising, services
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.errors import RefusedError
from webapp.jobs.models import Job
from webapp.labeling import making
from webapp.labeling.models import LabelBatch, MadeDataset

ClientOf = Callable[[User], Client]
pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def batch(editor: User, client_of: ClientOf) -> LabelBatch:
    batch = make_batch(editor)
    say(client_of(editor), batch, row(0), row(1, 0))
    return batch


def left(user: User, batch: LabelBatch, state: str, dataset: Dataset | None = None) -> DatasetVersion:
    """A version of the batch's faces whose making is in this state."""
    version = making.make_dataset(user, batch, dataset=dataset)
    Job.objects.filter(pk=version.import_job.job_id).update(state=state)
    if state == Job.State.FINISHED:
        DatasetVersion.objects.filter(pk=version.pk).update(ready_at=timezone.now(), classes=["neutral"])
    return DatasetVersion.objects.select_related("dataset").get(pk=version.pk)


def address(name: str, version: DatasetVersion) -> str:
    return reverse(f"datasets:{name}", args=[version.dataset_id, version.number])


@pytest.mark.parametrize("state", Job.RESTING)
@pytest.mark.parametrize("number", [1, 2])
def test_a_making_that_rests_offers_to_go_on_and_not_to_read_a_file_that_there_is_not(
    editor: User, client_of: ClientOf, batch: LabelBatch, number: int, state: str
) -> None:
    client = client_of(editor)
    dataset = left(editor, batch, Job.State.FINISHED).dataset if number == 2 else None
    version = left(editor, batch, state, dataset)
    page = client.get(address("version", version)).content.decode()
    job = version.import_job.job
    if number == 2:  # not the finished version before it
        assert importing.url(job) == address("version", version)
    resume = reverse("jobs:resume", args=[job.pk])
    assert f'action="{resume}" data-when="failed stopped paused">' in page, "and it is not hidden"
    assert reverse("datasets:retry", args=[version.dataset_id]) not in page
    assert "2 faces of “Holiday”: reviewed" in page
    client.post(resume)
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED
    page = client.get(address("version", version)).content.decode()
    assert f'action="{resume}" data-when="failed stopped paused" hidden>' in page


@pytest.mark.parametrize("state", [*Job.RESTING, Job.State.QUEUED])
def test_a_further_version_that_was_not_finished_is_discarded_and_others_can_be_deleted_again(
    editor: User, client_of: ClientOf, batch: LabelBatch, state: str
) -> None:
    client, first = client_of(editor), left(editor, batch, Job.State.FINISHED)
    second = left(editor, batch, state, first.dataset)
    job = second.import_job.job
    third = left(editor, batch, Job.State.FINISHED, first.dataset)
    assert "Version 2 is not finished" in deleting.why_not(third)
    page = client.get(address("version", second)).content.decode()
    assert f'action="{address("discard", second)}"' in page
    assert "The other versions stay as they are." in page
    page = client.post(address("discard", second), follow=True).content.decode()
    assert "Version 2 was discarded." in page
    assert set(first.dataset.versions.all()) == {first, third}
    assert set(MadeDataset.objects.values_list("version", flat=True)) == {first.pk, third.pk}
    assert not Job.objects.filter(pk=job.pk).exists()
    assert deleting.why_not(third) == ""
    assert batch.predictions.exclude(verdict="").count() == 2, "what was said of the faces stays"


def test_one_that_a_worker_makes_is_not_discarded(editor: User, batch: LabelBatch) -> None:
    first = left(editor, batch, Job.State.FINISHED)
    second = left(editor, batch, Job.State.RUNNING, first.dataset)
    with pytest.raises(RefusedError, match=r"being made now\. Stop it first"):
        revising.discard(second)
    with pytest.raises(RefusedError, match="Only a version that was not finished"):
        revising.discard(first)


def test_the_only_version_goes_with_its_data_set(
    editor: User, client_of: ClientOf, batch: LabelBatch
) -> None:
    only = left(editor, batch, Job.State.STOPPED)
    page = client_of(editor).get(address("version", only)).content.decode()
    assert address("discard", only) not in page
    with pytest.raises(RefusedError, match=r"the only version\. Delete the data set instead"):
        revising.discard(only)
    services.delete(only.dataset)
    assert not Dataset.objects.exists()


def test_a_second_click_on_discard_finds_nothing_to_do(editor: User, batch: LabelBatch) -> None:
    first = left(editor, batch, Job.State.FINISHED)
    second = left(editor, batch, Job.State.STOPPED, first.dataset)
    assert revising.discard(DatasetVersion.objects.get(pk=second.pk)) == 0
    assert revising.discard(second) == 0
    assert list(first.dataset.versions.all()) == [first]
