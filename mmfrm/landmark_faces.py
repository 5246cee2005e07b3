"""Faces with their 68 points: an .npz beside any source of pictures, or 300-W-like .pts files. No torch."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfrm.data.mapped import mapped_zeros
from mmfrm.failures import JobError
from mmfrm.images import EXTENSIONS, SIDE, ImageError, decode, resized
from mmfrm.sources import Pictures, open_pictures

POINTS = 68  # in the iBUG order
LEFT_EYE_OUTER, RIGHT_EYE_OUTER = 36, 45
CROP = 1.35  # side of the square cut out of a photo, in largest extents of its points
HELD_OUT = 0.1  # carved where the source names no parts
CHUNK = 256

Points = NDArray[np.float32]  # (N, 68, 2), x and y in pixels of the 112×112 face; some may lie outside


@dataclass(frozen=True)
class LandmarkFaces:
    """Faces and points, by part: train, val, test. `images` is memory-mapped."""

    images: NDArray[np.uint8]  # (N, C, 112, 112), C is 1 where every picture is grey, else 3
    points: Points
    parts: dict[str, NDArray[np.int64]]  # positions in the two above
    fingerprint: str
    report: dict[str, Any]


@dataclass(frozen=True)
class _Wanted:
    """A picture with points. `in_photo`: the points are pixels of the whole picture, so cut the face out."""

    position: int
    name: str
    points: NDArray[np.float32]
    in_photo: bool


def open_landmark_faces(
    data: str, points: str, cache: Path, tell: Callable[[int, int], None] | None = None
) -> LandmarkFaces:
    """Match pictures with points, decode each once into `cache` (a folder), and part them.

    Parts are read off the pictures' folders (…Train…, …Valid…, …Test…); without such, a tenth is held out
    by a hash of the name. Raises JobError where nothing matches or the points are no points, OSError where
    the disk has no room for the faces.
    """
    pictures = open_pictures(data)
    wanted, unmatched = _match(pictures, Path(points))
    if not wanted:
        raise JobError(f"No picture of {data} has points in {points}: their names have nothing in common.")
    names = [w.name for w in wanted]
    # The cache is found by where the pictures lie; what they are says the fingerprint, so that a training
    # goes on with a copy of its data.
    place = sha256(pictures.identity.encode())
    for one in wanted:
        place.update(one.name.encode() + one.points.tobytes())
    images, kept, odd = _decoded(pictures, wanted, cache / f"faces-{place.hexdigest()[:16]}", tell)
    sound = np.flatnonzero(kept[:, 0, 0] == kept[:, 0, 0])  # an unreadable picture has NaN for points
    parts = {part: sound[where[sound]] for part, where in _parts(names).items()}
    report = {"matched": len(wanted), "without_points": unmatched, "unreadable": odd}
    return LandmarkFaces(images, kept, parts, _fingerprint(names, images, kept), report)


def _fingerprint(names: list[str], images: NDArray[np.uint8], points: Points) -> str:
    """Of names, pixels and points; 34,445 grey faces take half a second."""
    digest = sha256("\n".join(names).encode())
    for start in range(0, len(images), CHUNK):
        digest.update(np.ascontiguousarray(images[start : start + CHUNK]).data)
    digest.update(np.ascontiguousarray(points).data)
    return digest.hexdigest()


def _match(pictures: Pictures, source: Path) -> tuple[list[_Wanted], int]:
    """Pictures that have points, in the order of the pictures, and how many have none."""
    in_photo = source.is_dir()
    points = dict(read_pts_folder(source) if in_photo else read_npz(source))
    wanted, unmatched = [], 0
    for position, name in enumerate(pictures.names):
        file = PurePosixPath(name)
        keys = (str(file.with_suffix("")), file.stem) if in_photo else (name, file.name)
        if file.suffix.lower() not in EXTENSIONS:
            continue  # label lists, and the .pts files themselves
        own = next((points[key] for key in keys if key in points), None)
        if own is None:
            unmatched += 1
        else:
            wanted.append(_Wanted(position, name, own, in_photo))
    return wanted, unmatched


def read_npz(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """`names`, `points` (N, 68, 2) in pixels of the 112×112 face and, where given, `found` (N,)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names, points = file["names"], file["points"]
            found = file["found"] if "found" in file else np.ones(len(names), bool)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise JobError(
            f"{path} is no file of points ({error}). An .npz with `names` and `points` (N, 68, 2) is "
            "expected, or a folder of .pts files."
        ) from error
    if points.shape != (len(names), POINTS, 2):
        raise JobError(f"{path}: points are {points.shape}, not ({len(names)}, {POINTS}, 2).")
    for name, own, is_found in zip(names, points.astype(np.float32), found, strict=True):
        if is_found and np.isfinite(own).all():
            yield str(name), own


