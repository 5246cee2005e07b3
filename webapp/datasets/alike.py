"""Groups of equal and nearly equal faces: what the reader found, as rows that pages show and act upon."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

HELD_OUT = ("test", "val")  # in the order in which they are kept


class Member(NamedTuple):
    """What a group needs to know of a face."""

    split: str
    label: int | None
    pixels: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Member:
        """From a line of samples.jsonl."""
        return cls(row["split"] or "", row["label"], row.get("pixels") or row["sha256"])


Members = dict[int, Member | None]  # by index; None until its line was read


def read(folder: Path, *, is_drawn: bool) -> list[list[int]]:
    """Groups as the reader left them in duplicates.json, none where it looked for none.

    Drawn people look alike without being the same: of them only equal pictures count.
    """
    with suppress(OSError, ValueError, KeyError):
        found = json.loads((folder / "duplicates.json").read_text())
        groups: list[list[int]] = found["exact" if is_drawn else "near"]
        return groups
    return []


def rows(version_id: int, groups: Sequence[Sequence[int]], members: Members) -> Iterator[dict[str, Any]]:
    """The columns of each group, in AlikeGroup's names; JSON as text."""
    whole = ([i for i in sorted(group) if members.get(i) is not None] for group in groups)
    for number, group in enumerate(g for g in whole if len(g) > 1):
        known = {i: member for i in group if (member := members[i]) is not None}
        splits = {member.split for member in known.values()}
        is_leaking = "train" in splits and any(split in splits for split in HELD_OUT)
        training = [i for i, member in known.items() if is_leaking and member.split == "train"]
        yield {
            "version_id": version_id,
            "number": number,
            "indices": json.dumps(list(known)),
            "training": json.dumps(training),
            "keep": min(known, key=lambda i: (_rank(known[i].split), i)),
            "has_equal": len({member.pixels for member in known.values()}) < len(known),
            "is_across": len(splits) > 1,
            "is_leaking": is_leaking,
            "has_conflict": len({member.label for member in known.values()} - {None}) > 1,
        }


def _rank(split: str) -> int:
    return HELD_OUT.index(split) if split in HELD_OUT else len(HELD_OUT)
