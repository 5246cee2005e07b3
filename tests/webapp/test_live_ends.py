"""The ends of one's own jobs, as sockets tell them: each once to a page, and however many there are."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async

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
