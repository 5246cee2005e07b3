"""How many pixels may be decoded at once: a thread a core, each with a huge picture, would fill the memory.

A few kilobytes can decode to hundreds of megabytes, so what is packed says nothing. No torch.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import simplejpeg
from PIL import Image

from mmfrm.images import image_format

SMALL = 8_000_000  # pixels; such pictures need not wait, and a thread has one at a time
MOST_AT_ONCE = 64_000_000  # pixels of larger ones together: five photos of a telephone
_NO_WAIT = nullcontext()


class PixelRoom:
    """Room for large pictures. One that is larger than all of it comes alone."""

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._most, self._taken = most, 0
        self._changed = threading.Condition()

    def held(self, data: bytes) -> AbstractContextManager[None]:
        """Wait until there is room for the pixels of these encoded bytes, and keep it until the end."""
        pixels = claimed_pixels(data)
        return _NO_WAIT if pixels <= SMALL else self._held(pixels)

    @contextmanager
    def _held(self, pixels: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + pixels <= self._most)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


ROOM = PixelRoom()  # of the process: all its threads take from it


def claimed_pixels(data: bytes) -> int:
    """Width times height as a picture's header says; 0 where it cannot be read."""
    kind = image_format(data)
    try:
        if kind == "PNG" and data[12:16] == b"IHDR":  # by hand: most pictures are small and should not wait
            return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")
        if kind == "WEBP" and data[12:16] in (b"VP8 ", b"VP8L", b"VP8X"):
            return _webp_pixels(data)
        if kind == "JPEG":
            height, width = simplejpeg.decode_jpeg_header(data)[:2]
            return int(height * width)
        if kind is not None:
            with Image.open(io.BytesIO(data), formats=[kind]) as image:
                return image.width * image.height
    except Exception:
        return 0
    return 0


def _webp_pixels(data: bytes) -> int:
    """By RFC 9649: of a picture with loss, without, or of the canvas of either."""
    if data[12:16] == b"VP8 ":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        return width * height
    if data[12:16] == b"VP8L":
        both = int.from_bytes(data[21:25], "little")
        return ((both & 0x3FFF) + 1) * (((both >> 14) & 0x3FFF) + 1)
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    return width * height
