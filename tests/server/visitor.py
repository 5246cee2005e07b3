"""Somebody with a browser's cookies and patience, but no screen."""

from __future__ import annotations

import base64
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path

CHUNK = 64 * 2**10  # small, so that an upload is really made of several
TUS = {"Tus-Resumable": "1.0.0"}


class Visitor:
    """Gets pages, sends forms with their token, uploads in chunks. An answer of 400 or above raises."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def cookie(self, name: str) -> str:
        """The value of a cookie, empty where there is none."""
        return next((cookie.value or "" for cookie in self._cookies if cookie.name == name), "")

    def get(self, path: str) -> str:
        """A page's text."""
        with self.ask("GET", path) as answer:
            return answer.read().decode()

    def post(self, path: str, fields: Mapping[str, object]) -> str:
        """Send a form; returns the path it led to."""
        body = urllib.parse.urlencode({name: str(value) for name, value in fields.items()}).encode()
        with self.ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"}) as answer:
            return urllib.parse.urlsplit(answer.url).path

    def upload(self, file: Path) -> str:
        """Send a file by the tus protocol; returns the upload's id."""
        name = base64.b64encode(file.name.encode()).decode()
        begin = TUS | {"Upload-Length": str(file.stat().st_size), "Upload-Metadata": f"filename {name}"}
        with self.ask("POST", "/uploads/", b"", begin) as answer:
            location = urllib.parse.urlsplit(answer.headers["Location"]).path
        offset = 0
        with file.open("rb") as source:
            while chunk := source.read(CHUNK):
                piece = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
                with self.ask("PATCH", location, chunk, TUS | piece) as answer:
                    offset = int(answer.headers["Upload-Offset"])
        return location.rstrip("/").rpartition("/")[2]

    def find(self, pattern: str, path: str) -> str:
        """The first group of a pattern on a page."""
        page = self.get(path)
        found = re.search(pattern, page)
        assert found is not None, f"{pattern!r} is not on {path}:\n{page[:3000]}"
        return found.group(1)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HTTPResponse:
        """One request with the cookies and their token."""
        request = urllib.request.Request(self.url + path, body, dict(headers or {}), method=method)
        request.add_header("X-CSRFToken", self.cookie("mmfrm_csrf"))
        answer: HTTPResponse = self._opener.open(request, timeout=30)
        return answer
