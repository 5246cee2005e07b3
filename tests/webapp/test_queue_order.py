"""Waiting jobs are put where somebody drops them, and workers take them in that order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest
from django.test import Client

from tests.synthetic_runs import queued_run, ready_version
from webapp.accounts.models import User
from webapp.jobs import ordering, services
from webapp.jobs.models import Job, JobEvent


@pytest.fixture
def waiting(editor: User) -> list[Job]:
    version = ready_version(editor)
    return [queued_run(editor, version, name=name).job for name in "abcd"]


def titles() -> str:
    rows = Job.objects.filter(queue="gpu", state=Job.State.QUEUED).order_by("position", "id")
    return "".join(rows.values_list("title", flat=True))


@pytest.mark.parametrize(
    ("moved", "before", "expected"),
    [("d", "a", "dabc"), ("a", "d", "bcad"), ("a", None, "bcda"), ("c", "b", "acbd"), ("b", None, "acdb")],
)
def test_a_job_goes_where_it_is_dropped(
    editor: User, waiting: list[Job], moved: str, before: str | None, expected: str
) -> None:
    by_name = {job.title: job for job in waiting}
    assert ordering.place(by_name[moved], by=editor, before=by_name[before].pk if before else None)
    assert titles() == expected
    note = JobEvent.objects.get(job=by_name[moved], kind="moved")
    assert note.payload == {"up": expected.index(moved) < "abcd".index(moved), "by": str(editor)}


def test_any_order_can_be_made_and_workers_keep_to_it(editor: User, waiting: list[Job]) -> None:
    by_name = {job.title: job for job in waiting}
    for wished in permutations("abcd"):
        for name in wished:
            ordering.place(by_name[name], by=editor, before=None)
        assert titles() == "".join(wished)
    taken = [services.claim("gpu", "gpu-1") for _ in waiting]
    assert [job.title for job in taken if job] == list("dcba")


def test_later_jobs_come_last_after_any_sorting(editor: User, waiting: list[Job]) -> None:
    ordering.place(waiting[0], by=editor, before=None)
    queued_run(editor, ready_version(editor, "more"), name="e")
    assert titles() == "bcdae"


def test_a_place_beside_what_no_longer_waits_changes_nothing(editor: User, waiting: list[Job]) -> None:
    services.stop(waiting[1], editor)
    assert not ordering.place(waiting[3], by=editor, before=waiting[1].pk)
    assert not ordering.place(waiting[1], by=editor, before=None)
    assert not ordering.place(waiting[0], by=editor, before=waiting[0].pk)
    assert not ordering.place(waiting[3], by=editor, before=None)
    assert titles() == "acd"


def test_a_drop_answers_the_queue_as_it_now_is(
    editor: User, client_of: Callable[[User], Client], waiting: list[Job]
) -> None:
    answer = client_of(editor).post(f"/jobs/{waiting[3].pk}/place/", {"before": waiting[0].pk})
    page = answer.content.decode()
    assert answer.status_code == 200
    places = [page.index(f'data-waiting="{job.pk}"') for job in waiting]
    assert places[3] < places[0] < places[1] < places[2]
