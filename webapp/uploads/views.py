"""The tus 1.0 protocol: core, creation, termination, expiration (https://tus.io/protocols/resumable-upload).

Cross-site requests are refused as everywhere: the browser's client sends the X-CSRFToken header. A program
without a browser's session sends an upload key instead (`Authorization: Bearer …`), which nothing else takes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, ParamSpec
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import http_date
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from webapp.accounts.models import User
from webapp.accounts.permissions import may_create
from webapp.uploads import keys, selectors, services
from webapp.uploads.models import Upload
from webapp.uploads.services import UploadError

VERSION = "1.0.0"
PIECE_TYPE = "application/offset+octet-stream"
P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def speaks_tus(view: View[P]) -> View[P]:
    """Check the protocol's version and who asks, and turn refusals into responses with a reason.

    Somebody whose session has ended gets 401 and not a page to sign in at: the client is a program.
    """

    def spoken(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            _check(request)
            response = view(request, *args, **kwargs)
        except UploadError as refusal:
            response = HttpResponse(str(refusal), status=refusal.status, content_type="text/plain")
        response["Tus-Resumable"] = VERSION
        if request.method == "OPTIONS" or response.status_code == 412:
            response["Tus-Version"] = VERSION
            response["Tus-Extension"] = "creation,termination,expiration"
            response["Tus-Max-Size"] = str(settings.UPLOAD_MAX_BYTES)
        response["Cache-Control"] = "no-store"
        return response

    guarded = csrf_protect(spoken)

    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        kind, _, key = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return guarded(request, *args, **kwargs)
        # No other site can make a browser send a key. And no cookie helps who sends a wrong one.
        request.user = keys.owner_of(key.strip()) or AnonymousUser()
        return spoken(request, *args, **kwargs)

    update_wrapper(wrapped, view)
    return csrf_exempt(login_not_required(wrapped))


@require_http_methods(["POST", "OPTIONS"])
@speaks_tus
def uploads(request: HttpRequest) -> HttpResponse:
    """Create an upload, or say what this server offers."""
    if request.method == "OPTIONS":
        return HttpResponse(status=204)
    user = _user(request)
    if not may_create(user):
        raise UploadError(403, "Your role does not allow uploads.")
    size = _whole_number(request, "Upload-Length")
    upload = services.create(user, filename=_filename(request), size=size)
    if "Authorization" in request.headers:
        keys.note_use(user)
    response = HttpResponse(status=201)
    response["Location"] = reverse("uploads:upload", args=[upload.pk])  # relative: proxies may rename us
    return _with_offset(response, upload, 0)


@require_http_methods(["HEAD", "PATCH", "DELETE", "OPTIONS"])
@speaks_tus
def upload(request: HttpRequest, pk: UUID) -> HttpResponse:
    """How far an upload is; more of it; or no longer wanted. Only its owner may ask."""
    if request.method == "OPTIONS":
        return HttpResponse(status=204)
    row = selectors.own(_user(request)).filter(pk=pk).first()
    if row is None:
        raise UploadError(404, "There is no such upload (any more).")
    match request.method:
        case "HEAD":
            return _head(row)
        case "PATCH":
            return _patch(request, row)
    services.terminate(row)
    return HttpResponse(status=204)


def _head(row: Upload) -> HttpResponse:
    arrived = services.settled(row)
    response = HttpResponse(status=200)
    response["Upload-Length"] = str(row.size)
    name = base64.b64encode(row.filename.encode()).decode()
    response["Upload-Metadata"] = f"filename {name}"
    return _with_offset(response, row, arrived)


def _patch(request: HttpRequest, row: Upload) -> HttpResponse:
    if request.content_type != PIECE_TYPE:
        raise UploadError(415, f"Pieces are sent as {PIECE_TYPE}.")
    offset = _whole_number(request, "Upload-Offset")
    length = _whole_number(request, "Content-Length") if "Content-Length" in request.headers else None
    try:
        offset = services.receive(row, offset=offset, length=length, body=request)
    except TimeoutError:
        raise UploadError(408, "Nothing came for a while; what did come is kept.") from None
    except OSError:  # cut; nobody reads this, and what came is kept
        raise UploadError(400, "The connection was cut; what came is kept.") from None
    return _with_offset(HttpResponse(status=204), row, offset)


def _with_offset(response: HttpResponse, row: Upload, offset: int) -> HttpResponse:
    response["Upload-Offset"] = str(offset)
    if row.claimed_at is None:
        response["Upload-Expires"] = http_date(selectors.expires_at(row).timestamp())
    return response


def _check(request: HttpRequest) -> None:
    if request.method == "OPTIONS":
        return
    if not request.user.is_authenticated:
        if "Authorization" in request.headers:
            raise UploadError(401, "This upload key is not valid (any more). Make a new one.")
        raise UploadError(401, "You are signed out. Sign in again in another tab, then go on.")
    if request.headers.get("Tus-Resumable") != VERSION:
        raise UploadError(412, f"This server speaks version {VERSION} of the tus protocol.")


def _user(request: HttpRequest) -> User:
    user = request.user
    if not isinstance(user, User):
        raise UploadError(401, "You are signed out.")
    return user


def _whole_number(request: HttpRequest, header: str) -> int:
    value = request.headers.get(header, "")
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise UploadError(400, f"{header} must be a whole number.")
    return int(value)


def _filename(request: HttpRequest) -> str:
    """The file's name for people: never more than a name, whatever the client says."""
    pairs = (item.split(" ", 1) for item in request.headers.get("Upload-Metadata", "").split(",") if item)
    metadata = {pair[0].strip(): pair[1].strip() if len(pair) == 2 else "" for pair in map(list, pairs)}
    try:
        raw = base64.b64decode(metadata.get("filename", ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise UploadError(400, "Upload-Metadata must be keys and base64 values.") from None
    name = raw.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(c for c in name if c.isprintable()).strip()
    return name[-255:] or "upload"
