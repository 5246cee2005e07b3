"""Sockets end with the session that opened them, and tell nothing more."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse

from mmfrm.events import Finished
from tests.synthetic_runs import Story, queued_run, ready_version
from tests.webapp.sockets import PATIENCE, Socket, opened
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs import services
from webapp.jobs.models import Job
from webapp.live import consumers

# Rows are written in other threads, which must see and be seen.
pytestmark = pytest.mark.django_db(transaction=True)

STORY = Story(epochs=3, steps=12)


@pytest.fixture
def job(editor: User, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setattr(consumers, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(consumers, "ENDS_POLL_SECONDS", 0.1)
    run = queued_run(editor, ready_version(editor))
    Run.objects.filter(pk=run.pk).update(private=True)
    claimed = services.claim("gpu", "gpu-1")
    assert claimed is not None
    services.record(claimed, STORY.started())
    return claimed


def sign_out(client: Client, user: User) -> None:
    client.post(reverse("accounts:sign_out"))


def change_the_password(client: Client, user: User) -> None:
    """By another browser, say because this one was stolen."""
    user.set_password("another long pass phrase")
    user.save()


def close_the_account(client: Client, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def sign_in_as_another(client: Client, user: User) -> None:
    client.force_login(User.objects.create_user("otto", role="editor"))


async def heard_until_closed(socket: Socket) -> list[dict[str, Any]]:
    """What still comes, then the server's goodbye with the code that says why."""
    heard: list[dict[str, Any]] = []
    for _ in range(20):
        message = await socket.receive_output(PATIENCE)
        if message["type"] == "websocket.close":
            assert message["code"] == consumers.NO_PERMISSION
            return heard
        heard.append(message)
    raise AssertionError("It goes on telling.")


@pytest.mark.parametrize("address", ["/ws/jobs/{pk}/", "/ws/ends/", "/ws/jobs/"])
@pytest.mark.parametrize("end", [sign_out, change_the_password, close_the_account, sign_in_as_another])
async def test_a_socket_ends_with_its_session(
    end: Callable[[Client, User], None], address: str, editor: User, job: Job
) -> None:
    client = Client()
    await sync_to_async(client.force_login)(editor)
    socket = await opened(client, address.format(pk=job.pk))
    await socket.json()
    await sync_to_async(end)(client, editor)
    await sync_to_async(services.record)(job, STORY.epoch_end(0))
    await sync_to_async(services.end)(job, last=Finished(), exit_status="0")
    heard = await heard_until_closed(socket)
    told = " ".join(message["text"] for message in heard)
    assert "epoch" not in told
    assert "finished" not in told
    assert await socket.receive_nothing(0.3)


async def test_another_session_of_the_same_person_goes_on(editor: User, job: Job) -> None:
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        await sync_to_async(client.force_login)(editor)
    socket = await opened(here, f"/ws/jobs/{job.pk}/")
    await socket.json()
    await sync_to_async(sign_out)(elsewhere, editor)
    await sync_to_async(services.record)(job, STORY.epoch_end(0))
    assert [event["kind"] for event in (await socket.json())["events"]] == ["epoch"]
    await socket.leave()
