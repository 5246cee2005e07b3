"""Where a sample and its label come from, where whoever made the version wrote it down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from webapp.datasets.models import Sample

FILE = "provenance.jsonl"  # in the version's folder: a line a sample, by its name; a later line holds


@dataclass(frozen=True)
class Origin:
    """One line of it, for people."""

    file: str
    box: list[int] | None  # of the face in that photo
    batch: int | None
    model_label: str
    confidence: float | None
    label_by: str  # a person, or "model"
    at: str


def origin_of(sample: Sample) -> Origin | None:
    """What is told of a sample; None where nothing is."""
    path = sample.version.folder / FILE
    if not path.is_file():
        return None
    named = json.dumps({"name": sample.name})[1:-1]  # as it stands in the line: most lines need no parsing
    found: dict[str, Any] | None = None
    with path.open() as lines:
        for line in lines:
            if named in line:
                told = json.loads(line)
                found = told if told["name"] == sample.name else found
    if found is None:
        return None
    return Origin(
        file=found.get("file", ""),
        box=found.get("box"),
        batch=found.get("batch"),
        model_label=found.get("model_label", ""),
        confidence=found.get("confidence"),
        label_by=found.get("label_by", ""),
        at=(found.get("at") or "")[:16].replace("T", " "),
    )
