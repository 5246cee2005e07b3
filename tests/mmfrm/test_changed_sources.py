"""A source is read as it is now, and what this program itself writes into it is no part of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmfrm.control import Control
from mmfrm.data.ingest import ingest
from mmfrm.data.native import FacePack, read_refusals
from mmfrm.data.source import default_cache_folder, native_folder
from mmfrm.events import Event, Finished, Notice, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.jobs import DrawJob, ImportJob, TrainJob, write_job
from tests.mmfrm.sources import import_events, imported, png, write_folder
from tests.mmfrm.test_import_resumes import PROGRAM, same

FILES = {f"train/happy/{i}.png": png(i) for i in range(4)} | {
    f"train/sad/{i}.png": png(10 + i) for i in range(4)
}
TABLE = "path,label\n" + "".join(f"{name},{name.split('/')[1]}\n" for name in FILES)


def opened(source: Path, events: list[Event] | None = None) -> FacePack:
    """The data set that a training would take for this source."""
    tell = None if events is None else events.append
    return FacePack(native_folder(source, default_cache_folder(source), tell))


def classes_of(pack: FacePack) -> dict[str, str]:
    return {s.name: pack.description.classes[s.label] for s in pack.samples if s.label is not None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "faces", FILES)


@pytest.fixture
def table(folder: Path) -> Path:
    (folder / "labels.csv").write_text(TABLE)
    return folder / "labels.csv"


def test_a_picture_moved_to_another_class_is_learned_as_what_it_is_now(folder: Path) -> None:
    assert classes_of(opened(folder))["train/happy/0.png"] == "happiness"
    (folder / "train/happy/0.png").rename(folder / "train/sad/moved.png")
    now = classes_of(opened(folder))
    assert "train/happy/0.png" not in now
    assert now["train/sad/moved.png"] == "sadness"


@pytest.mark.parametrize("named", ["faces", "faces/labels.csv"])
def test_a_picture_that_was_replaced_is_the_new_one(tmp_path: Path, table: Path, named: str) -> None:
    def first() -> bytes:
        pack = opened(tmp_path / named)
        return pack.bytes_of(next(s for s in pack.samples if s.name == "train/happy/0.png"))

    assert first() == png(0)
    (table.parent / "train/happy/0.png").write_bytes(png(99))
    assert first() == png(99)


def test_one_picture_changed_back_and_forth_is_told_by_its_time(folder: Path) -> None:
    places = {opened(folder).folder}
    path = folder / "train/sad/0.png"
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    places.add(opened(folder).folder)
    assert len(places) == 2


def test_what_this_program_writes_beside_the_data_is_no_change_of_it(table: Path) -> None:
    """The cache lies there, and so may the folder of the very training."""
    pack = opened(table)
    assert pack.folder.parent == table.parent / ".face-cache"
    run = table.parent / "runs" / "first"
    write_job(run, TrainJob(data=str(table)))
    (run / "events.jsonl").write_text("{}\n")
    (run / "last.ckpt").write_bytes(b"weights")
    events: list[Event] = []
    assert opened(table, events).folder == pack.folder
    assert not events
    assert [r.name for r in pack.refusals()] == []


def test_an_import_into_its_own_source_is_done_once(folder: Path) -> None:
    out = folder / "native"
    import_events(folder, out)
    assert [type(event) for event in import_events(folder, out)] == [Finished]
    assert {s.name for s in FacePack(out).samples} == set(FILES)


def test_an_import_into_its_own_source_goes_on_where_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfrm.data.ingest.CHUNK_ITEMS", 1)
    control, out = Control(), folder / "native"
    for event in ingest(out, ImportJob(source=str(folder), out=str(out)), control):
        if isinstance(event, Started):
            control.request_stop("enough")
    assert isinstance(event, Stopped)
    told = [event.text for event in import_events(folder, out) if isinstance(event, Notice)]
    assert any("Going on after" in text for text in told)
    assert {s.name for s in FacePack(out).samples} == set(FILES)


def test_two_at_once_import_into_their_own_source_once(folder: Path, tmp_path: Path) -> None:
    out = folder / ".face-cache" / "faces"
    command = [sys.executable, "-c", PROGRAM, str(folder), str(out)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sorted(words[0] for words in told) == ["finished", "started"]
    import_events(folder, tmp_path / "elsewhere")
    assert same(out, tmp_path / "elsewhere")


def test_pictures_in_folders_of_this_program_are_not_read_and_the_folders_are_named(
    folder: Path, tmp_path: Path
) -> None:
    imported(folder, folder / "made")
    write_folder(folder, {".face-cache/happy/x.png": png(70), "made/happy/y.png": png(71)})
    write_folder(folder, {"looked-at/pictures/happy/0.png": png(72)})
    write_job(folder / "looked-at", DrawJob(out="looked-at"))
    pack = imported(folder, tmp_path / "out")
    assert {s.name for s in pack.samples} == set(FILES)
    assert [(r.name, r.verdict) for r in read_refusals(pack.folder)] == [
        ("looked-at/", "skipped"),
        ("made/", "skipped"),
    ]
    assert all("name it itself" in r.reason for r in read_refusals(pack.folder))


def test_a_job_json_of_others_does_not_hide_the_pictures_beside_it(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "faces", FILES | {"train/happy/job.json": b'{"client": "a studio"}'})
    assert {s.name for s in imported(source, tmp_path / "out").samples} == set(FILES)


def test_labels_of_others_in_a_dataset_json_do_not_hide_the_pictures_beside_them(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "faces", FILES | {"train/happy/dataset.json": b'{"labels": []}'})
    assert {s.name for s in imported(source, tmp_path / "out").samples} == set(FILES)


@pytest.mark.parametrize("named", ["faces", "faces/labels.csv"])
def test_a_data_set_among_its_own_pictures_is_refused(tmp_path: Path, table: Path, named: str) -> None:
    before = sorted(table.parent.rglob("*"))
    with pytest.raises(JobError, match="Name another folder"):
        import_events(tmp_path / named, table.parent)
    assert sorted(table.parent.rglob("*")) == before
