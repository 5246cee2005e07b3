"""The decoded cache: every face as uint8 pixels of one size in one memory-mapped file. No torch.

(N, C, 112, 112), C = 1 where every image is grey, else 3. Faces are resized by Pillow's antialiased bilinear
filter, which is what `mmfrm.images.face` does to a face that is to be labelled, and stretched where they
are not square. The file is named by the content of its images, so versions of a data set with the same
images share it, and a stale one cannot be used by mistake.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmfrm.data.mapped import mapped_zeros
from mmfrm.data.native import FacePack, FacePackError, Sample, content_key, read_bytes
from mmfrm.data.pixel_room import ROOM
from mmfrm.images import SIDE, ImageError, decode, resized

VERSION = 1  # raised when the same image gives other pixels
CHUNK = 256

Images = np.ndarray[Any, np.dtype[np.uint8]]  # (N, C, side, side)
Tell = Callable[[int, int], None]  # images done, images in all


def open_cache(pack: FacePack, folder: Path, *, side: int = SIDE, tell: Tell | None = None) -> Images:
    """The pixels of every sample, memory-mapped read-only; built first where they are missing.

    Two processes that come at once build it once: the second waits. Raises FacePackError for an image that
    cannot be read, OSError where the disk has no room for all.
    """
    samples = pack.samples
    channels = 1 if all(sample.grey for sample in samples) else 3
    path = folder / f"faces-{content_key(samples)}-{side}-{VERSION}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if not path.exists():
                _build(pack, path, (len(samples), channels, side, side), tell)
    return np.load(path, mmap_mode="r") if samples else np.zeros((0, channels, side, side), np.uint8)


def _build(pack: FacePack, path: Path, shape: tuple[int, int, int, int], tell: Tell | None) -> None:
    part = path.with_suffix(".part")
    images = mapped_zeros(part, shape)
    starts = range(0, shape[0], CHUNK)

    def decode_chunk(start: int) -> int:
        chunk = pack.samples[start : start + CHUNK]
        for index, sample in enumerate(chunk, start):
            images[index] = _pixels(pack, sample, shape[1], shape[2])
        return len(chunk)

    done = 0
    # Threads: decoding and resizing release the interpreter lock.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for count in pool.map(decode_chunk, starts):
            done += count
            if tell is not None:
                tell(done, shape[0])
    images.flush()
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _pixels(pack: FacePack, sample: Sample, channels: int, side: int) -> Images:
    try:
        data = read_bytes(pack.folder, sample.pack, sample.offset, sample.length)
        with ROOM.held(data):
            pixels = decode(data, at_least=2 * side)  # (H, W, 3)
            if channels == 1:  # a third of the work, and the same pixels
                return resized_grey(pixels[..., 0], side)[None]
            return resized(pixels, side).transpose(2, 0, 1)
    except ImageError as error:
        raise FacePackError(f"{sample.name} in {pack.folder} cannot be decoded ({error})") from error


def resized_grey(pixels: Images, side: int) -> Images:
    """(H, W) to (side, side), with the filter of `mmfrm.images.resized`."""
    if pixels.shape == (side, side):
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # released when the file closes, also when the process is killed
