"""Pages that every open tab asks for every second ask the database no more often where much waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.synthetic_runs import Story, play, queued_run, ready_version
from webapp import home
from webapp.accounts.models import User
from webapp.datasets import services as datasets
from webapp.datasets.models import DatasetVersion
from webapp.experiments.models import Run
from webapp.experiments.selectors import start_choices
from webapp.jobs import roster, selectors
from webapp.jobs import services as jobs
from webapp.jobs.models import Job

Clients = Callable[[User], Client]


@pytest.fixture
def version(editor: User) -> DatasetVersion:
    return ready_version(editor)


def add(version: DatasetVersion, count: int) -> None:
    """So many more trainings and imports that wait."""
    for number in range(count):
        queued_run(version.made_by, version, name=f"run {number}")
        datasets.draw(version.made_by)


def rest(version: DatasetVersion, count: int) -> None:
    """So many more that were stopped."""
    add(version, count)
    for job in Job.objects.filter(state=Job.State.QUEUED):
        jobs.stop(job, version.made_by)


def queries_of(client: Client, page: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(reverse(page)).status_code == 200
    return [query["sql"] for query in queries]


@pytest.mark.parametrize(("page", "more"), [("jobs:queue", add), ("activity", add), ("activity", rest)])
def test_twelve_jobs_take_no_more_queries_than_two(
    editor: User,
    client_of: Clients,
    version: DatasetVersion,
    page: str,
    more: Callable[[DatasetVersion, int], None],
) -> None:
    client = client_of(editor)
    more(version, 1)
    few = queries_of(client, page)
    more(version, 5)
    assert len(queries_of(client, page)) <= len(few)
    assert not any('"config"' in sql for sql in few), "a list shows no settings of runs"


def test_the_home_page_reads_no_more_of_what_waits_than_it_shows(
    editor: User, version: DatasetVersion
) -> None:
    add(version, 12)
    waiting = home.activity(editor, timezone.now()).waiting
    assert len(waiting) == 2 * home.WAITING
    assert [entry.job.title for entry in waiting[:8]] == [f"run {number}" for number in range(8)]


def test_each_that_waits_says_why_as_its_own_page_does(editor: User, version: DatasetVersion) -> None:
    add(version, 3)
    roster.seen(name="gpu-1@lab", queue="gpu", host="lab", pid=1, facts={})
    training, other = selectors.queues(editor)
    assert [entry.why for entry in training.waiting] == [
        "Next, as soon as a worker is free.", "1 ahead of it in the queue.", "2 ahead of it in the queue."
    ]  # fmt: skip
    assert {entry.why for entry in other.waiting} == {"No worker of the everything else queue is running."}
    for entry in training.waiting + other.waiting:
        assert entry.why == selectors.why_waiting(Job.objects.get(pk=entry.job.pk))


def test_what_any_job_works_for_is_fetched_along() -> None:
    """Who adds a kind of job with a table of its own adds it to the list, too."""
    kinds = {relation.name for relation in Job._meta.related_objects if relation.one_to_one}
    assert {path.split("__")[0] for path in selectors.SUBJECTS} == kinds


def test_what_a_run_may_begin_with_is_read_by_name_alone(editor: User, version: DatasetVersion) -> None:
    run = queued_run(editor, version, name="the first")
    play(run, Story(epochs=1, steps=12), range(1))
    assert Run.objects.get().best
    with CaptureQueriesContext(connection) as queries:
        choices = start_choices(editor)
    assert choices == [("", "Scratch"), ("Best weights of runs", [(f"run:{run.pk}", "the first")])]
    assert not any('"config"' in query["sql"] for query in queries)
