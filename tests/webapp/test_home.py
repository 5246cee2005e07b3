"""The home page: what goes on with its curve, and what has ended since somebody looked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mmfrm.events import Failed
from tests.synthetic_runs import Story, play, queued_run, ready_version
from webapp.accounts.models import User
from webapp.experiments.sparks import HEIGHT, WIDTH, spark_of
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.news import services as news
from webapp.news.models import Look

STORY = Story(epochs=9, steps=24)


def test_what_ended_since_the_visit_before_is_new_and_a_reload_keeps_it_so(editor: User) -> None:
    start = timezone.now()
    assert news.look(editor, start) == start  # the first visit: nothing is new
    assert news.look(editor, start + timedelta(minutes=5)) == start
    later = start + timedelta(hours=9)
    assert news.look(editor, later) == start + timedelta(minutes=5)
    assert news.look(editor, later + timedelta(minutes=1)) == start + timedelta(minutes=5)


def test_the_page_names_what_ended_meanwhile_with_its_reason(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    client = client_of(editor)
    assert "Since you looked" not in client.get(reverse("home")).content.decode()
    version = ready_version(editor)
    run = queued_run(editor, version, name="over night")
    jobs.end(play(run, STORY, range(3)), last=Failed(message="The disk was full."), exit_status="1")
    Look.objects.update(at=timezone.now() - timedelta(hours=8), before=timezone.now() - timedelta(days=2))
    page = client.get(reverse("home")).content.decode()
    assert page.index("Since you looked") < page.index("over night") < page.index("The disk was full.")
    looked_at = Look.objects.get().at
    part = client.get(reverse("activity")).content.decode()
    assert "Since you looked" in part
    assert Look.objects.get().at == looked_at  # a page left open fetches itself: nobody looks
    Job.objects.update(finished_at=timezone.now() - timedelta(hours=1))
    Look.objects.update(at=timezone.now() - timedelta(minutes=11))
    again = client.get(reverse("home")).content.decode()
    assert "over night" in again
    assert "Since you looked" not in again


def test_what_never_began_has_an_end_too_and_hides_no_news(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    version = ready_version(editor)
    run = queued_run(editor, version, name="over night")
    jobs.end(play(run, STORY, range(3)), last=Failed(message="The disk was full."), exit_status="1")
    for number in range(12):
        waiting = queued_run(editor, version, name=f"not wanted {number}")
        assert jobs.stop(waiting.job, editor)
    assert not Job.objects.filter(finished_at=None).exists()
    Job.objects.filter(title__contains="not wanted").update(finished_at=None)  # as earlier versions left them
    assert "over night" in client_of(editor).get(reverse("home")).content.decode()


def test_a_running_training_has_a_line_of_its_losses(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    run = queued_run(editor, ready_version(editor), name="going")
    assert spark_of(run.job_id) is None
    job = play(run, STORY, range(1))
    early = spark_of(run.job_id)
    assert early is not None
    assert early.values == tuple(step.loss for step in STORY.steps_of(0))
    for epoch in (1, 2):
        jobs.record(job, STORY.epoch_end(epoch))
    spark = spark_of(run.job_id)
    assert spark is not None
    assert spark.values == pytest.approx([STORY.epoch_end(e).val["loss"] for e in range(3)])
    points = [tuple(map(float, point.split(","))) for point in spark.line.split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points[0][1] < points[-1][1]  # it fell: the page counts y downwards
    page = client_of(editor).get(reverse("home")).content.decode()
    assert "The validation loss went from" in page


def test_the_line_of_one_loss_again_and_again_is_flat(editor: User) -> None:
    run = queued_run(editor, ready_version(editor))
    job = play(run, STORY, range(0))
    for epoch in range(2):
        jobs.record(job, replace(STORY.epoch_end(0), epoch=epoch))
    spark = spark_of(run.job_id)
    assert spark is not None
    assert len({point.split(",")[1] for point in spark.line.split()}) == 1
