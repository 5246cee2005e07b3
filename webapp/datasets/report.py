"""What is in a version, and what was odd about it. All of it was counted when the version was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmfrm.jobs import NO_GROUPS
from webapp.datasets.models import DatasetVersion, Refusal

SPLITS = ("train", "val", "test")
CARVED_SHARE = 0.1  # the share that a carved split is to have
LAYOUT_NAMES = {
    "ferplus": "FERPlus",
    "raf_db": "RAF-DB",
    "fer2013": "FER2013",
    "folders": "class folders",
    "csv": "a CSV and its images",
    "images": "images without labels",
    "drawn": "drawn faces",
}
SPLIT_NAMES = {"train": "Train", "val": "Validation", "test": "Test", "": "No split"}


@dataclass(frozen=True)
class ClassRow:
    """One class of the table of counts."""

    name: str  # "" stands for images without a label
    counts: tuple[int, ...]  # in the order of the table's splits
    total: int
    share: float  # of all images


@dataclass(frozen=True)
class ClassTable:
    """Images by class and split."""

    splits: tuple[str, ...]
    rows: tuple[ClassRow, ...]
    totals: tuple[int, ...]
    total: int

    @property
    def columns(self) -> list[tuple[str, str, int]]:
        """Split, its name for people, and its total."""
        return [(s, SPLIT_NAMES[s], n) for s, n in zip(self.splits, self.totals, strict=True)]


def class_table(version: DatasetVersion) -> ClassTable:
    """Counted when the version was made; nothing is counted now."""
    counts: Mapping[str, Mapping[str, int]] = version.counts
    splits = tuple(s for s in (*SPLITS, "") if s in counts)
    names = [*version.classes, *([""] if any("" in c for c in counts.values()) else [])]
    rows = []
    for name in names:
        found = tuple(counts[s].get(name, 0) for s in splits)
        rows.append(ClassRow(name, found, sum(found), sum(found) / max(1, version.images)))
    totals = tuple(sum(counts[s].values()) for s in splits)
    return ClassTable(splits, tuple(rows), totals, sum(totals))


def chart(table: ClassTable) -> dict[str, Any]:
    """The class distribution as datasets.js draws it."""
    bars = [
        {"split": split, "name": SPLIT_NAMES[split], "counts": [row.counts[i] for row in table.rows]}
        for i, split in enumerate(table.splits)
    ]
    return {"classes": [row.name for row in table.rows], "bars": bars}


def observations(version: DatasetVersion, table: ClassTable) -> list[str]:
    """What a researcher should know before training on it, in words."""
    said: list[str] = []
    labelled = [row for row in table.rows if row.name]
    if not version.classes:
        return ["No image has a label: it can be labelled and looked at, not trained on."]
    said += _missing_splits(table)
    if (share := largest_group(version)) > CARVED_SHARE:
        count = version.report["groups"]["count"]
        by = f" by {version.report['grouped_by']}" if "grouped_by" in version.report else ""
        said.append(
            f"Faces are kept together in {count:,} group{'s' * (count != 1)}{by}, and the largest has "
            f"{share:.0%} of them: no split that is carved can part it."
        )
    empty = [row.name for row in labelled if not row.total]
    if empty:
        said.append(f"No image of {_listed(empty)}.")
    present = [row for row in labelled if row.total]
    if present:
        most, least = max(present, key=lambda r: r.total), min(present, key=lambda r: r.total)
        if most.total >= 10 * least.total:
            said.append(
                f"{most.name.capitalize()} is {most.total / least.total:.0f} times as frequent as "
                f"{least.name}: accuracy alone will flatter; look at the mean over classes too."
            )
    return said


def largest_group(version: DatasetVersion) -> float:
    """The share of the images that the largest group of one person's faces has, as they were imported."""
    groups: Mapping[str, int] = version.report.get("groups", {})
    return min(1.0, groups.get("largest", 0) / max(1, version.images))


