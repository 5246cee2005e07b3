"""Encoded bytes to upright RGB pixels, safely: whatever a stranger uploads is either a picture or a reason.

No torch here: an import process and a labelling process share this file, so that a face looks the same
to the network in training and in use.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

SIDE = 112  # pixels; what every network of ours takes
MAX_PIXELS = 50_000_000
# Only decoders that are fuzzed upstream and that photos really come in; Pillow knows forty more.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # (H, W, 3), RGB

_ORIENTATION = 0x0112  # the EXIF tag
# EXIF orientation -> what turns the stored picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """These bytes are no picture we can use. The text is the reason, for people."""


def image_format(data: bytes) -> str | None:
    """Name of the format by its first bytes (one of FORMATS), whatever the file's extension says."""
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:4] in (b"II*\x00", b"MM\x00*"):
        return "TIFF"
    return "BMP" if data[:2] == b"BM" else None


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int = 0) -> Pixels:
    """Upright RGB pixels (H, W, 3) of one encoded picture; the first frame of an animated one.

    `at_least`: a JPEG much larger than that many pixels a side may come scaled down to no less, which is
    faster and needs less memory. Raises ImageError with the reason.
    """
    kind = image_format(data)
    if kind is None:
        raise ImageError("empty file" if not data else "not an image (JPEG, PNG, WebP, BMP, GIF or TIFF)")
    if kind == "JPEG":
        pixels = _decode_plain_jpeg(data, max_pixels, at_least)
        if pixels is not None:
            return pixels
    return _decode_with_pillow(data, kind, max_pixels)


def face(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """One encoded face crop as the network takes it: (112, 112, 3) RGB uint8. Raises ImageError."""
    return resized(decode(data, max_pixels=max_pixels, at_least=2 * SIDE))


def resized(pixels: Pixels, side: int = SIDE) -> Pixels:
    """(H, W, 3) to (side, side, 3), antialiased. Stretches what is not square, as the field's loaders do."""
    if pixels.shape[:2] == (side, side):
        return pixels
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


def shown(data: bytes, *, largest: int = 512) -> tuple[bytes, int, int]:
    """What may be stored and sent to a browser for this picture, with its width and height.

    Clean PNG and JPEG bytes are kept as they are; everything else (metadata, trailing bytes, odd formats,
    sides above `largest`) is encoded anew, upright and without metadata. Raises ImageError.
    """
    if is_clean(data):
        width, height = _size(data)
        if max(width, height) <= largest:
            return data, width, height
    pixels = fitting(decode(data, at_least=largest), largest)
    return encoded(pixels), pixels.shape[1], pixels.shape[0]


def fitting(pixels: Pixels, largest: int) -> Pixels:
    """(H, W, 3) made smaller, if need be, until no side is above `largest`; the proportions stay."""
    if max(pixels.shape[:2]) <= largest:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((largest, largest), Image.Resampling.BILINEAR)
    return np.asarray(image)


def encoded(pixels: Pixels, *, quality: int = 92) -> bytes:
    """(H, W, 3) uint8 as JPEG bytes, grey ones with a single channel."""
    if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all():
        grey = np.ascontiguousarray(pixels[..., :1])
        return bytes(simplejpeg.encode_jpeg(grey, quality=quality, colorspace="GRAY"))
    return bytes(
        simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorsubsampling="444")
    )


def is_clean(data: bytes) -> bool:
    """Whether these are plain PNG or JPEG bytes: no metadata, nothing hidden, nothing after the end."""
    kind = image_format(data)
    if kind == "JPEG":
        return _is_clean_jpeg(data)
    return kind == "PNG" and _is_clean_png(data)


def _decode_plain_jpeg(data: bytes, max_pixels: int, at_least: int) -> Pixels | None:
    """The fast path: grey or YCbCr, sound, no EXIF. None where Pillow should have a closer look."""
    if b"Exif\x00" in data[:65536]:
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours in ("CMYK", "YCCK"):
            return None
        _refuse_size(width, height, max_pixels)
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=at_least, min_width=at_least)
    except ImageError:
        raise
    except ValueError:
        return None
    return pixels


def _decode_with_pillow(data: bytes, kind: str, max_pixels: int) -> Pixels:
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=[kind]) as image:
            warnings.simplefilter("ignore")  # Pillow warns of sizes that we refuse or accept ourselves
            _refuse_size(image.width, image.height, max_pixels)
            image.load()
            turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
            upright = image.transpose(turn) if turn is not None else image
            return np.asarray(_rgb(upright))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"more than {max_pixels:,} pixels") from error
    except UnidentifiedImageError as error:  # its text is an address in memory
        raise ImageError(f"broken {kind} (nothing of it can be read)") from error
    # Broken files make Pillow's parsers raise nearly anything; each is one bad file, not a dead job.
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ImageError(f"broken {kind} ({reason})") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel, sometimes held in 32
        deep = np.asarray(image).astype(np.int64)
        top = 65535 if deep.max(initial=0) > 255 else 255
        return Image.fromarray((deep.clip(0, top) * 255 // top).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError("floating-point pixels, whose range is anyone's guess")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        seen = image.convert("RGBA")
        ground = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, seen).convert("RGB")
    return image.convert("RGB")


def _refuse_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ImageError("no pixels")
    if width * height > max_pixels:
        raise ImageError(f"{width}×{height} is more than {max_pixels:,} pixels")


def _size(data: bytes) -> tuple[int, int]:
    """Width and height by the header alone; for bytes known to be clean."""
    with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
        return image.size


_PLAIN_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"sRGB", b"sBIT", b"pHYs"})


def _is_clean_png(data: bytes) -> bool:
    position, size = 8, len(data)
    while position + 12 <= size:
        length, name = struct.unpack_from(">I4s", data, position)
        if name not in _PLAIN_CHUNKS or (name == b"IHDR" and data[position + 16] > 8):
            return False
        position += 12 + length
        if name == b"IEND":
            return bool(position == size)
    return False


_TABLES = frozenset({0xDB, 0xC4, 0xDD, 0xC0, 0xC1, 0xC2})  # quantisation, Huffman, restart, frame headers
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # other than stuffing and restarts


def _is_clean_jpeg(data: bytes) -> bool:
    position, size = 2, len(data)
    while position + 4 <= size and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xDA:
            return _scans_end_the_file(data, position + 2 + length)
        body = data[position + 4 : position + 2 + length]
        jfif = marker == 0xE0 and body.startswith(b"JFIF\x00") and length == 16  # longer holds a thumbnail
        adobe = marker == 0xEE and body.startswith(b"Adobe") and length == 14
        if marker not in _TABLES and not jfif and not adobe:
            return False
        position += 2 + length
    return False


def _scans_end_the_file(data: bytes, position: int) -> bool:
    """Only scans and their tables follow, up to an end marker that is the last thing in the file."""
    for match in _MARKER_IN_SCAN.finditer(data, position):
        marker = data[match.start() + 1]
        if marker == 0xD9:
            return bool(match.end() == len(data))
        if marker not in (0xDA, 0xC4, 0xDB, 0xDD):
            return False
    return False
