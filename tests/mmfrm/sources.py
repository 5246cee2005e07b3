"""Small pictures and archives made by code, for tests of readers and of imports."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmfrm.control import Control
from mmfrm.data.ingest import ingest
from mmfrm.data.native import FacePack, Refusal
from mmfrm.events import Event
from mmfrm.jobs import ImportJob


def picture(seed: int, *, width: int = 48, height: int = 48, mode: str = "RGB") -> Image.Image:
    """A smooth picture of chance; every seed gives another one."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return image if mode == "RGB" else image.convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(seed: int, mode: str = "RGB") -> bytes:
    return encoded(picture(seed, mode=mode))


def jpeg(seed: int, **options: Any) -> bytes:
    return encoded(picture(seed), "JPEG", **options)


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def raw_png(width: int, height: int, depth: int, colours: int, rows: bytes) -> bytes:
    """A PNG from its parts, also such as no library would write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write_zip(path: Path, files: Mapping[str, bytes] | Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    pairs = files.items() if isinstance(files, Mapping) else files
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in pairs:
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if len(data) > 10_000 else zipfile.ZIP_STORED)
    return path


def write_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def import_events(source: Path, out: Path, **settings: Any) -> list[Event]:
    job = ImportJob(source=str(source), out=str(out), **settings)
    return list(ingest(out.parent, job, Control()))


def imported(source: Path, out: Path, **settings: Any) -> FacePack:
    """The native data set that an import made."""
    import_events(source, out, **settings)
    return FacePack(out)


def refusals(out: Path) -> dict[str, list[Refusal]]:
    """What was refused, repaired or skipped, by name; an import that failed has a list too."""
    found: dict[str, list[Refusal]] = {}
    for line in (out / "refused.jsonl").read_text().splitlines():
        refusal = Refusal(**json.loads(line))
        found.setdefault(refusal.name, []).append(refusal)
    return found
