"""The tus protocol: what is sent arrives whole, whatever happens on the way, and only for its owner."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from webapp.accounts.models import User
from webapp.uploads import services
from webapp.uploads.models import Upload
from webapp.uploads.services import UploadError

Response = Any  # the test client's response class exists in its stubs only
Clients = Callable[[User], Client]
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = "application/offset+octet-stream"


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    settings.DISK_RESERVE_BYTES = 0


@pytest.fixture
def client(editor: User, client_of: Clients) -> Client:
    return client_of(editor)


def announce(client: Client, size: int, name: str = "faces.zip") -> Response:
    metadata = f"filename {base64.b64encode(name.encode()).decode()},filetype"
    headers = {**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata}
    return client.post("/uploads/", headers=headers)


def made(client: Client, size: int, name: str = "faces.zip") -> str:
    response = announce(client, size, name)
    assert response.status_code == HTTPStatus.CREATED
    return str(response["Location"]).removeprefix("http://testserver")


def send(client: Client, url: str, data: bytes, offset: int) -> Response:
    headers = {**TUS, "Upload-Offset": str(offset)}
    return client.patch(url, data, content_type=PIECE, headers=headers)


def offset_of(client: Client, url: str) -> int:
    response = client.head(url, headers=TUS)
    assert response.status_code == HTTPStatus.OK
    return int(response["Upload-Offset"])


def row(url: str) -> Upload:
    return Upload.objects.get(pk=url.rsplit("/", 1)[1])


def test_a_file_sent_in_pieces_arrives_whole_and_says_so(client: Client) -> None:
    data = random.Random(0).randbytes(300_000)
    url = made(client, len(data))
    for start in range(0, len(data), 70_000):
        response = send(client, url, data[start : start + 70_000], start)
        assert response.status_code == HTTPStatus.NO_CONTENT
        assert "Upload-Expires" in response
    upload = row(url)
    assert upload.is_finished
    assert upload.filename == "faces.zip"
    assert hashlib.sha256(upload.path.read_bytes()).digest() == hashlib.sha256(data).digest()


def test_the_server_says_what_it_speaks(client: Client) -> None:
    response = client.options("/uploads/")
    assert response.status_code == HTTPStatus.NO_CONTENT
    assert response["Tus-Version"] == "1.0.0"
    assert set(response["Tus-Extension"].split(",")) == {"creation", "termination", "expiration"}
    assert int(response["Tus-Max-Size"]) > 0


def test_another_version_of_the_protocol_is_refused_with_ours(client: Client) -> None:
    response = client.post("/uploads/", headers={"Tus-Resumable": "0.2.2", "Upload-Length": "5"})
    assert response.status_code == HTTPStatus.PRECONDITION_FAILED
    assert response["Tus-Version"] == "1.0.0"


@pytest.mark.parametrize("length", ["", "-1", "five", "1.5", "²"])
def test_a_length_that_is_no_number_is_refused(client: Client, length: str) -> None:
    response = client.post("/uploads/", headers={**TUS, "Upload-Length": length})
    assert response.status_code == HTTPStatus.BAD_REQUEST


def test_a_wrong_offset_is_a_conflict_and_changes_nothing(client: Client) -> None:
    url = made(client, 100)
    send(client, url, b"a" * 40, 0)
    for wrong in (0, 39, 41, 100):
        assert send(client, url, b"b" * 10, wrong).status_code == HTTPStatus.CONFLICT
    assert row(url).path.read_bytes() == b"a" * 40


def test_more_bytes_than_announced_are_refused(client: Client) -> None:
    url = made(client, 10)
    assert send(client, url, b"x" * 11, 0).status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert offset_of(client, url) == 0


def test_bytes_of_another_type_are_refused(client: Client) -> None:
    url = made(client, 10)
    headers = {**TUS, "Upload-Offset": "0"}
    response = client.patch(url, b"0123456789", content_type="application/json", headers=headers)
    assert response.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def test_while_one_connection_writes_another_is_turned_away(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "PATIENCE", 0.05)
    url = made(client, 10)
    with row(url).path.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert send(client, url, b"0123456789", 0).status_code == HTTPStatus.LOCKED
        assert client.head(url, headers=TUS).status_code == HTTPStatus.LOCKED
    assert send(client, url, b"0123456789", 0).status_code == HTTPStatus.NO_CONTENT


def test_a_connection_that_is_just_ending_is_waited_for(client: Client) -> None:
    url = made(client, 10)
    with row(url).path.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        ending = threading.Timer(0.2, fcntl.flock, (other, fcntl.LOCK_UN))
        ending.start()
        assert offset_of(client, url) == 0
        ending.join()


def test_the_files_length_is_believed_rather_than_the_row(client: Client) -> None:
    url = made(client, 10)
    send(client, url, b"0123", 0)
    Upload.objects.update(received=0)  # as a kill between write and row leaves it
    assert offset_of(client, url) == 4
    assert send(client, url, b"456789", 4).status_code == HTTPStatus.NO_CONTENT
    assert row(url).is_finished


def test_a_file_whose_last_piece_was_not_noted_is_whole_all_the_same(client: Client, editor: User) -> None:
    url = made(client, 100)
    row(url).path.write_bytes(b"a" * 100)  # the process died before it noted that
    with pytest.raises(UploadError, match="not arrived whole"):
        services.claim(editor, row(url).pk)
    assert offset_of(client, url) == 100
    assert (row(url).received, row(url).is_finished) == (100, True)
    services.claim(editor, row(url).pk)


def test_an_empty_file_is_finished_at_once(client: Client) -> None:
    assert row(made(client, 0)).is_finished


def test_nobody_else_sees_or_touches_an_upload(
    client: Client, administrator: User, viewer: User, client_of: Clients
) -> None:
    url = made(client, 10)
    for other in (client_of(administrator), client_of(viewer)):
        assert other.head(url, headers=TUS).status_code == HTTPStatus.NOT_FOUND
        assert send(other, url, b"0123456789", 0).status_code == HTTPStatus.NOT_FOUND
        assert other.delete(url, headers=TUS).status_code == HTTPStatus.NOT_FOUND
    assert offset_of(client, url) == 0


def test_viewers_cannot_begin_an_upload(viewer: User, client_of: Clients) -> None:
    assert announce(client_of(viewer), 10).status_code == HTTPStatus.FORBIDDEN
    assert not Upload.objects.exists()


def test_somebody_signed_out_is_told_so_and_not_sent_to_a_page(client: Client) -> None:
    url = made(client, 10)
    stranger = Client()
    assert announce(stranger, 10).status_code == HTTPStatus.UNAUTHORIZED
    assert send(stranger, url, b"0123456789", 0).status_code == HTTPStatus.UNAUTHORIZED
    assert row(url).path.stat().st_size == 0


def test_requests_from_other_sites_are_refused(editor: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(editor)
    assert announce(strict, 10).status_code == HTTPStatus.FORBIDDEN
    assert not Upload.objects.exists()


def test_limits_are_told_before_anything_is_sent(client: Client, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    settings.UPLOAD_QUOTA_BYTES = 1500
    assert announce(client, 1001).status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    url = made(client, 1000)  # promised room is taken, though nothing has come
    refused = announce(client, 600)
    assert refused.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert b"500" in refused.content
    client.delete(url, headers=TUS)
    made(client, 600)


def test_the_last_of_the_disk_is_never_taken(client: Client, settings: Any) -> None:
    settings.DISK_RESERVE_BYTES = 2**60
    assert announce(client, 10).status_code == HTTPStatus.INSUFFICIENT_STORAGE
    settings.DISK_RESERVE_BYTES = 0
    url = made(client, 10)
    settings.DISK_RESERVE_BYTES = 2**60
    assert send(client, url, b"0123456789", 0).status_code == HTTPStatus.INSUFFICIENT_STORAGE


def test_termination_deletes_the_bytes(client: Client, django_capture_on_commit_callbacks: Any) -> None:
    url = made(client, 10)
    path = row(url).path
    with django_capture_on_commit_callbacks(execute=True):
        assert client.delete(url, headers=TUS).status_code == HTTPStatus.NO_CONTENT
    assert not path.exists()
    assert client.head(url, headers=TUS).status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\faces\\a.zip", "a.zip"),
        ("", "upload"),
        ("a\x00b\n.zip", "ab.zip"),
        ("/" * 9, "upload"),
    ],
)
def test_a_name_is_never_a_path(client: Client, told: str, kept: str) -> None:
    upload = row(made(client, 1, told))
    assert upload.filename == kept
    assert upload.path.name == upload.pk.hex


def test_an_upload_is_claimed_once_and_only_when_whole(client: Client, editor: User, viewer: User) -> None:
    url = made(client, 4)
    pk = row(url).pk
    with pytest.raises(UploadError, match="not arrived whole"):
        services.claim(editor, pk)
    send(client, url, b"abcd", 0)
    with pytest.raises(UploadError, match="not there"):
        services.claim(viewer, pk)
    assert services.claim(editor, pk).pk == pk
    with pytest.raises(UploadError, match="used already"):
        services.claim(editor, pk)
    assert client.delete(url, headers=TUS).status_code == HTTPStatus.CONFLICT


def test_abandoned_parts_are_swept_and_others_stay(
    client: Client, editor: User, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    old, fresh, used = (made(client, 4) for _ in range(3))
    send(client, used, b"abcd", 0)
    services.claim(editor, row(used).pk)
    long_ago = timezone.now() - timedelta(days=30)
    Upload.objects.exclude(pk=row(fresh).pk).update(touched_at=long_ago)
    path = row(old).path
    with django_capture_on_commit_callbacks(execute=True):
        assert services.sweep() == 1
    assert not path.exists()
    assert {u.pk for u in Upload.objects.all()} == {row(fresh).pk, row(used).pk}
    (tmp_path / "uploads" / "orphan").write_bytes(b"x")
    services.sweep(timezone.now() + timedelta(days=8))
    assert [u.pk for u in Upload.objects.all()] == [row(used).pk], "a job reads it"
    assert row(used).path.exists()
    assert not (tmp_path / "uploads" / "orphan").exists()


def test_an_upload_whose_bytes_are_gone_is_discarded_by_its_owner_or_swept_and_gives_its_room_back(
    client: Client, editor: User, settings: Any
) -> None:
    settings.UPLOAD_QUOTA_BYTES = 10
    url, old = made(client, 5), made(client, 5)
    for lost in (url, old):
        row(lost).path.unlink()
    assert announce(client, 5).status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert client.delete(url, headers=TUS).status_code == HTTPStatus.NO_CONTENT
    assert client.head(url, headers=TUS).status_code == HTTPStatus.NOT_FOUND
    assert client.head(old, headers=TUS).status_code == HTTPStatus.GONE
    assert services.sweep(timezone.now() + timedelta(days=30)) == 1
    assert not Upload.objects.exists()
    assert announce(client, 10).status_code == HTTPStatus.CREATED


# --- over ASGI, as browsers reach it -----------------------------------------------------------------


def signed_in(client: Client, cookie: str, token: str) -> dict[str, str]:
    """The headers that say who asks."""
    session = client.cookies["mmfrm_session"].value
    return {"cookie": f"mmfrm_session={session}; mmfrm_csrf={cookie}", "x-csrftoken": token}


async def over_asgi(url: str, who: dict[str, str], offset: int, data: bytes, cut: int | None) -> int | None:
    """One PATCH whose connection is cut after `cut` bytes; answers the status, or None where cut."""
    from webapp.asgi import application

    headers = {
        **who, "host": "testserver", "tus-resumable": "1.0.0",
        "upload-offset": str(offset), "content-length": str(len(data)), "content-type": PIECE,
    }  # fmt: skip
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "PATCH", "path": url,
        "raw_path": url.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "server": ("testserver", 80), "client": ("127.0.0.1", 5),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    arriving = data if cut is None else data[:cut]
    pieces = [arriving[i : i + 65_536] for i in range(0, len(arriving), 65_536)]
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        if pieces:
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces) or cut is not None}
        if cut is None:
            await asyncio.sleep(3600)  # the connection stays open
        return {"type": "http.disconnect"}

    async def say(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    await application(scope, receive, say)
    return status[0] if status else None


@pytest.mark.django_db(transaction=True)
async def test_an_upload_cut_twenty_times_anywhere_arrives_with_an_equal_hash(
    editor: User, client_of: Clients
) -> None:
    chance = random.Random(4)
    data = chance.randbytes(3_000_000)
    client = await asyncio.to_thread(client_of, editor)
    who = signed_in(client, "t" * 32, "t" * 32)
    url = await asyncio.to_thread(made, client, len(data))
    cuts = kept = 0
    while cuts < 20:
        offset = await asyncio.to_thread(offset_of, client, url)
        kept += offset > 0
        cut = chance.randrange(1, 140_000)
        assert await over_asgi(url, who, offset, data[offset:], cut) in (None, 400)
        cuts += 1
    offset = await asyncio.to_thread(offset_of, client, url)
    assert 0 < offset < len(data)
    assert kept >= 19, "what came before a cut must stay"
    assert await over_asgi(url, who, offset, data[offset:], None) == HTTPStatus.NO_CONTENT
    upload = await asyncio.to_thread(row, url)
    assert upload.is_finished
    assert hashlib.sha256(upload.path.read_bytes()).digest() == hashlib.sha256(data).digest()


@pytest.mark.django_db(transaction=True)
async def test_over_asgi_a_request_without_the_token_is_refused(editor: User, client_of: Clients) -> None:
    client = await asyncio.to_thread(client_of, editor)
    url = await asyncio.to_thread(made, client, 5)
    who = signed_in(client, "t" * 32, "u" * 32)
    assert await over_asgi(url, who, 0, b"01234", None) == HTTPStatus.FORBIDDEN
