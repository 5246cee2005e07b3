"""A version as a download."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from webapp.accounts.request import user_of
from webapp.datasets import exporting, selectors
from webapp.errors import RefusedError
from webapp.streams import StreamedRows


@require_GET
def download(request: HttpRequest, pk: int, number: int, layout: str) -> HttpResponseBase:
    """The zip, made while it is sent."""
    version = selectors.version_of(user_of(request), pk, number)
    if layout not in exporting.LAYOUTS or version.ready_at is None:
        raise Http404
    try:
        pieces = exporting.stream(version, layout)
    except RefusedError as error:
        messages.error(request, f"{exporting.LAYOUTS[layout]}: {error}")
        return redirect("datasets:version", pk, number)
    response = StreamedRows(pieces, content_type="application/zip")
    name = f"{slugify(version.dataset.name) or 'data-set'}-v{version.number}-{layout.replace('_', '-')}.zip"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
