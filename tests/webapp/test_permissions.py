"""Every address and every socket, tried by everybody, against the table in access_table."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as project
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse

from tests.synthetic_runs import ready_version
from tests.webapp.access_table import IN, OK, PEOPLE, SOCKETS, TABLE, Row, Rule
from tests.webapp.sockets import PATIENCE
from tests.webapp.world import World, make_world, people
from webapp.accounts.models import User
from webapp.accounts.permissions import may_create, may_edit, may_label
from webapp.datasets.models import Dataset
from webapp.live.routing import urlpatterns as socket_patterns

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def addresses(resolver: URLResolver, namespace: str = "") -> Iterator[str]:
    """The full name of every address."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from addresses(pattern, inner)
        else:
            assert pattern.name, f"{pattern} has no name"
            yield f"{namespace}{pattern.name}"


def test_the_table_holds_every_address_and_no_other() -> None:
    found = list(addresses(get_resolver()))
    assert len(found) == len(set(found))
    missing = sorted(set(found) - set(TABLE))
    assert not missing, f"say in tests/webapp/access_table.py who may open {missing}"
    assert not sorted(set(TABLE) - set(found))


def test_the_table_holds_every_socket_and_no_other() -> None:
    assert {str(pattern.pattern) for pattern in socket_patterns} == set(SOCKETS)


@pytest.mark.django_db
@pytest.mark.parametrize("private", [False, True], ids=["shared", "private"])
@pytest.mark.parametrize("name", TABLE)
def test_everybody_gets_the_answer_of_the_table(name: str, private: bool, editor: User) -> None:
    everybody = people(editor)
    administrator = everybody["administrator"]
    assert administrator is not None
    world = make_world(editor, administrator, private=private)
    for row in TABLE[name]:
        for who, user in everybody.items():
            with transaction.atomic():  # taken back, so that each person meets the same world
                got = answer(name, row, world, user)
                transaction.set_rollback(True)
            assert got == expected(row, who, private=private), f"{row.method} {name} by {who}"


@pytest.mark.django_db
@pytest.mark.parametrize("name", TABLE)
def test_methods_that_the_table_does_not_name_are_refused(
    name: str, editor: User, administrator: User
) -> None:
    world = make_world(editor, administrator, private=False)
    client = Client()
    client.force_login(administrator)
    declared = {row.method for row in TABLE[name]}
    for method in METHODS:
        if method not in declared:
            status = client.generic(method, address(name, TABLE[name][0], world)).status_code
            assert status == 405, f"{method} {name}"


@pytest.mark.django_db
def test_no_address_changes_anything_without_a_csrf_token(editor: User, administrator: User) -> None:
    world = make_world(editor, administrator, private=False)
    client = Client(enforce_csrf_checks=True)
    client.force_login(administrator)
    unsafe = [
        (n, row) for n, rows in TABLE.items() for row in rows if row.method not in ("GET", "HEAD", "OPTIONS")
    ]
    assert len(unsafe) > 30
    for name, row in unsafe:
        status = client.generic(row.method, address(name, row, world), headers=TUS).status_code
        assert status == 403, f"{row.method} {name}"


@pytest.mark.django_db
def test_an_owner_who_became_a_viewer_no_longer_changes_what_they_own(editor: User) -> None:
    dataset = ready_version(editor, "Faces").dataset
    assert may_edit(editor, dataset)
    User.objects.filter(pk=editor.pk).update(role="viewer")
    client = Client()
    client.force_login(User.objects.get(pk=editor.pk))
    assert client.get(reverse("datasets:edit", args=[dataset.pk])).status_code == 403
    assert client.get(reverse("datasets:delete", args=[dataset.pk])).status_code == 405
    assert client.post(reverse("datasets:delete", args=[dataset.pk])).status_code == 403


@pytest.mark.django_db
def test_reviewing_labels_is_for_every_editor_who_sees_them(
    editor: User, viewer: User, administrator: User
) -> None:
    shared = Dataset.objects.create(owner=administrator, name="Shared")
    private = Dataset.objects.create(owner=administrator, name="Private", private=True)
    assert may_label(editor, shared)
    assert not may_label(editor, private)
    assert not may_label(viewer, shared)
    editor.is_active = False
    assert not may_label(editor, shared)
    assert not may_create(editor)


