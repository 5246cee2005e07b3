"""The native data set, a "face pack": a folder that any reader writes and everything else reads.

    dataset.json   what it is: name, layout, classes, counts, fingerprint, report. Written last: a folder
                   without it is an import that has not finished.
    samples.jsonl  one line a sample, in order
    refused.jsonl  one line a file that was refused, repaired or skipped, with the reason
    faces-0.pack   encoded images (PNG, JPEG or WebP), end to end; further packs as they grow

Packs are named relative to the folder and may lie in a sibling, so that a new version of a data set
shares the pixels of the old one. numpy and torch are not needed here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmfrm.failures import JobError

FORMAT = 1
SPLITS = ("train", "val", "test")
CACHE = ".face-cache"  # a folder beside the data, for what is made of it


class FacePackError(JobError, ValueError):
    """A folder is not a native data set, or a damaged one. The text names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One face image: where its bytes are, what it is labelled, and what was measured of it."""

    index: int
    name: str  # relative path in the source, with forward slashes
    split: str | None
    label: int | None  # index into classes; under the majority rule where there are votes
    pack: str
    offset: int
    length: int
    width: int
    height: int
    sha256: str  # of the stored bytes
    votes: list[int] | None = None
    group: str | None = None  # a person; groups are never parted by a carved split
    phash: str = ""  # 64-bit perceptual hash, 16 hexadecimal digits
    pixels: str = ""  # first 16 hexadecimal digits of the sha256 of the decoded pixels and size
    brightness: float = 0.0  # mean grey level, 0…255
    sharpness: float = 0.0  # variance of the Laplacian of the grey image
    grey: bool = False  # all three channels are equal
    box: list[int] | None = None  # x, y, width, height of the face in the upright photo it was taken from
    flags: list[str] = field(default_factory=list)

    def line(self) -> str:
        """One line of samples.jsonl, without the newline."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, separators=(",", ":"))


@dataclass(frozen=True)
class Refusal:
    """A file that did not arrive as it was."""

    name: str
    verdict: str  # refused | repaired | skipped
    reason: str  # for people

    def line(self) -> str:
        """One line of refused.jsonl, without the newline."""
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class Description:
    """dataset.json."""

    name: str
    layout: str  # ferplus | raf_db | fer2013 | folders | csv | images | drawn
    classes: list[str]
    images: int
    counts: dict[str, dict[str, int]]  # split ("" where none) -> class ("" where unlabelled) -> images
    fingerprint: str
    vote_columns: list[str] | None = None
    drawn: bool = False  # made by `mmfrm.data.drawn`; everything that shows it says so
    report: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT


class FacePack:
    """A native data set, opened for reading."""

    def __init__(self, folder: Path) -> None:
        """Raises FacePackError where the folder is none, or its import has not finished."""
        self.folder = folder
        self.description = read_description(folder)

    @cached_property
    def samples(self) -> list[Sample]:
        """Every sample, in order. Raises FacePackError for a damaged samples.jsonl."""
        samples = list(read_samples(self.folder))
        if len(samples) != self.description.images:
            raise FacePackError(
                f"{self.folder / 'samples.jsonl'} has {len(samples)} samples, dataset.json says "
                f"{self.description.images}: import the data set again"
            )
        return samples

    def bytes_of(self, sample: Sample) -> bytes:
        """The encoded image of a sample."""
        return read_bytes(self.folder, sample.pack, sample.offset, sample.length)

    def refusals(self) -> Iterator[Refusal]:
        """What was refused, repaired or skipped."""
        return read_refusals(self.folder)


def read_description(folder: Path) -> Description:
    """dataset.json of a folder. Raises FacePackError."""
    path = folder / "dataset.json"
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise FacePackError(f"{folder} is not a data set: it has no dataset.json") from None
    except (OSError, ValueError) as error:
        raise FacePackError(f"{path} cannot be read ({error})") from error
    if data.get("format") != FORMAT:
        raise FacePackError(f"{path} has format {data.get('format')!r}, this program reads {FORMAT}")
    known = Description.__dataclass_fields__
    return Description(**{name: value for name, value in data.items() if name in known})


def is_native(folder: Path) -> bool:
    """Whether a folder is a finished native data set."""
    return (folder / "dataset.json").is_file() and (folder / "samples.jsonl").is_file()