def duplicates(version: DatasetVersion) -> list[str]:
    """What the reader found to occur more than once, in words."""
    found: Mapping[str, int] = version.report.get("duplicates", {})
    said = []
    if groups := found.get("exact_groups"):
        across = found.get("exact_groups_across_splits", 0)
        said.append(
            f"{found.get('exact_images', 0):,} images occur more than once, in {_groups(groups)}"
            + (f", {across:,} of them in more than one split." if across else ", within one split.")
        )
    if conflicts := found.get("exact_groups_with_conflicting_labels"):
        said.append(f"In {_groups(conflicts)} of equal images the labels differ.")
    if leaks := found.get("leaking_exact", 0) + found.get("leaking_near", 0):
        said.append(
            f"{leaks:,} training images have an equal or nearly equal one in validation or test. "
            "Runs leave them out unless told otherwise."
        )
    return said


def _groups(count: int) -> str:
    return f"{count:,} group{'' if count == 1 else 's'}"


def _missing_splits(table: ClassTable) -> list[str]:
    said = []
    if "val" not in table.splits:
        said.append("There is no validation split: each run carves one from train, by its seed.")
    if "test" not in table.splits:
        said.append("There is no test split: runs carve one, and nothing compares with published figures.")
    return said


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def chosen(version: DatasetVersion) -> list[str]:
    """What people chose before the import, in words."""
    made: Mapping[str, Any] = version.report.get("chosen", {})
    return chosen_words(made, version.report.get("left_out", {}))


def chosen_words(made: Mapping[str, Any], left_out: Mapping[str, int] | None = None) -> list[str]:
    """Choices as `mmfrm.data.choosing` keeps them, in words; left_out: how many images of each class went."""
    said = []
    for name, goal in made.get("classes", {}).items():
        if goal:
            said.append(f"{name} becomes {goal}")
        else:
            count = None if left_out is None else left_out.get(name, 0)
            images = "" if count is None else f" ({count:,} image{'s' * (count != 1)})"
            said.append(f"{name} left out{images}")
    if by := made.get("group_by"):
        said.append("nobody kept together" if by == NO_GROUPS else f"faces kept together by {by}")
    if made.get("splits") == "none":
        said.append("splits forgotten")
    return said


SHOWN_ELSEWHERE = frozenset(
    {
        "chosen",
        "left_out",
        "flags",
        "layout_reason",
        "source_id",
        "duplicates",
        "refused",
        "repaired",
        "skipped",
        "seed",
        "near_constant_count",
        "verdicts",
    }
)


@dataclass(frozen=True)
class Finding:
    """One thing the reader counted or noted."""

    what: str
    count: int | None
    examples: tuple[str, ...] = ()


def findings(version: DatasetVersion) -> list[Finding]:
    """The report of the reader, without what it did not find."""
    found = []
    for key, value in version.report.items():
        what = key.removesuffix("_count").replace("_", " ").capitalize()
        match value:
            case _ if key in SHOWN_ELSEWHERE:
                pass
            case bool():
                found += [Finding(what, None)] if value else []
            case int():
                found += [Finding(what, value)] if value else []
            case {"count": int(count), "examples": list(examples)} if count:
                found.append(Finding(what, count, tuple(map(str, examples))))
            case _:
                pass
    return found


def verdicts(version: DatasetVersion) -> list[tuple[str, str, int]]:
    """Verdict, its name for people, and how many files have it; counted when the version was made."""
    counts: Mapping[str, int] = version.report.get("verdicts", {})
    return [(v.value, str(v.label), counts[v.value]) for v in Refusal.Verdict if v.value in counts]


def flags(version: DatasetVersion) -> list[tuple[str, str, int]]:
    """Flag, its words, and how many faces have it; counted when the version was made."""
    found: Mapping[str, int] = version.report.get("flags", {})
    return [(name, name.replace("_", " "), count) for name, count in sorted(found.items())]
