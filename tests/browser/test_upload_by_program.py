"""A plain client of the tus protocol, with nothing that a browser has, sends a file to the product."""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.browser.conftest import Furnished

pytestmark = pytest.mark.browser  # it needs the running product, not a browser
KEY = "from webapp.accounts.models import User; from webapp.uploads import keys; "
KEY += "print(keys.make(User.objects.get(username='ada')))"
PIECE = 64 * 1024


class TusClient:
    """Creation and core of https://tus.io/protocols/resumable-upload, on the standard library alone."""

    def __init__(self, endpoint: str, key: str) -> None:
        self.endpoint = endpoint
        self.headers = {"Authorization": f"Bearer {key}", "Tus-Resumable": "1.0.0"}

    def ask(self, method: str, url: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, urlsplit(url).path, body, self.headers | named)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    def create(self, name: str, size: int) -> str:
        metadata = f"filename {base64.b64encode(name.encode()).decode()}"
        answer = self.ask("POST", self.endpoint, Upload_Length=str(size), Upload_Metadata=metadata)
        assert answer.status == 201, answer.reason
        return str(urljoin(self.endpoint, answer.headers["Location"]))

    def offset(self, url: str) -> int:
        return int(self.ask("HEAD", url).headers["Upload-Offset"])

    def send(self, url: str, data: bytes) -> None:
        """From where the server is to the end, a piece at a time."""
        while (at := self.offset(url)) < len(data):
            kind = "application/offset+octet-stream"
            piece = data[at : at + PIECE]
            answer = self.ask("PATCH", url, piece, Upload_Offset=str(at), Content_Type=kind)
            # 409: a request that was cut has begun only since, and moved the end. A client asks anew where.
            assert answer.status in (204, 409), answer.reason

    def cut(self, url: str, data: bytes) -> None:
        """Announce the rest and break off after some of it."""
        at = self.offset(url)
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        connection.putrequest("PATCH", urlsplit(url).path)
        headers = {"Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
        for name, value in {**self.headers, **headers, "Content-Length": str(len(data) - at)}.items():
            connection.putheader(name, value)
        connection.endheaders(data[at : at + PIECE // 2])
        connection.close()


def test_a_file_sent_by_a_program_arrives_whole_though_it_is_cut(furnished: Furnished) -> None:
    key = furnished.product.query(KEY).strip().splitlines()[-1]
    client = TusClient(f"{furnished.url}/uploads/", key)
    data = random.Random(4).randbytes(5 * PIECE + 777)
    url = client.create("from a cluster.zip", len(data))
    client.cut(url, data)
    client.send(url, data)
    [stored] = furnished.product.rows(
        "SELECT id, filename, received FROM uploads_upload WHERE id = ?",
        url.rpartition("/")[2].replace("-", ""),
    )
    assert stored[1:] == ("from a cluster.zip", len(data))
    path: Path = furnished.product.data_dir / "uploads" / stored[0]
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(data).digest()
    assert client.ask("DELETE", url).status == 204
    assert TusClient(client.endpoint, "wrong").ask("POST", client.endpoint, Upload_Length="5").status == 401
