"""Bytes of strangers become upright RGB pixels, or a reason."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmfrm import images
from mmfrm.images import ImageError

RED, GREEN = (200, 30, 30), (30, 200, 30)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def two_tone(mode: str = "RGB") -> Image.Image:
    """60 wide, 40 high; the left half red, the right half green."""
    image = Image.new("RGB", (60, 40), RED)
    image.paste(GREEN, (30, 0, 60, 40))
    return image.convert(mode)


def assert_two_tone(pixels: images.Pixels, tolerance: int = 60) -> None:
    height, width = pixels.shape[:2]
    left, right = pixels[height // 2, width // 8], pixels[height // 2, -width // 8]
    assert np.abs(left.astype(int) - RED).max() <= tolerance
    assert np.abs(right.astype(int) - GREEN).max() <= tolerance


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_is_decoded_whatever_its_name_says(kind: str) -> None:
    data = saved(two_tone(), kind)
    assert images.image_format(data) == kind
    pixels = images.decode(data)
    assert pixels.shape == (40, 60, 3)
    assert pixels.dtype == np.uint8
    assert_two_tone(pixels)


@pytest.mark.parametrize("mode", ["P", "1", "L", "CMYK"])
def test_modes_other_than_rgb_become_rgb(mode: str) -> None:
    data = saved(two_tone(mode), "JPEG" if mode in ("L", "CMYK") else "PNG")
    pixels = images.decode(data)
    assert pixels.shape == (40, 60, 3)
    if mode in ("P", "CMYK"):
        assert_two_tone(pixels)


def test_sixteen_bits_are_scaled_not_cut() -> None:
    deep = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels = images.decode(saved(Image.fromarray(deep), "PNG"))
    assert np.abs(pixels[..., 0].astype(int) - (deep.astype(int) * 255 // 65535)).max() <= 1


def test_what_is_transparent_shows_white() -> None:
    image = Image.new("RGBA", (20, 20), (200, 0, 0, 0))
    image.paste((0, 0, 200, 255), (10, 0, 20, 20))
    pixels = images.decode(saved(image, "PNG"))
    assert pixels[10, 4].tolist() == [255, 255, 255]
    assert pixels[10, 15].tolist() == [0, 0, 200]


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [two_tone(), Image.new("RGB", (60, 40), (0, 0, 255))]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert_two_tone(images.decode(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    stored_from_upright = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = two_tone()
    if orientation in stored_from_upright:
        image = image.transpose(stored_from_upright[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(image, kind, exif=exif)
    pixels = images.decode(data)
    assert pixels.shape == (40, 60, 3)
    assert_two_tone(pixels)
    again, width, height = images.shown(data)
    assert (width, height) == (60, 40)
    assert b"Exif" not in again
    assert_two_tone(images.decode(again))


def test_the_fast_jpeg_path_gives_the_pixels_that_pillow_gives() -> None:
    random = np.random.default_rng(0)
    picture = images.resized(random.integers(0, 256, (9, 9, 3), np.uint8), 90)
    data = saved(Image.fromarray(picture), "JPEG", quality=90)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(images.decode(data).astype(int) - expected).max() <= 2


def test_a_large_photo_gives_nearly_the_face_that_full_decoding_gives() -> None:
    random = np.random.default_rng(0)
    picture = images.resized(random.integers(0, 256, (9, 9, 3), np.uint8), 1200)
    data = images.encoded(picture)
    assert images.decode(data, at_least=224).shape[0] < 1200
    fast, full = images.face(data), images.resized(images.decode(data))
    assert np.abs(fast.astype(int) - full.astype(int)).mean() < 1.5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"From: me\nno picture at all", "not an image"),
        (b"PK\x03\x04" + bytes(100), "not an image"),
        (saved(two_tone(), "JPEG")[:300], "broken JPEG"),
        (saved(two_tone(), "PNG")[:60], "broken PNG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "broken PNG"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "broken JPEG"),
        (saved(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "floating-point"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        images.face(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_more_pixels_than_allowed_are_refused_before_decoding(kind: str) -> None:
    with pytest.raises(ImageError, match=r"more than 2,000 pixels"):
        images.decode(saved(two_tone(), kind), max_pixels=2000)


def test_a_png_that_claims_a_giant_size_is_refused() -> None:
    body = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    data = b"\x89PNG\r\n\x1a\n" + header + b"\x00\x00\x00\x00IEND\xaeB`\x82"
    with pytest.raises(ImageError, match="more than"):
        images.decode(data)


def test_every_torn_end_of_a_picture_is_an_error_or_a_picture() -> None:
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"):
        data = saved(two_tone(), kind)
        for length in range(0, len(data), max(1, len(data) // 40)):
            with contextlib.suppress(ImageError):
                assert images.face(data[:length]).shape == (112, 112, 3)


def test_clean_bytes_are_shown_as_they_are() -> None:
    for kind in ("JPEG", "PNG"):
        data = saved(two_tone(), kind)
        assert images.is_clean(data)
        assert images.shown(data) == (data, 60, 40)


@pytest.mark.parametrize(
    "data",
    [
        saved(two_tone(), "JPEG") + b"<script>alert(1)</script>",
        saved(two_tone(), "PNG") + b"PK\x03\x04",
        saved(two_tone(), "JPEG", comment=b"where I live"),
        saved(two_tone(), "JPEG", icc_profile=b"x" * 200),
        saved(two_tone(), "PNG", icc_profile=b"x" * 200),
        saved(two_tone(), "WEBP"),
        saved(two_tone(), "GIF"),
    ],
)
def test_what_hides_anything_is_encoded_anew(data: bytes) -> None:
    assert not images.is_clean(data)
    again, width, height = images.shown(data)
    assert images.is_clean(again)
    assert (width, height) == (60, 40)
    assert_two_tone(images.decode(again))
    for hidden in (b"script", b"PK\x03", b"where I live", b"xxxx"):
        assert hidden not in again


def test_progressive_jpeg_is_clean_too() -> None:
    assert images.is_clean(saved(two_tone(), "JPEG", progressive=True))


def test_large_pictures_are_shown_smaller_in_their_shape() -> None:
    data = saved(two_tone().resize((1200, 800)), "PNG")
    again, width, height = images.shown(data, largest=300)
    assert (width, height) == (300, 200)
    assert images.decode(again).shape == (200, 300, 3)


def test_grey_pictures_are_stored_with_one_channel() -> None:
    grey = np.repeat(np.arange(0, 256, dtype=np.uint8)[None, :, None], 64, axis=0)
    data = images.encoded(np.repeat(grey, 3, axis=2))
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "L"
