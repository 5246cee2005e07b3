"""Writing a native data set so that a kill at any moment loses no more than the last few images.

A journal beside the data says how far the three files are good. It is replaced atomically after the data
is on disk; opening the folder again cuts off whatever came after it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from mmfrm.data.native import Refusal, Sample, write_whole

PACK_BYTES = 2**30  # a new pack is begun beyond this, so that files stay easy to copy


@dataclass(frozen=True)
class Journal:
    """How far an unfinished data set is good."""

    source: str  # fingerprint of the source and of how it is read; another one starts afresh
    items: int = 0  # planned files done, arrived or not
    samples: int = 0
    samples_bytes: int = 0
    refused_bytes: int = 0
    pack: int = 0
    pack_bytes: int = 0


class PackWriter:
    """Appends samples to a native data set, resuming where its journal says."""

    def __init__(self, folder: Path, source: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.journal = _read_journal(folder / "import.json", source)
        (folder / "dataset.json").unlink(missing_ok=True)
        self._samples = _open_at(folder / "samples.jsonl", self.journal.samples_bytes)
        self._refused = _open_at(folder / "refused.jsonl", self.journal.refused_bytes)
        self._pack = _open_at(folder / self._pack_name(self.journal.pack), self.journal.pack_bytes)
        self._commit()

    @property
    def resumed(self) -> bool:
        """Whether an earlier attempt got somewhere."""
        return self.journal.items > 0

    def add(self, images: Iterable[tuple[Sample, bytes]], refusals: Iterable[Refusal], items: int) -> None:
        """Append images and refusals that came of `items` planned files, and make them last.

        Index, pack, offset and length of each sample are filled in here.
        """
        journal = self.journal
        for sample, data in images:
            if journal.pack_bytes + len(data) > PACK_BYTES and journal.pack_bytes:
                journal = self._next_pack(journal)
            placed = replace(
                sample,
                index=journal.samples,
                pack=self._pack_name(journal.pack),
                offset=journal.pack_bytes,
                length=len(data),
            )
            self._pack.write(data)
            self._samples.write(placed.line().encode() + b"\n")
            journal = replace(journal, samples=journal.samples + 1, pack_bytes=journal.pack_bytes + len(data))
        for refusal in refusals:
            self._refused.write(refusal.line().encode() + b"\n")
        self.journal = replace(
            journal,
            items=journal.items + items,
            samples_bytes=self._samples.tell(),
            refused_bytes=self._refused.tell(),
        )
        self._commit()

    def close(self) -> None:
        """Close the files; the journal stays, so that the import can go on."""
        for file in (self._samples, self._refused, self._pack):
            file.close()

    def finished(self) -> None:
        """Close for good: the journal is no longer needed."""
        self.close()
        (self.folder / "import.json").unlink(missing_ok=True)

    def _next_pack(self, journal: Journal) -> Journal:
        _sync(self._pack)
        self._pack.close()
        self._pack = _open_at(self.folder / self._pack_name(journal.pack + 1), 0)
        return replace(journal, pack=journal.pack + 1, pack_bytes=0)

    def _commit(self) -> None:
        for file in (self._pack, self._samples, self._refused):
            _sync(file)
        write_whole(self.folder / "import.json", json.dumps(asdict(self.journal)))

    @staticmethod
    def _pack_name(number: int) -> str:
        return f"faces-{number}.pack"


def _read_journal(path: Path, source: str) -> Journal:
    try:
        journal = Journal(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return Journal(source)
    return journal if journal.source == source else Journal(source)


def _open_at(path: Path, size: int) -> BinaryIO:
    """Open for appending at `size`, cutting off what a killed attempt left beyond it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(descriptor, size)
    os.lseek(descriptor, size, os.SEEK_SET)
    return os.fdopen(descriptor, "wb")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
