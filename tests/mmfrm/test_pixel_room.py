"""However many threads decode, huge pictures are held a few at a time, and usual ones never wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmfrm import images
from mmfrm.data.cache import open_cache, resized_grey
from mmfrm.data.duplicates import look
from mmfrm.data.measure import thumbnail
from mmfrm.data.pixel_room import SMALL, PixelRoom, claimed_pixels
from mmfrm.decoding import decoded
from mmfrm.faces.find import FaceFinder
from mmfrm.jobs import PredictJob
from mmfrm.sources import open_pictures
from tests.mmfrm.sources import encoded, imported, picture, raw_png, write_folder, write_zip

SIDE = 2840  # more pixels than a picture that need not wait
HUGE = raw_png(SIDE, SIDE, 1, 0, bytes(SIDE // 8 + 1) * SIDE)


@pytest.fixture(autouse=True)
def room_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    room = PixelRoom(most=1)
    for place in ("decoding", "data.cache", "data.duplicates"):
        monkeypatch.setattr(f"mmfrm.{place}.ROOM", room)


class Busy:
    """Counts how many threads are at once between a decoding's begin and what takes its pixels."""

    def __init__(self) -> None:
        self.most, self._now, self._lock = 0, 0, threading.Lock()

    def beginning(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def begin(*given: Any, **named: Any) -> Any:
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
            return function(*given, **named)

        return begin

    def ending(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def end(*given: Any, **named: Any) -> Any:
            try:
                return function(*given, **named)
            finally:
                with self._lock:
                    self._now -= 1

        return end


def labelled(folder: Path, faces: str) -> int:
    pictures = open_pictures(write_folder(folder, {f"{i}.png": HUGE for i in range(2)}))
    job = PredictJob(source=str(folder), model="", faces=faces)
    chunks = list(decoded(pictures, job, size=1, threads=2, first=0))
    return sum(len(chunk.slots) for chunk in chunks)


def test_huge_crops_are_labelled_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Busy()
    monkeypatch.setattr(images, "decode", busy.beginning(images.decode))
    monkeypatch.setattr(images, "resized", busy.ending(images.resized))
    assert labelled(tmp_path / "crops", "aligned") == 2
    assert busy.most == 1


def test_faces_of_huge_photos_are_looked_for_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Busy()
    monkeypatch.setattr("mmfrm.decoding.PHOTOS_AT_ONCE", 1)
    monkeypatch.setattr(images, "decode", busy.beginning(images.decode))
    monkeypatch.setattr(FaceFinder, "find", busy.ending(FaceFinder.find))
    assert labelled(tmp_path / "photos", "find") == 2
    assert busy.most == 1


def test_huge_faces_of_a_data_set_are_decoded_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = imported(write_zip(tmp_path / "a.zip", {f"{i}.png": HUGE for i in range(3)}), tmp_path / "data")
    busy = Busy()
    monkeypatch.setattr("mmfrm.data.cache.CHUNK", 1)
    monkeypatch.setattr("mmfrm.data.cache.decode", busy.beginning(images.decode))
    monkeypatch.setattr("mmfrm.data.cache.resized_grey", busy.ending(resized_grey))
    open_cache(pack, tmp_path / "cache")
    assert busy.most == 1


def test_huge_faces_are_compared_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = imported(write_zip(tmp_path / "a.zip", {f"{i}.png": HUGE for i in range(2)}), tmp_path / "data")
    busy = Busy()
    monkeypatch.setattr("mmfrm.data.duplicates.decode", busy.beginning(images.decode))
    monkeypatch.setattr("mmfrm.data.duplicates.thumbnail", busy.ending(thumbnail))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda sample: look(pack.folder, sample), pack.samples))
    assert busy.most == 1


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "L", {"progressive": True}),
        ("PNG", "RGB", {}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {}),
        ("WEBP", "RGB", {"save_all": True, "append_images": [Image.new("RGB", (67, 45))]}),
        ("BMP", "RGB", {}),
        ("GIF", "P", {}),
        ("TIFF", "RGB", {}),
    ],
)
def test_the_pixels_of_a_picture_are_known_before_it_is_decoded(
    kind: str, mode: str, options: dict[str, Any]
) -> None:
    image = picture(1, width=67, height=45, mode=mode)
    if mode == "RGBA":
        image.putalpha(100)
    data = encoded(image, kind, **options)
    assert claimed_pixels(data) == 67 * 45
    assert claimed_pixels(b"no picture") == 0
    assert claimed_pixels(HUGE) > SMALL
