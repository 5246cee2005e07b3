"""Pictures to label come from files, folders, zips and native data sets, in an order that repeats."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from mmfrm.control import Control
from mmfrm.data.drawn import draw
from mmfrm.data.ingest import open_source
from mmfrm.failures import JobError
from mmfrm.images import ImageError, decode
from mmfrm.jobs import DrawJob, ImportJob, write_job
from mmfrm.sources import open_pictures
from tests.mmfrm.models import jpegs


def test_a_folder_is_listed_by_path_without_clutter(tmp_path: Path) -> None:
    jpegs(tmp_path / "b", 2)
    jpegs(tmp_path / "a" / "deep", 1)
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("not a picture, but a person's file")
    pictures = open_pictures(tmp_path)
    assert list(pictures.names) == ["a/deep/00000.jpg", "b/00000.jpg", "b/00001.jpg", "notes.txt"]
    assert decode(pictures.read(2)).shape == (48, 48, 3)


def test_what_this_program_wrote_among_the_photos_is_no_photo(tmp_path: Path) -> None:
    jpegs(tmp_path, 1)
    jpegs(tmp_path / ".face-cache" / "1f", 1)
    jpegs(tmp_path / "labels", 1)
    write_job(tmp_path / "labels", DrawJob(out="labels"))
    jpegs(tmp_path / "shoot", 1)
    (tmp_path / "shoot" / "job.json").write_text('{"client": "of a photographer"}')
    names = ["00000.jpg", "shoot/00000.jpg", "shoot/job.json"]
    assert list(open_pictures(tmp_path).names) == names
    assert len(open_pictures(tmp_path / "labels").names) == 2, "named itself, it is read"


def test_a_remembered_listing_outlives_files_that_come_and_go(tmp_path: Path) -> None:
    folder = jpegs(tmp_path / "photos", 3)
    before = open_pictures(folder, tmp_path / "listing.json")
    (folder / "00001.jpg").unlink()
    (folder / "00000a.jpg").write_bytes(b"new")
    after = open_pictures(folder, tmp_path / "listing.json")
    assert list(after.names) == list(before.names)
    assert after.identity == before.identity
    with pytest.raises(ImageError, match="not there"):
        after.read(1)
    assert open_pictures(folder).identity != before.identity


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    elsewhere = jpegs(tmp_path / "elsewhere", 1)
    folder = jpegs(tmp_path / "photos", 1)
    (folder / "linked").symlink_to(elsewhere, target_is_directory=True)
    (folder / "round").symlink_to(folder, target_is_directory=True)
    assert list(open_pictures(folder).names) == ["00000.jpg", "linked/00000.jpg"]


def test_names_that_are_no_text_become_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9\x07.jpg")).write_bytes(b"x")
    pictures = open_pictures(tmp_path, tmp_path.parent / f"{tmp_path.name}.json")
    assert pictures.names == ["caf��.jpg"]
    assert open_pictures(tmp_path, tmp_path.parent / f"{tmp_path.name}.json").read(0) == b"x"


def test_a_single_image_can_be_given_a_name(tmp_path: Path) -> None:
    folder = jpegs(tmp_path, 1)
    assert open_pictures(folder / "00000.jpg").names == ["00000.jpg"]
    assert open_pictures(folder / "00000.jpg", called="holiday.jpg").names == ["holiday.jpg"]


def test_what_is_wrong_in_a_zip_has_its_place_among_the_rows(tmp_path: Path) -> None:
    good = (jpegs(tmp_path / "photos", 1) / "00000.jpg").read_bytes()
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b.jpg", good)
        archive.writestr("a.jpg", good)
        archive.writestr("../escape.jpg", good)
        archive.writestr("bomb.bmp", bytes(32 * 2**20))
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("__MACOSX/._a.jpg", b"fork")
    pictures = open_pictures(path)
    assert sorted(pictures.names) == ["../escape.jpg", "a.jpg", "b.jpg", "bomb.bmp", "link.jpg"]
    assert list(pictures.names) == sorted(pictures.names)
    reasons = {}
    for position, name in enumerate(pictures.names):
        try:
            assert pictures.read(position) == good
        except ImageError as error:
            reasons[name] = str(error)
    assert reasons.keys() == {"../escape.jpg", "bomb.bmp", "link.jpg"}
    assert "out of the archive" in reasons["../escape.jpg"]
    assert "bomb" in reasons["bomb.bmp"]
    assert "link" in reasons["link.jpg"]
    assert not (tmp_path.parent / "escape.jpg").exists()


def test_a_torn_entry_is_one_bad_row_and_its_neighbours_are_read(tmp_path: Path) -> None:
    folder = jpegs(tmp_path / "photos", 3)
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
        middle = archive.infolist()[1].header_offset + 200
    data = bytearray(path.read_bytes())
    data[middle] ^= 0xFF
    path.write_bytes(data)
    pictures = open_pictures(path)
    with pytest.raises(ImageError, match="archive"):
        pictures.read(1)
    assert decode(pictures.read(0)).shape == decode(pictures.read(2)).shape == (48, 48, 3)


def test_of_a_zip_that_is_cut_short_what_came_is_read_and_a_row_says_so(tmp_path: Path) -> None:
    photos, path = jpegs(tmp_path / "photos", 3), tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(p.name for p in photos.iterdir()):
            archive.write(photos / name, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 6])
    pictures = open_pictures(path)
    names = list(pictures.names)
    assert decode(pictures.read(names.index("00000.jpg"))).shape == (48, 48, 3)
    with pytest.raises(ImageError, match="damaged or incomplete"):
        pictures.read(names.index("(rest of the archive)"))


def test_what_people_dropped_is_called_as_they_call_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "5f3a9c", "w") as archive:
        archive.writestr("empty/", b"")
    with pytest.raises(JobError, match=r"^holiday\.zip holds no files"):
        open_pictures(tmp_path / "5f3a9c", called="holiday.zip")


def test_a_native_data_set_is_read_in_its_order(tmp_path: Path) -> None:
    list(draw(tmp_path / "faces", DrawJob(out=str(tmp_path / "faces"), count=30, seed=1), Control()))
    pictures = open_pictures(tmp_path / "faces")
    assert len(pictures.names) == 30
    assert all(decode(pictures.read(i)).ndim == 3 for i in range(30))


def test_where_there_is_nothing_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="is not there"):
        open_pictures(tmp_path / "missing")
    with pytest.raises(JobError, match="holds no files"):
        open_pictures(tmp_path)
    (tmp_path / "torn.zip").write_bytes(b"PK\x05\x06" + bytes(18) + b"x")
    with pytest.raises(JobError):
        open_pictures(tmp_path / "torn.zip")


def test_an_archive_that_is_refused_as_a_whole_is_called_as_people_call_it(tmp_path: Path) -> None:
    path = tmp_path / "5f3a9c"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("happiness/one.png", b"x" * 100)
    whole = path.read_bytes()
    at = whole.index(b"PK\x01\x02")  # the list of files
    path.write_bytes(whole[:at] + b"PK\x00\x00" + whole[at + 4 :])
    with pytest.raises(JobError, match=r"^holiday\.zip is a damaged or incomplete zip"):
        open_pictures(path, called="holiday.zip")
    job = ImportJob(source=str(path), filename="holiday.zip", out=str(tmp_path / "out"))
    with pytest.raises(JobError, match=r"^holiday\.zip is a damaged or incomplete zip"):
        open_source(path, job)
