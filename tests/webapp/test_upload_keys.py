"""Upload keys: a program sends files in somebody's name, and can do nothing else with what it has."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.webapp.test_tus import PIECE, TUS, announce
from webapp.accounts.models import User
from webapp.uploads import keys
from webapp.uploads.models import Upload, UploadKey

Clients = Callable[[User], Client]


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path, db: None) -> None:
    settings.DATA_DIR = tmp_path
    settings.DISK_RESERVE_BYTES = 0


def program(key: str) -> Client:
    """A client as strict as the real server, without a session, with a key."""
    return Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {key}"})


def test_a_program_with_a_key_sends_a_file_which_its_owner_then_finds(
    editor: User, client_of: Clients
) -> None:
    browser = client_of(editor)
    shown = browser.post(reverse("uploads:key"))
    assert shown["Cache-Control"] == "no-store"
    found = re.search(r'id="upload-key" value="([\w-]{43})"', shown.content.decode())
    assert found is not None
    key = found.group(1)
    assert key not in browser.get(reverse("uploads:key")).content.decode(), "it is shown once"
    assert key not in str(UploadKey.objects.values_list()), "and not kept"
    client, data = program(key), b"faces" * 1000
    url = str(announce(client, len(data))["Location"]).removeprefix("http://testserver")
    for start in (0, 3000):
        piece = data[start : start + 3000]
        answer = client.patch(url, piece, content_type=PIECE, headers={**TUS, "Upload-Offset": str(start)})
        assert answer.status_code == HTTPStatus.NO_CONTENT
    assert client.head(url, headers=TUS)["Upload-Offset"] == str(len(data))
    [upload] = Upload.objects.all()
    assert upload.owner == editor
    assert upload.path.read_bytes() == data
    assert "faces.zip" in browser.get(reverse("datasets:new")).content.decode()
    assert "last used" in browser.get(reverse("uploads:key")).content.decode()


def test_a_key_opens_no_other_address(editor: User) -> None:
    client = program(keys.make(editor))
    for name in ("home", "datasets:index", "uploads:key", "accounts:account"):
        assert client.get(reverse(name)).status_code == HTTPStatus.FOUND, "to the sign-in page"
    assert client.post(reverse("uploads:key")).status_code == HTTPStatus.FORBIDDEN


def test_a_key_ends_with_the_next_with_its_owner_and_when_it_is_ended(
    editor: User, client_of: Clients
) -> None:
    first = keys.make(editor)
    second = keys.make(editor)
    assert announce(program(first), 5).status_code == HTTPStatus.UNAUTHORIZED
    assert announce(program(second), 5).status_code == HTTPStatus.CREATED
    User.objects.filter(pk=editor.pk).update(role="viewer")
    assert announce(program(second), 5).status_code == HTTPStatus.FORBIDDEN
    User.objects.filter(pk=editor.pk).update(role="editor", is_active=False)
    assert announce(program(second), 5).status_code == HTTPStatus.UNAUTHORIZED
    User.objects.filter(pk=editor.pk).update(is_active=True)
    for said in ("The upload key has ended.", "There was no upload key."):  # a double click
        answer = client_of(editor).post(reverse("uploads:revoke_key"), follow=True)
        assert said in answer.content.decode()
    refused = announce(program(second), 5)
    assert refused.status_code == HTTPStatus.UNAUTHORIZED
    assert "Make a new one" in refused.content.decode()


def test_a_wrong_key_is_not_helped_by_a_session_nor_a_session_without_its_token(editor: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(editor)
    assert announce(client, 5).status_code == HTTPStatus.FORBIDDEN, "cross-site"
    headers = {**TUS, "Upload-Length": "5", "authorization": "Bearer wrong"}
    assert client.post("/uploads/", headers=headers).status_code == HTTPStatus.UNAUTHORIZED
    headers["authorization"] = "Basic d3Jvbmc6d3Jvbmc="
    assert client.post("/uploads/", headers=headers).status_code == HTTPStatus.FORBIDDEN
    assert not Upload.objects.exists()


def test_nobody_reaches_another_persons_upload_with_a_key(editor: User, administrator: User) -> None:
    url = str(announce(program(keys.make(editor)), 5)["Location"]).removeprefix("http://testserver")
    other = program(keys.make(administrator))
    assert other.head(url, headers=TUS).status_code == HTTPStatus.NOT_FOUND
    assert other.delete(url, headers=TUS).status_code == HTTPStatus.NOT_FOUND
