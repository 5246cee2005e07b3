"""Pictures out of packs: files that hold encoded images end to end, with offsets kept in rows."""

from __future__ import annotations

from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control
from django.utils.http import parse_etags, quote_etag

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
}
ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


def read(path: Path, offset: int, length: int) -> bytes:
    """One encoded image. Raises OSError when the pack is gone or shorter than its rows say."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    if len(data) != length:
        raise OSError(f"{path.name} ends before {offset + length}")
    return data


def content_type(data: bytes) -> str:
    """Of an encoded image, by its first bytes; never what a user claimed."""
    return next(
        (kind for start, kind in SIGNATURES.items() if data.startswith(start)), "application/octet-stream"
    )


def ending(data: bytes) -> str:
    """What the name of an encoded image ends in; "" for what is none."""
    return ENDINGS.get(content_type(data), "")


def image_response(request: HttpRequest, *, path: Path, offset: int, length: int, etag: str) -> HttpResponse:
    """An image for the visitor's own cache: the bytes behind an `etag` never change. 404 when deleted."""
    tag = quote_etag(etag)
    if tag in parse_etags(request.headers.get("If-None-Match", "")):
        response = HttpResponse(status=304)
    else:
        try:
            data = read(path, offset, length)
        except OSError as error:
            raise Http404 from error
        response = HttpResponse(data, content_type=content_type(data))
    response.headers["ETag"] = tag
    patch_cache_control(response, private=True, max_age=86_400, immutable=True)
    return response
