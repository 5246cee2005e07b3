"""Sockets: what a browser gets, however late it comes or long it was away, and when it may no longer."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser

from tests.synthetic_runs import Story, queued_run, ready_version
from tests.webapp.sockets import opened
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs import services
from webapp.jobs.models import Job
from webapp.live import consumers

# Rows are written in other threads, which must see and be seen.
pytestmark = pytest.mark.django_db(transaction=True)

STORY = Story(epochs=60, steps=12)


@pytest.fixture
def run(editor: User) -> Run:
    return queued_run(editor, ready_version(editor))


@pytest.fixture
def job(run: Run) -> Job:
    claimed = services.claim("gpu", "gpu-1")
    assert claimed is not None
    services.record(claimed, STORY.started())
    return claimed


class Browser:
    """What a page keeps: its last seq, and the epochs it has seen."""

    def __init__(self, user: User, job: Job, after: int = 0) -> None:
        self.user, self.job, self.seq = user, job, after
        self.seqs: list[int] = []
        self.epochs: dict[int, dict[str, Any]] = {}

    async def open(self) -> None:
        self.socket = await opened(self.user, f"/ws/jobs/{self.job.pk}/?after={self.seq}")

    async def read_to(self, seq: int) -> None:
        """Until the event of that number has come."""
        while self.seq < seq:
            message = await self.socket.json()
            self.snapshot = message["job"]
            for event in message["events"]:
                self.seqs.append(event["seq"])
                self.seq = event["seq"]
                if event["kind"] == "epoch":
                    self.epochs[event["epoch"]] = event

    async def close(self) -> None:
        await self.socket.leave()


@sync_to_async
def tell(job: Job, epochs: range) -> int:
    """Record epochs as a worker does; answers the last seq."""
    for epoch in epochs:
        assert services.record(job, STORY.epoch_end(epoch))
    return last_seq(job)


def last_seq(job: Job) -> int:
    return Job.objects.values_list("last_seq", flat=True).get(pk=job.pk)


async def test_who_comes_late_gets_everything_in_order(editor: User, job: Job) -> None:
    last = await tell(job, range(5))
    browser = Browser(editor, job)
    await browser.open()
    await browser.read_to(last)
    assert browser.seqs == list(range(1, last + 1))
    assert sorted(browser.epochs) == [0, 1, 2, 3, 4]
    assert browser.snapshot["state"] == "running"
    assert browser.epochs[4]["val"]["accuracy"] == STORY.epoch_end(4).val["accuracy"]
    await browser.close()


async def test_who_has_the_points_gets_only_what_is_new(editor: User, job: Job) -> None:
    last = await tell(job, range(3))
    browser = Browser(editor, job, after=last)
    await browser.open()
    last = await tell(job, range(3, 5))
    await browser.read_to(last)
    assert sorted(browser.epochs) == [3, 4]
    await browser.close()


async def test_events_arrive_while_the_page_is_open(editor: User, job: Job) -> None:
    browser = Browser(editor, job)
    await browser.open()
    for epoch in range(3):
        last = await tell(job, range(epoch, epoch + 1))
        await browser.read_to(last)
        assert epoch in browser.epochs
    await browser.close()


async def test_away_for_fifty_events_misses_none(editor: User, job: Job) -> None:
    browser = Browser(editor, job)
    await browser.open()
    await browser.read_to(await tell(job, range(2)))
    await browser.close()
    last = await tell(job, range(2, 52))
    await browser.open()
    await browser.read_to(last)
    assert sorted(browser.epochs) == list(range(52))
    assert browser.seqs == list(range(1, last + 1))
    await browser.close()


async def test_an_epoch_told_again_reaches_who_already_had_it(editor: User, job: Job) -> None:
    browser = Browser(editor, job)
    await browser.open()
    await browser.read_to(await tell(job, range(3)))
    before = browser.epochs[2]["seq"]
    await browser.read_to(await tell(job, range(2, 3)))
    assert browser.epochs[2]["seq"] > before
    await browser.close()


async def test_more_than_a_message_holds_comes_in_several(
    editor: User, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "PAGE", 4)
    last = await tell(job, range(9))
    browser = Browser(editor, job)
    await browser.open()
    await browser.read_to(last)
    assert browser.seqs == list(range(1, last + 1))
    await browser.close()


async def test_lost_hints_cost_seconds_and_no_points(
    editor: User, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(services, "hint", lambda job: None)
    browser = Browser(editor, job)
    await browser.open()
    await browser.read_to(await sync_to_async(last_seq)(job))
    await browser.read_to(await tell(job, range(2)))
    assert sorted(browser.epochs) == [0, 1]
    await browser.close()


async def test_a_layer_that_is_down_closes_no_socket(
    editor: User, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from channels.layers import get_channel_layer
    from redis.exceptions import ConnectionError as RedisGone

    async def refuse(*args: object) -> None:
        raise RedisGone("no such socket")

    monkeypatch.setattr(get_channel_layer(), "group_add", refuse)
    monkeypatch.setattr(get_channel_layer(), "group_send", refuse)
    monkeypatch.setattr(consumers, "POLL_SECONDS", 0.2)
    browser = Browser(editor, job)
    await browser.open()
    await browser.read_to(await tell(job, range(2)))
    assert sorted(browser.epochs) == [0, 1]
    await browser.close()


async def test_permission_taken_away_ends_the_watching(
    editor: User, viewer: User, run: Run, job: Job
) -> None:
    browser = Browser(viewer, job)
    await browser.open()
    await browser.read_to(await tell(job, range(1)))
    await sync_to_async(Run.objects.filter(pk=run.pk).update)(private=True)
    await tell(job, range(1, 2))
    assert await browser.socket.close_code() == consumers.NO_PERMISSION
    assert sorted(browser.epochs) == [0]


async def test_a_stranger_sees_nothing_of_a_private_run(viewer: User, run: Run, job: Job) -> None:
    await sync_to_async(Run.objects.filter(pk=run.pk).update)(private=True)
    socket = await opened(viewer, f"/ws/jobs/{job.pk}/")
    assert await socket.close_code() == consumers.NO_PERMISSION


async def test_nobody_is_told_whether_a_job_exists(viewer: User) -> None:
    socket = await opened(viewer, "/ws/jobs/999/")
    assert await socket.close_code() == consumers.NO_PERMISSION


async def test_strangers_are_turned_away(job: Job) -> None:
    for address in (f"/ws/jobs/{job.pk}/", "/ws/jobs/"):
        socket = await opened(AnonymousUser(), address)
        assert await socket.close_code() == consumers.NO_PERMISSION


async def test_lists_hear_of_any_job(editor: User, job: Job) -> None:
    socket = await opened(editor, "/ws/jobs/")
    assert await socket.json() == {"changed": True}
    await asyncio.sleep(1.1)
    await sync_to_async(services.pause)(job, editor)
    assert await socket.json() == {"changed": True}
    await socket.leave()
