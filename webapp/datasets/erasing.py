"""Pixels that no version needs any more, deleted from packs that other versions still read.

Versions share packs, so the images of a deleted version lie between those of the others. Their bytes are
made a hole in the file, or zeros where the file system knows no holes; offsets stay as they are. What is to
be done is written in the data set's row before, so a kill in the middle is made good by doing it again.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from webapp.datasets.models import Dataset, Sample

Span = tuple[int, int]  # first byte, and the one after the last
PIECE = 2**20
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # of Linux's fallocate


def erase(dataset_id: int) -> None:
    """Delete what no version of a data set needs, if that is still to be done."""
    dataset = Dataset.objects.filter(pk=dataset_id).exclude(erase_wanted_at=None).first()
    if dataset is None:
        return
    # Versions first: one that gets ready after this is passed over, one that was ready has its rows.
    ready = dict(dataset.versions.values_list("number", "ready_at"))
    needed = _needed(dataset)
    for folder in sorted(path for path in dataset.folder.glob("v*") if path.is_dir()):
        number = folder.name.removeprefix("v")
        is_known = number.isdecimal() and int(number) in ready
        if is_known and ready[int(number)] is None:
            continue  # being made: its rows are not there yet
        _tidy(folder, needed, is_known=is_known)
    Dataset.objects.filter(pk=dataset.pk, erase_wanted_at=dataset.erase_wanted_at).update(
        erase_wanted_at=None
    )


def erase_what_waits() -> int:
    """What a kill came before. Answers in how many data sets. Called hourly."""
    waiting = list(Dataset.objects.exclude(erase_wanted_at=None).values_list("pk", flat=True))
    for pk in waiting:
        erase(pk)
    return len(waiting)


def _tidy(folder: Path, needed: dict[Path, list[Span]], *, is_known: bool) -> None:
    """Keep of a version's folder what versions need; of a version that is gone nothing but packs."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".pack":
            if spans := needed.get(path.resolve()):
                _blank(path, list(_gaps(spans, path.stat().st_size)))
            else:
                path.unlink()
        elif not is_known:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not is_known and not any(folder.iterdir()):
        folder.rmdir()


def _needed(dataset: Dataset) -> dict[Path, list[Span]]:
    """The bytes of each pack that rows speak of."""
    found: dict[Path, set[Span]] = {}
    places: dict[tuple[int, str], Path] = {}
    rows = Sample.objects.filter(version__dataset=dataset).order_by()
    columns = ("version__number", "pack", "offset", "length")
    for number, pack, offset, length in rows.values_list(*columns).iterator(5000):
        if (number, pack) not in places:
            places[number, pack] = (dataset.folder / f"v{number}" / pack).resolve()
        found.setdefault(places[number, pack], set()).add((offset, offset + length))
    return {path: sorted(spans) for path, spans in found.items()}


def _gaps(spans: Sequence[Span], size: int) -> Iterator[Span]:
    """What lies between spans, and after the last."""
    end = 0
    for first, after in spans:
        if first > end:
            yield end, first
        end = max(end, after)
    if end < size:
        yield end, size


def _blank(path: Path, gaps: Sequence[Span]) -> None:
    if not gaps:
        return
    with path.open("r+b") as file:
        for first, after in gaps:
            if _punch(file.fileno(), first, after - first):
                continue
            file.seek(first)
            for start in range(first, after, PIECE):
                file.write(bytes(min(PIECE, after - start)))
        file.flush()
        os.fsync(file.fileno())


def _punch(descriptor: int, offset: int, length: int) -> bool:
    """Give bytes back to the disk; they read as zeros then. False where that cannot be done."""
    fallocate = getattr(ctypes.CDLL(None), "fallocate64", None)
    if fallocate is None:
        return False
    mode = ctypes.c_int(_PUNCH_HOLE | _KEEP_SIZE)
    return bool(fallocate(descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) == 0)
