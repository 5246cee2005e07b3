"""A new version of a data set: what was asked for changed, nothing else did, and no pixel was copied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmfrm.config import DataConfig
from mmfrm.control import Control
from mmfrm.data.faces import open_faces
from mmfrm.data.native import FacePack
from mmfrm.data.revise import revise
from mmfrm.events import Event, Finished, Notice
from mmfrm.failures import JobError
from mmfrm.jobs import ReviseJob
from tests.mmfrm.sources import imported, png, write_zip

NAMES = ("anger", "happiness", "neutral")


@pytest.fixture
def old(tmp_path: Path) -> FacePack:
    """36 faces in train and test; test repeats the first two of train."""
    files = {f"train/{NAMES[i % 3]}/{i:02}.png": png(i) for i in range(30)}
    files |= {f"test/{NAMES[i % 3]}/again{i:02}.png": png(i) for i in range(2)}
    files |= {f"test/{NAMES[i % 3]}/{i:02}.png": png(i) for i in range(30, 34)}
    return imported(write_zip(tmp_path / "faces.zip", files), tmp_path / "set" / "v1")


def revision(old: FacePack, **wish: Any) -> tuple[FacePack, list[Event]]:
    out = old.folder.parent / "v2"
    job = ReviseJob(source=str(old.folder), out=str(out), **wish)
    events = list(revise(old.folder.parent / "job", job, Control()))
    assert isinstance(events[-1], Finished)
    return FacePack(out), events


def revised(old: FacePack, **wish: Any) -> FacePack:
    return revision(old, **wish)[0]


def warnings(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and event.level == "warning"]


def test_edits_change_what_they_name_and_no_pixel_is_copied(old: FacePack) -> None:
    new = revised(old, exclude=[3, 4], relabel={"5": "anger", "6": ""}, tags={"7": "hand covers_mouth"})
    kept = [s for s in old.samples if s.index not in (3, 4)]
    assert [s.name for s in new.samples] == [s.name for s in kept]
    assert [s.index for s in new.samples] == list(range(len(kept)))
    assert not list(new.folder.glob("*.pack"))
    for before, after in zip(kept, new.samples, strict=True):
        assert new.bytes_of(after) == old.bytes_of(before)
        if before.index not in (5, 6):
            assert (after.label, after.split) == (before.label, before.split)
    by_name = {s.name: s for s in new.samples}
    classes = new.description.classes
    assert by_name[old.samples[5].name].label == classes.index("anger")
    assert by_name[old.samples[6].name].label is None
    assert by_name[old.samples[7].name].flags == [*old.samples[7].flags, "hand", "covers_mouth"]
    assert new.description.fingerprint != old.description.fingerprint
    assert new.description.report["changed"] == {"excluded": 2, "relabelled": 2, "tagged": 1}


def test_a_version_of_a_version_finds_the_first_ones_pixels(old: FacePack) -> None:
    second = revised(old, exclude=[0])
    out = old.folder.parent / "v3"
    job = ReviseJob(source=str(second.folder), out=str(out), exclude=[0])
    list(revise(old.folder.parent / "job", job, Control()))
    third = FacePack(out)
    assert third.bytes_of(third.samples[0]) == old.bytes_of(old.samples[2])
    assert {s.pack for s in third.samples} == {"../v1/faces-0.pack"}


def test_leaking_training_images_are_left_out_and_none_is_left(old: FacePack) -> None:
    assert old.description.report["duplicates"]["leaking_exact"] == 2
    new = revised(old, leave_out_leaks=True)
    assert len(new.samples) == len(old.samples) - 2
    found = new.description.report["duplicates"]
    assert found["leaking_exact"] == found["leaking_near"] == 0
    assert sum(s.split == "test" for s in new.samples) == sum(s.split == "test" for s in old.samples)


def test_what_is_excluded_anyway_cannot_be_leaked_to(old: FacePack) -> None:
    copies = [s.index for s in old.samples if "again" in s.name]
    new = revised(old, exclude=copies, leave_out_leaks=True)
    assert len(new.samples) == len(old.samples) - 2
    assert sum(s.split == "train" for s in new.samples) == 30


def test_a_carved_validation_split_has_every_class_and_touches_no_test_image(old: FacePack) -> None:
    new = revised(old, carve=0.2)
    held = [s for s in new.samples if s.split == "val"]
    assert {s.label for s in held} == {0, 1, 2}
    assert 4 <= len(held) <= 8
    test = {s.name for s in old.samples if s.split == "test"}
    assert {s.name for s in new.samples if s.split == "test"} == test
    assert new.description.report["changed"]["moved_to_val"] == len(held)


def test_carving_never_parts_equal_images(tmp_path: Path) -> None:
    files = {f"train/{NAMES[i % 3]}/{i:02}.png": png(i // 6 * 3 + i % 3) for i in range(60)}
    old = imported(write_zip(tmp_path / "twice.zip", files), tmp_path / "set" / "v1")
    new = revised(old, carve=0.3)
    splits: dict[str, set[str | None]] = {}
    for sample in new.samples:
        splits.setdefault(sample.sha256, set()).add(sample.split)
    assert {"train", "val"} == {s.split for s in new.samples}
    assert all(len(found) == 1 for found in splits.values())


def test_near_constant_images_are_left_out(old: FacePack, tmp_path: Path) -> None:
    from PIL import Image

    from tests.mmfrm.sources import encoded

    files = {f"{NAMES[i % 2]}/{i}.png": png(i) for i in range(6)}
    files["anger/blank.png"] = encoded(Image.new("RGB", (48, 48), (90, 90, 90)))
    blank = imported(write_zip(tmp_path / "blank.zip", files), tmp_path / "blank" / "v1")
    assert blank.description.report["near_constant_count"] == 1
    new = revised(blank, leave_out_near_constant=True)
    assert {s.name for s in blank.samples} - {s.name for s in new.samples} == {"anger/blank.png"}
    assert new.description.report["near_constant_count"] == 0


def test_a_training_reads_the_new_version(old: FacePack, tmp_path: Path) -> None:
    new = revised(old, leave_out_leaks=True, carve=0.2)
    faces = open_faces(new.folder, DataConfig(), tmp_path / "cache")
    assert {name: len(split) for name, split in faces.splits.items()} == {
        name: sum(counts.values()) for name, counts in new.description.counts.items()
    }


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"exclude": [99]}, "no image 99"),
        ({"relabel": {"0": "boredom"}}, "boredom is not a class"),
        ({"exclude": list(range(36))}, "No image would be left"),
    ],
)
def test_what_cannot_be_done_is_said(old: FacePack, wish: dict[str, Any], words: str) -> None:
    with pytest.raises(JobError, match=words):
        revised(old, **wish)


def test_faces_are_added_and_those_that_are_there_already_are_set_right_in_place(
    old: FacePack, tmp_path: Path
) -> None:
    rows = ["path,label,split,group"]
    files: dict[str, bytes] = {}
    for i, name in ((3, "happiness"), (33, "neutral"), (50, "anger"), (51, "neutral"), (50, "anger")):
        path = f"batch-7/{len(files)}.png"
        files[path] = png(i)
        rows.append(f"{path},{name},train,{'one photo' if i > 49 else ''}")
    files["labels.csv"] = "\n".join(rows).encode()
    source = write_zip(tmp_path / "more.zip", files)
    new = revised(old, add=str(source))
    classes = new.description.classes
    assert classes == old.description.classes
    assert new.description.report["changed"] == {"added": 2, "corrected": 2, "confirmed": 1}
    count = len(old.samples)
    assert len(new.samples) == count + 2, "the same face twice is one sample"
    known = {s.name: s for s in new.samples[:count]}
    for sample in old.samples:
        now = known[sample.name]
        assert new.bytes_of(now) == old.bytes_of(sample)
        assert now.split == sample.split, "what is held out stays held out"
    assert classes[known["train/anger/03.png"].label or 0] == "happiness"
    assert classes[known["test/anger/33.png"].label or 0] == "neutral"
    added = new.samples[count:]
    assert [new.bytes_of(s) for s in added] == [png(50), png(51)]
    assert [(classes[s.label or 0], s.split, s.group) for s in added] == [
        ("anger", "train", "one photo"),
        ("neutral", "train", "one photo"),
    ]
    places = [json.loads(line) for line in (new.folder / "added.jsonl").read_text().splitlines()]
    assert {p["name"]: p["sample"] for p in places}["batch-7/0.png"] == "train/anger/03.png"
    assert all(part.exists() for part in {(new.folder / s.pack).resolve() for s in new.samples})

    files["labels.csv"] = b"path,label\nbatch-7/0.png,boredom\n"
    strange = write_zip(tmp_path / "strange.zip", files)
    job = ReviseJob(source=str(old.folder), out=str(old.folder.parent / "v3"), add=str(strange))
    with pytest.raises(JobError, match="boredom"):
        list(revise(tmp_path / "job", job, Control()))


def test_a_correction_reaches_every_one_of_equal_faces(old: FacePack, tmp_path: Path) -> None:
    content = [s.sha256 for s in old.samples]
    twins = [s for s in old.samples if content.count(s.sha256) == 2]
    assert len(twins) == 4
    one = twins[0]
    other = next(name for name in NAMES if name != old.description.classes[one.label or 0])
    files = {"a.png": old.bytes_of(one), "b.png": png(50), "labels.csv": b""}
    files["labels.csv"] = f"path,label\na.png,{other}\nb.png,{NAMES[0]}\n".encode()
    new = revised(old, add=str(write_zip(tmp_path / "more.zip", files)))
    equal = [s for s in new.samples if s.sha256 == one.sha256]
    assert [new.description.classes[s.label or 0] for s in equal] == [other, other]
    assert {s.split for s in equal} == {"train", "test"}
    assert new.description.report["changed"] == {"added": 1, "corrected": 2}


VOTES = "path,happiness,anger,unknown\n"


def voted(folder: Path) -> FacePack:
    files = {f"train/{i}.png": png(i) for i in range(4)}
    rows = "".join(f"train/{i}.png,{9 - i},{i},0\n" for i in range(4))
    source = write_zip(folder / "voted.zip", files | {"votes.csv": (VOTES + rows).encode()})
    return imported(source, folder / "set" / "v1")


def test_a_face_that_comes_without_a_label_leaves_the_one_that_is_there_as_it_is(tmp_path: Path) -> None:
    old = voted(tmp_path)
    files = {"holiday/a.png": png(0), "holiday/b.png": png(1), "holiday/new.png": png(9)}
    new, events = revision(old, add=str(write_zip(tmp_path / "photos.zip", files)))
    assert [(s.label, s.votes) for s in new.samples] == [
        *((s.label, s.votes) for s in old.samples),
        (None, None),
    ]
    assert new.description.report["changed"] == {"added": 1}
    places = [json.loads(line) for line in (new.folder / "added.jsonl").read_text().splitlines()]
    assert {p["name"]: p["sample"] for p in places}["holiday/a.png"] == "train/0.png"
    assert not warnings(events)


def test_votes_on_the_same_classes_come_with_their_faces_whatever_the_order_of_columns(
    tmp_path: Path,
) -> None:
    old = voted(tmp_path)
    rows = "path,anger,unknown,happiness\na.png,8,1,1\nb.png,7,0,3\n"
    more = write_zip(tmp_path / "more.zip", {"a.png": png(0), "b.png": png(9), "v.csv": rows.encode()})
    new, events = revision(old, add=str(more))
    by_name = {s.name: s for s in new.samples}
    assert by_name["train/0.png"].votes == [1, 8, 1]
    assert by_name["b.png"].votes == [3, 7, 0]
    assert [new.description.classes[by_name[n].label or 0] for n in ("train/0.png", "b.png")] == ["anger"] * 2
    assert by_name["train/1.png"].votes == [8, 1, 0]
    assert new.description.report["changed"] == {"added": 1, "corrected": 1}
    assert not warnings(events)


def test_votes_that_a_data_set_cannot_keep_are_said(tmp_path: Path, old: FacePack) -> None:
    more = write_zip(
        tmp_path / "more.zip", {"a.png": png(80), "v.csv": b"path,happiness,anger,unknown\na.png,8,1,1\n"}
    )
    new, events = revision(old, add=str(more))
    added = new.samples[-1]
    assert (new.description.classes[added.label or 0], added.votes) == ("happiness", None)
    (told,) = warnings(events)
    assert "1 faces with votes" in told
    assert "has no votes" in told
