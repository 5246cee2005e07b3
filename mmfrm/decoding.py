"""Pictures of a labelling job to faces for the engine, in threads, in order. Torch only to find faces."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mmfrm import images
from mmfrm.data.finding import no_face
from mmfrm.data.pixel_room import ROOM
from mmfrm.images import ImageError
from mmfrm.jobs import PredictJob
from mmfrm.sources import Pictures

if TYPE_CHECKING:
    from mmfrm.faces.find import FaceFinder, PhotoFace

CHUNKS_AHEAD = 3  # decoded and waiting, beside those that the engine works on
PREVIEW_SIDE = 1280  # pixels of the longer side of a photo that is kept: enough to see its faces
PREVIEW_QUALITY = 85
OBLONG = 1.25  # photos are 4:3 or longer; face crops are square or, of some data sets, 6:5
PHOTOS_AT_ONCE = 8  # a group photo has many faces, and a stop waits for what was begun


@dataclass(frozen=True)
class Preview:
    """A photo to look at, upright and without metadata, and the size of the whole one in pixels."""

    data: bytes
    width: int
    height: int


@dataclass(kw_only=True)
class Slot:
    """What a row tells beside its probabilities."""

    picture: int  # position in the source
    error: str | None = None
    is_oblong: bool = False  # of what should be a face crop: no such crop is much longer than wide
    box: list[int] | None = None
    shown: bytes | None = None  # encoded picture to keep, where asked for
    photo: Preview | None = None  # of the first face of a photo, where asked for
    found: dict[str, Any] = field(default_factory=dict)  # face, faces, detection, where faces are looked for


@dataclass
class Chunk:
    """Pictures decoded together: always the same ones, however often the job was interrupted.

    So each face meets the same batch mates again, and gets the same probabilities to the last digit.
    """

    slots: list[Slot]
    faces: images.Pixels  # (n, 112, 112, 3), one a slot; what could not be read is black


def decoded(pictures: Pictures, job: PredictJob, *, size: int, threads: int, first: int) -> Iterator[Chunk]:
    """Chunks in order, from the one that holds picture `first` on; `size` pictures each, photos fewer."""
    finder, ready = None, None
    if job.faces == "find":
        from mmfrm.faces.find import FaceFinder, use_one_thread

        finder, ready, size = FaceFinder(job.min_face), use_one_thread, min(size, PHOTOS_AT_ONCE)
    total = len(pictures.names)
    starts = iter(range(first - first % size, total, size))
    with ThreadPoolExecutor(max(2, threads), thread_name_prefix="decode", initializer=ready) as pool:
        coming: deque[Future[Chunk]] = deque()

        def ask() -> None:
            start = next(starts, None)
            if start is not None:
                positions = range(start, min(start + size, total))
                coming.append(pool.submit(_chunk, pictures, positions, finder, job))

        try:
            for _ in range(CHUNKS_AHEAD + threads):
                ask()
            while coming:
                chunk = coming.popleft().result()
                ask()
                yield chunk
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _chunk(pictures: Pictures, positions: range, finder: FaceFinder | None, job: PredictJob) -> Chunk:
    if finder is None:
        return _crops(pictures, positions, job.save_faces)
    slots: list[Slot] = []
    faces: list[images.Pixels] = []
    for position in positions:
        for slot, face in _found(pictures, position, finder, job):
            slots.append(slot)
            faces.append(face)
    return Chunk(slots, np.stack(faces))


def _crops(pictures: Pictures, positions: range, keep_shown: bool) -> Chunk:
    slots = [Slot(picture=position) for position in positions]
    faces = np.zeros((len(positions), images.SIDE, images.SIDE, 3), np.uint8)
    for i, slot in enumerate(slots):
        try:
            faces[i] = _crop(pictures.read(slot.picture), slot, keep_shown)
        except ImageError as error:
            slot.error = str(error)
    return Chunk(slots, faces)


def _crop(data: bytes, slot: Slot, keep_shown: bool) -> images.Pixels:
    """The face of a crop (112, 112, 3), and in its slot what it looks like. Raises ImageError."""
    with ROOM.held(data):
        pixels = images.decode(data, at_least=2 * images.SIDE)
        slot.is_oblong = max(pixels.shape[:2]) > OBLONG * min(pixels.shape[:2])
        slot.shown = images.shown(data)[0] if keep_shown else None
        return images.resized(pixels)


def _found(
    pictures: Pictures, position: int, finder: FaceFinder, job: PredictJob
) -> list[tuple[Slot, images.Pixels]]:
    """A slot a face; one that says why where a photo has none or cannot be read."""
    photo: Preview | None = None
    error = no_face(finder.min_face)
    try:
        faces, photo = _faces_of(pictures.read(position), finder, job)
    except ImageError as reason:
        faces, error = [], str(reason)
    if not faces:
        none = {"face": None, "faces": 0, "detection": None}
        black = np.zeros((images.SIDE, images.SIDE, 3), np.uint8)
        return [(Slot(picture=position, error=error, found=none, photo=photo), black)]
    return [
        (
            Slot(
                picture=position,
                box=list(face.box),
                shown=images.encoded(face.crop) if job.save_faces else None,
                photo=photo if i == 0 else None,
                found={"face": i, "faces": len(faces), "detection": face.confidence},
            ),
            face.crop,
        )
        for i, face in enumerate(faces)
    ]


def _faces_of(data: bytes, finder: FaceFinder, job: PredictJob) -> tuple[list[PhotoFace], Preview | None]:
    """Faces of a photo, and its smaller copy where wanted. Its pixels are forgotten with their room."""
    with ROOM.held(data):
        pixels = images.decode(data)
        return finder.find(pixels), _preview(pixels) if job.save_photos else None


def _preview(pixels: images.Pixels) -> Preview:
    small = images.fitting(pixels, PREVIEW_SIDE)
    data = images.encoded(small, quality=PREVIEW_QUALITY)
    return Preview(data, width=pixels.shape[1], height=pixels.shape[0])