def read_samples(folder: Path) -> Iterator[Sample]:
    """Samples of samples.jsonl, one by one. Raises FacePackError naming the line that is damaged."""
    known = set(Sample.__slots__)
    for number, line in enumerate(_lines(folder / "samples.jsonl"), start=1):
        try:
            data = json.loads(line)
            yield Sample(**data if data.keys() <= known else {k: data[k] for k in data.keys() & known})
        except (ValueError, TypeError) as error:
            raise FacePackError(f"{folder / 'samples.jsonl'}, line {number} is damaged ({error})") from error


def read_refusals(folder: Path) -> Iterator[Refusal]:
    """What was refused, repaired or skipped on the way into a folder."""
    for line in _lines(folder / "refused.jsonl"):
        yield Refusal(**json.loads(line))


def read_bytes(folder: Path, pack: str, offset: int, length: int) -> bytes:
    """Bytes of one image. Raises FacePackError where the pack is missing or too short."""
    path = folder / pack
    try:
        with path.open("rb") as file:
            data = os.pread(file.fileno(), length, offset)
    except OSError as error:
        raise FacePackError(f"{path} cannot be read ({error})") from error
    if len(data) != length:
        raise FacePackError(f"{path} ends before byte {offset + length}: import the data set again")
    return data


def fingerprint(samples: Iterable[Sample], classes: list[str], vote_columns: list[str] | None) -> str:
    """What a run learned from, as a number: the same images, splits, labels or votes, and groups.

    File names, the order of samples and the order of classes do not count (labels count by name), so that
    a data set exported in any layout and imported again has the same fingerprint.
    """
    lines = sorted(_identity(sample, classes, vote_columns) for sample in samples)
    digest = sha256(json.dumps([sorted(classes), sorted(vote_columns or [])]).encode())
    for line in lines:
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _identity(sample: Sample, classes: list[str], vote_columns: list[str] | None) -> str:
    if sample.votes is not None and vote_columns is not None:
        votes = sorted((name, n) for name, n in zip(vote_columns, sample.votes, strict=True) if n)
        label = json.dumps(votes)
    else:
        label = "" if sample.label is None else classes[sample.label]
    return f"{sample.sha256} {sample.split or ''} {label} {sample.group or ''}"


def content_key(samples: Iterable[Sample]) -> str:
    """Names the pictures of a data set: equal for the same images in the same order."""
    digest = sha256()
    for sample in samples:
        digest.update(sample.sha256.encode())
    return digest.hexdigest()[:32]


def count(samples: Iterable[Sample], classes: list[str]) -> dict[str, dict[str, int]]:
    """Images by split and class, "" standing for none, in the order of splits and classes."""
    found: dict[str, dict[str, int]] = {}
    for sample in samples:
        split = found.setdefault(sample.split or "", {})
        label = "" if sample.label is None else classes[sample.label]
        split[label] = split.get(label, 0) + 1
    order = [*classes, ""]
    return {
        split: {name: found[split][name] for name in order if name in found[split]}
        for split in (*SPLITS, "")
        if split in found
    }


def write_description(folder: Path, description: Description) -> None:
    """Write dataset.json, whole or not at all."""
    write_whole(folder / "dataset.json", json.dumps(asdict(description), indent=1) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that a kill or a power cut leaves the old one or the new one."""
    part = path.with_name(path.name + ".part")
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def describe(
    folder: Path,
    *,
    name: str,
    layout: str,
    classes: list[str],
    vote_columns: list[str] | None,
    drawn: bool = False,
    report: dict[str, Any] | None = None,
) -> Description:
    """Count and fingerprint the samples of a folder and write its dataset.json, which finishes it."""
    samples = list(read_samples(folder))
    description = Description(
        name=name,
        layout=layout,
        classes=classes,
        images=len(samples),
        counts=count(samples, classes),
        fingerprint=fingerprint(samples, classes, vote_columns),
        vote_columns=vote_columns,
        drawn=drawn,
        report=report or {},
    )
    write_description(folder, description)
    return description


def renumbered(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The same samples counted from 0, for a version that leaves some out."""
    for index, sample in enumerate(samples):
        yield sample if sample.index == index else replace(sample, index=index)


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open() as file:
            yield from (line for line in file if line.strip())
    except FileNotFoundError:
        return
