"""Class folders: [split/]expression/image, anywhere below the root. And images without labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from mmfrm.classes import NOT_AN_EXPRESSION, RAF_DB, canonical, ordered
from mmfrm.data.archive import Archive, Entry
from mmfrm.data.layout import (
    Groups,
    Item,
    Plan,
    base,
    leftovers,
    may_be_image,
    split_named,
    split_of_path,
    stream_of,
    tally_of,
)

_RAF_NAME = re.compile(r"(train|test)_\d+(_aligned)?\.\w+", re.IGNORECASE)
# Subjects stand in the file names of these data sets: CK+ (S010_004_00000017), JAFFE (KA.AN1.39) and
# KDEF (AF01ANS).
_SUBJECT = re.compile(
    r"(S\d{3})_\d{3}_\d+|([A-Z]{2})\.(?:AN|DI|FE|HA|NE|SA|SU)\d\.\d+|[AB]([FM]\d{2})[A-Z]{3,4}\."
)


def read_folders(archive: Archive, *, asked_for: bool = False) -> Plan | None:
    """The plan of class folders, or None where fewer than two folders are named after expressions.

    asked_for: take any folder names as classes, also such as are no expressions.
    """
    images = [entry for entry in archive.entries if may_be_image(entry.name)]
    class_of = {folder: _class_named(folder, asked_for) for folder in {_folder(e) for e in images}}
    if not asked_for and _are_raf_numbers(images):
        class_of = {folder: RAF_DB[int(folder) - 1] for folder in class_of if folder in set("1234567")}
    labelled = [entry for entry in images if class_of.get(_folder(entry)) is not None]
    found = Counter(class_of[_folder(entry)] for entry in labelled)
    if len(found) < 2 or (not asked_for and 2 * len(labelled) < len(images)):
        return None
    classes = ordered([name for name in found if name is not None and name not in NOT_AN_EXPRESSION])
    items = [(_item(entry, class_of.get(_folder(entry)), classes), entry) for entry in images]
    splits = Counter(item.split or "none" for item, _ in items)
    return Plan(
        layout="folders",
        reason=f"{len(found)} folders are named after expressions: {', '.join(classes)}",
        classes=list(classes),
        total=len(items),
        tally=tally_of(classes, (item for item, _ in items)),
        groups=_groups(item.group for item, _ in items),
        stream=stream_of(archive, items),
        report={
            "images_outside_class_folders": len(images) - len(labelled),
            "images_by_split": dict(splits),
        },
        refusals=leftovers(archive, {entry.name for entry in images}),
    )


def read_images(archive: Archive) -> Plan:
    """The plan of everything that may be an image, without labels."""
    images = [entry for entry in archive.entries if may_be_image(entry.name)]
    items = [(Item(e.name, split_of_path(e.name)), e) for e in images]
    return Plan(
        layout="images",
        reason="no labels: neither a table that names the images, nor folders named after expressions",
        classes=[],
        total=len(images),
        tally=tally_of((), (item for item, _ in items)),
        stream=stream_of(archive, items),
        refusals=leftovers(archive, {entry.name for entry in images}),
    )


def subject_of(name: str) -> str | None:
    """The person a file name speaks of, in data sets that are known to do so."""
    match = _SUBJECT.match(base(name))
    return next((part for part in match.groups() if part), None) if match else None


def _groups(groups: Iterable[str | None]) -> Groups | None:
    found = {group for group in groups if group is not None}
    if not found:
        return None
    why = f"they name {len(found):,} people, as in CK+, JAFFE and KDEF"
    return Groups(by="file names", recognised="file names", why=why)


def _item(entry: Entry, name: str | None, classes: tuple[str, ...]) -> Item:
    label = classes.index(name) if name in classes else None
    return Item(entry.name, split_of_path(entry.name), label, None, subject_of(entry.name))


def _folder(entry: Entry) -> str:
    """The class folder of an entry: the innermost one that is not a split."""
    for part in reversed(entry.name.split("/")[:-1]):
        if split_named(part) is None:
            return part
    return ""


def _class_named(folder: str, asked_for: bool) -> str | None:
    return canonical(folder) or (folder if asked_for and folder else None)


def _are_raf_numbers(images: list[Entry]) -> bool:
    """RAF-DB is also shipped as folders 1…7; only its file names tell what the numbers mean."""
    numbered = [entry for entry in images if _folder(entry) in set("1234567")]
    return bool(numbered) and all(_RAF_NAME.fullmatch(base(entry.name)) for entry in numbered)