def read_pts_folder(folder: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every .pts file (300-W: `{`, `x y` a line, `}`; pixels count from 1), by name without suffix."""
    for path in sorted(folder.rglob("*.pts")):
        try:
            inside = path.read_text().partition("{")[2].partition("}")[0]
            own = np.array(inside.split(), np.float32).reshape(-1, 2)
        except (OSError, ValueError) as error:
            raise JobError(f"{path} is no .pts file ({error}).") from error
        if len(own) != POINTS:
            raise JobError(f"{path} has {len(own)} points, not {POINTS}.")
        yield path.relative_to(folder).with_suffix("").as_posix(), own - 0.5


def _parts(names: list[str]) -> dict[str, NDArray[np.bool_]]:
    part_of = np.array([_named_part(name) for name in names])
    if not {"val", "test"} & set(part_of):
        part_of = np.array(["val" if _share(name) < HELD_OUT else "train" for name in names])
    return {part: part_of == part for part in ("train", "val", "test")}


def _named_part(name: str) -> str:
    folders = "/".join(name.lower().split("/")[:-1])
    if "test" in folders:
        return "test"
    return "val" if "val" in folders else "train"


def _share(name: str) -> float:
    return int.from_bytes(sha256(name.encode()).digest()[:4], "big") / 2**32


def _decoded(
    pictures: Pictures, wanted: list[_Wanted], path: Path, tell: Callable[[int, int], None] | None
) -> tuple[NDArray[np.uint8], Points, list[str]]:
    """The faces as one memory-mapped file, made once; their points; and names of unreadable ones."""
    images_path, points_path = path.with_suffix(".npy"), path.with_suffix(".points.npy")
    odd: list[str] = []
    if not (images_path.exists() and points_path.exists()):
        path.parent.mkdir(parents=True, exist_ok=True)
        colours = 1 if all(_is_grey(pictures, w) for w in wanted[:: max(1, len(wanted) // 64)]) else 3
        part = path.with_suffix(".part")
        images = mapped_zeros(part, (len(wanted), colours, SIDE, SIDE))
        points = np.full((len(wanted), POINTS, 2), np.nan, np.float32)
        done = 0
        for count, failed in _decode_all(pictures, wanted, images, points):
            odd += failed
            done += count
            if tell is not None:
                tell(done, len(wanted))
        images.flush()
        np.save(points_path, points)
        part.replace(images_path)
    points = np.load(points_path)
    return np.load(images_path, mmap_mode="r"), points, odd


def _is_grey(pictures: Pictures, wanted: _Wanted) -> bool:
    try:
        pixels = decode(pictures.read(wanted.position))
    except ImageError:
        return True
    return bool((pixels[..., :1] == pixels).all())


def _decode_all(
    pictures: Pictures, wanted: list[_Wanted], images: NDArray[np.uint8], points: Points
) -> Iterator[tuple[int, list[str]]]:
    def chunk(start: int) -> tuple[int, list[str]]:
        failed = []
        some = wanted[start : start + CHUNK]
        for at, one in enumerate(some, start):
            try:
                face, points[at] = _face(decode(pictures.read(one.position)), one)
            except ImageError as error:
                failed.append(f"{one.name}: {error}")
                continue
            images[at] = face.transpose(2, 0, 1)[: images.shape[1]]
        return len(some), failed

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(chunk, range(0, len(wanted), CHUNK))


def _face(pixels: NDArray[np.uint8], wanted: _Wanted) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The 112×112 face and its points in it."""
    if not wanted.in_photo:
        return resized(pixels), wanted.points
    low, high = wanted.points.min(0), wanted.points.max(0)
    side = max(2, round(CROP * float((high - low).max())))
    left, top = ((low + high) / 2 - side / 2).round().astype(int)
    columns = np.arange(left, left + side).clip(0, pixels.shape[1] - 1)  # beyond the photo: its edge
    rows = np.arange(top, top + side).clip(0, pixels.shape[0] - 1)
    moved = (wanted.points - np.array([left, top], np.float32)) * np.float32(SIDE / side)
    return resized(np.ascontiguousarray(pixels[rows][:, columns])), moved