# --- sockets ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("private", [False, True], ids=["shared", "private"])
@pytest.mark.parametrize("pattern", SOCKETS)
def test_everybody_gets_the_answer_of_the_table_from_sockets(
    pattern: str, private: bool, editor: User
) -> None:
    everybody = people(editor)
    administrator = everybody["administrator"]
    assert administrator is not None
    world = make_world(editor, administrator, private=private)
    path = "/" + pattern.replace("<int:job_id>", str(world.job))
    cookies = {who: session_of(user) for who, user in everybody.items()}
    answers = asyncio.run(_sockets(path, cookies))
    for who, got in answers.items():
        assert got == rule_for(SOCKETS[pattern], who, private=private), f"{pattern} by {who}"


@pytest.mark.django_db(transaction=True)
def test_only_pages_of_this_server_open_sockets(editor: User) -> None:
    cookie = session_of(editor)

    async def attempt(origin: bytes) -> str:
        socket = await opened("/ws/jobs/", cookie, origin)
        kind: str = (await socket.receive_output(timeout=PATIENCE))["type"]
        if kind == "websocket.accept":
            await leave(socket)
        return kind

    assert asyncio.run(attempt(b"http://localhost:8000")) == "websocket.accept"
    for elsewhere in (b"https://evil.example", b"http://localhost:9999", b"null", b""):
        assert asyncio.run(attempt(elsewhere)) == "websocket.close", elsewhere


# --- how the table is read ---------------------------------------------------------------------------


def rule_for(rule: Rule, who: str, *, private: bool) -> str | int:
    return (rule.private if private else rule.shared)[PEOPLE.index(who)]


def expected(row: Row, who: str, *, private: bool) -> str | int:
    wanted = rule_for(row.rule, who, private=private)
    return row.ok if wanted == OK else wanted


def address(name: str, row: Row, world: World) -> str:
    return reverse(name, kwargs={key: getattr(world, at) for key, at in row.arguments.items()})


def answer(name: str, row: Row, world: World, user: User | None) -> str | int:
    client = Client()
    if user is not None:
        client.force_login(user)
    where = address(name, row, world)
    # with one unknown field, since a form without any counts as not sent
    response = (
        client.post(where, {"nothing": "1"}, headers=TUS)
        if row.method == "POST"
        else client.generic(row.method, where, headers=TUS)
    )
    if response.status_code == 302 and response.headers["Location"].startswith(
        f"{reverse('accounts:sign_in')}?next="
    ):
        return IN
    return response.status_code


def session_of(user: User | None) -> bytes:
    if user is None:
        return b""
    client = Client()
    client.force_login(user)
    name = project.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}".encode()


async def _sockets(path: str, cookies: dict[str, bytes]) -> dict[str, str | int]:
    return {who: await _socket(path, cookie) for who, cookie in cookies.items()}


async def _socket(path: str, cookie: bytes) -> str | int:
    """OK when the server sends what was asked for; else the code it closes with."""
    socket = await opened(path, cookie, b"http://localhost:8000")
    assert (await socket.receive_output(timeout=PATIENCE))["type"] == "websocket.accept"
    said = await socket.receive_output(timeout=PATIENCE)
    if said["type"] == "websocket.close":
        code: int = said["code"]
        return code
    await leave(socket)
    return OK


async def leave(socket: Any) -> None:
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait(timeout=PATIENCE)


async def opened(path: str, cookie: bytes, origin: bytes) -> Any:
    """A browser's handshake, through everything that stands before the consumer."""
    from webapp.asgi import application

    scope = {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "headers": [(b"cookie", cookie), (b"origin", origin), (b"host", b"localhost:8000")],
        "subprotocols": [],
    }
    socket: Any = ApplicationCommunicator(application, scope)  # type: ignore[no-untyped-call]
    await socket.send_input({"type": "websocket.connect"})
    return socket
