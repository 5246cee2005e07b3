"""From a file's bytes to a stored sample, or to the reason why not. No torch.

Clean PNG and JPEG bytes are kept as they are. Everything else is made clean: metadata, thumbnails and
trailing bytes are cut off without touching the pixels where that suffices; otherwise the picture is
encoded anew, upright, in 8-bit RGB or grey, without metadata.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from mmfrm.data.archive import UnreadableError
from mmfrm.data.finding import Align
from mmfrm.data.layout import Item, LeftOutError, Loaded, extension_of
from mmfrm.data.measure import Pixels, is_grey, measure, pixels_digest, thumbnail
from mmfrm.data.native import Refusal, Sample
from mmfrm.data.pixel_room import ROOM
from mmfrm.images import EXTENSIONS, ImageError, decode, image_format, is_clean

LEAST_SIDE = 8  # pixels; a face needs more
ENOUGH_SIDE = 1024  # larger JPEGs are looked at scaled down, though stored whole
LOSSLESS_PIXELS = 512 * 512  # larger pictures that must be encoded anew become JPEG

_KINDS = {".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP",
          ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF"}  # fmt: skip


@dataclass
class Examined:
    """What came of a chunk of items."""

    arrived: list[tuple[Sample, bytes]]
    refusals: list[Refusal]
    items: int


@dataclass
class _Seen:
    sample: Sample
    data: bytes
    thumbnail: NDArray[np.uint8]  # not the pixels: a chunk of large pictures would be gigabytes of them
    repair: str  # "" where the bytes were kept


def examine(
    loaded: Sequence[Loaded],
    *,
    encode: Callable[[bytes], bytes] | None,
    max_pixels: int,
    align: Align | None = None,
) -> Examined:
    """Decode, clean and measure a chunk. Never raises for what is in a file.

    align: takes the face out of each photo; None where each picture is a face crop.
    """
    seen: list[_Seen] = []
    refusals: list[Refusal] = []
    for item, data in loaded:
        try:
            if isinstance(data, UnreadableError):
                raise data
            packed = encode(data) if encode is not None else data
            with ROOM.held(packed):
                one = _look(item, packed, max_pixels, align)
        except ValueError as error:  # ImageError, UnreadableError, and what `encode` raises
            refusals.append(_refusal(item, data, str(error)))
            continue
        if one.repair:
            refusals.append(Refusal(item.name, "repaired", one.repair))
        seen.append(one)
    return Examined(_measured(seen), refusals, len(loaded))


def _measured(seen: list[_Seen]) -> list[tuple[Sample, bytes]]:
    return [
        (
            replace(
                one.sample,
                phash=figures.phash,
                brightness=figures.brightness,
                sharpness=figures.sharpness,
                flags=["near_constant"] if figures.near_constant else [],
            ),
            one.data,
        )
        for one, figures in zip(seen, measure([one.thumbnail for one in seen]), strict=True)
    ]


def _refusal(item: Item, data: bytes | UnreadableError, reason: str) -> Refusal:
    if isinstance(data, LeftOutError):
        return Refusal(item.name, "skipped", reason)
    plain_file = isinstance(data, bytes) and image_format(data) is None
    expected = extension_of(item.name) in EXTENSIONS
    return Refusal(item.name, "skipped" if plain_file and not expected else "refused", reason)


def _look(item: Item, data: bytes, max_pixels: int, align: Align | None) -> _Seen:
    pixels = decode(data, max_pixels=max_pixels, at_least=ENOUGH_SIDE if align is None else 0)
    kind, box = image_format(data) or "", None
    if align is None:
        stored, repair = cleaned(data, kind, pixels)
    else:
        found = align(pixels)
        pixels, box, repair = found.face, found.box, found.told
        stored = _encoded(pixels)
    width, height = _size(stored, pixels)
    if min(width, height) < LEAST_SIDE:
        raise ImageError(f"{width}×{height} pixels are too few")
    expected = _KINDS.get(extension_of(item.name), kind)
    if expected != kind:
        repair = "; ".join(filter(None, (f"named {extension_of(item.name)}, but is a {kind}", repair)))
    grey = is_grey(pixels)
    sample = Sample(
        index=0,
        name=item.name,
        split=item.split,
        label=item.label,
        pack="",
        offset=0,
        length=len(stored),
        width=width,
        height=height,
        sha256=sha256(stored).hexdigest(),
        votes=item.votes,
        group=item.group,
        pixels=pixels_digest(pixels, grey),
        grey=grey,
        box=box,
    )
    return _Seen(sample, stored, thumbnail(pixels, grey), repair)


def _size(data: bytes, pixels: Pixels) -> tuple[int, int]:
    """Width and height of a stored picture, whose pixels may have been looked at scaled down."""
    height, width = pixels.shape[:2]
    if min(height, width) >= ENOUGH_SIDE and image_format(data) == "JPEG":
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
    return width, height


def cleaned(data: bytes, kind: str, pixels: Pixels) -> tuple[bytes, str]:
    """Bytes that are safe to keep and to show, and what was done to them ("" where nothing was)."""
    if kind == "JPEG" and _colours(data) in ("CMYK", "YCCK"):
        return _encoded(pixels), "CMYK colours were converted to RGB"
    if is_clean(data):
        return data, ""
    problem = _problem(data, kind)
    if problem is None:
        bare = stripped_jpeg(data) if kind == "JPEG" else stripped_png(data)
        if bare is not None and is_clean(bare):
            return bare, "metadata or trailing bytes were cut off"
        problem = "an unusual file structure was encoded anew"
    return _encoded(pixels), problem


def _problem(data: bytes, kind: str) -> str | None:
    """Why the pixels themselves must be encoded anew, for people; None where they need not."""
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        frames = getattr(image, "n_frames", 1)
        turned = image.getexif().get(0x0112, 1) != 1
        deep = image.mode.startswith("I") or (kind == "PNG" and len(data) > 24 and data[24] == 16)
    if frames > 1:
        return f"animated ({frames} pictures): the first was taken"
    if turned:
        return "turned upright, as its EXIF orientation says"
    if deep:
        return "16 bits a channel were reduced to 8"
    return None if kind in ("JPEG", "PNG") else f"{kind} was encoded anew"


def _encoded(pixels: Pixels) -> bytes:
    """Pixels as PNG, or as JPEG where that would be large."""
    grey = is_grey(pixels)
    if pixels.shape[0] * pixels.shape[1] <= LOSSLESS_PIXELS:
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels[..., 0]) if grey else pixels).save(buffer, "PNG")
        return buffer.getvalue()
    if grey:
        shown = np.ascontiguousarray(pixels[..., :1])
        return bytes(simplejpeg.encode_jpeg(shown, quality=95, colorspace="GRAY"))
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=95, colorsubsampling="444"))


def _colours(data: bytes) -> str:
    try:
        return str(simplejpeg.decode_jpeg_header(data)[2])
    except ValueError:
        return ""


_KEPT_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def stripped_png(data: bytes) -> bytes | None:
    """A PNG with only the chunks that make its pixels, or None where it is not one."""
    kept, position = [data[:8]], 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        if name in _KEPT_CHUNKS:
            kept.append(data[position:end])
        if name == b"IEND":
            return b"".join(kept)
        position = end
    return None


def stripped_jpeg(data: bytes) -> bytes | None:
    """A JPEG without application segments and comments, ending at its end marker, or None."""
    kept, position = [data[:2]], 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xDA:
            finish = data.find(b"\xff\xd9", end)
            return b"".join([*kept, data[position : finish + 2]]) if finish >= 0 else None
        adobe = marker == 0xEE and data[position + 4 : position + 9] == b"Adobe"  # says which colours
        if adobe or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[position:end])
        position = end
    return None
