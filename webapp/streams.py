"""Large answers over ASGI, a piece at a time.

Django reads a synchronous stream to its end before it sends the first byte over ASGI, which would hold
a whole checkpoint in memory. These responses fetch one piece after another in the worker thread.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.http import FileResponse, StreamingHttpResponse


class _InPieces(StreamingHttpResponse):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces: Iterator[Any] = iter(self.streaming_content)  # type: ignore[arg-type]
        fetch = sync_to_async(lambda: next(pieces, None))
        while (piece := await fetch()) is not None:
            yield piece


class StreamedFile(_InPieces, FileResponse):
    """A file as a download."""

    block_size = 2**18


class StreamedRows(_InPieces):
    """Text made while it is sent."""
