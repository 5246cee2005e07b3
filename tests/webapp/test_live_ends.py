"""The ends of one's own jobs, as sockets tell them: each once to a page, and however many there are."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from mmfrm.events import Finished
from tests.synthetic_runs import queued_run, ready_version
from tests.webapp.sockets import opened
from webapp.accounts.models import User
from webapp.jobs import services
from webapp.jobs.models import Job
from webapp.live import consumers

# Rows are written in other threads, which must see and be seen.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def job(editor: User) -> Job:
    queued_run(editor, ready_version(editor))
    claimed = services.claim("gpu", "gpu-1")
    assert claimed is not None
    return claimed


async def test_the_ends_of_ones_own_jobs_are_told_at_once_and_later_and_never_twice_to_a_page(
    editor: User, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "ENDS_POLL_SECONDS", 0.1)  # these tests have no Redis
    other = await sync_to_async(User.objects.create_user)("otto", role="editor")
    mine, theirs = await opened(editor, "/ws/ends/"), await opened(other, "/ws/ends/")
    first = await mine.json()
    assert first["ended"] == []
    assert (await theirs.json())["ended"] == []
    await sync_to_async(services.end)(job, last=Finished(), exit_status="0")
    (end,) = (await mine.json())["ended"]
    assert (end["title"], end["state"], end["key"]) == (job.title, "finished", f"{job.pk}.1")
    assert await mine.receive_nothing(0.5)
    assert await theirs.receive_nothing()
    await mine.leave()
    await theirs.leave()
    late = await opened(editor, f"/ws/ends/?after={quote(first['until'])}")  # was away meanwhile
    assert [end["key"] for end in (await late.json())["ended"]] == [f"{job.pk}.1"]
    await late.leave()
    fresh = await opened(editor, "/ws/ends/?after=nonsense")  # never was here
    assert (await fresh.json())["ended"] == []
    await fresh.leave()


@pytest.mark.parametrize("apart", [timedelta(minutes=1), timedelta(0)], ids=["over a night", "at once"])
async def test_many_ends_come_in_several_messages_and_none_is_missed(apart: timedelta, editor: User) -> None:
    first = timezone.now() - timedelta(hours=8)
    rows = [
        Job(kind="estimate", queue="gpu", owner=editor, title=f"run {number}", state="finished", attempt=1,
            finished_at=first + number * apart)
        for number in range(45)
    ]  # fmt: skip
    await Job.objects.abulk_create(rows)
    socket = await opened(editor, f"/ws/ends/?after={quote(first.isoformat())}")
    messages = [await socket.json() for _ in range(3)]
    assert [len(message["ended"]) for message in messages] == [20, 20, 5]
    assert [end["title"] for message in messages for end in message["ended"]] == [row.title for row in rows]
    assert messages[0]["until"] == (first + 19 * apart).isoformat()
    assert await socket.receive_nothing(0.5)
    await socket.leave()
    late = await opened(editor, f"/ws/ends/?after={quote(messages[0]['until'])}")  # left after the first
    told: set[str] = set()
    while rows[-1].title not in told:
        told |= {end["title"] for end in (await late.json())["ended"]}
    assert {row.title for row in rows[20:]} <= told
    await late.leave()
