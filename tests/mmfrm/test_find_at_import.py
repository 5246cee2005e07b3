"""Photos that are no face crops: faces are found and aligned on the way in, and none is lost silently."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmfrm import images
from mmfrm.control import Control
from mmfrm.data.preview import preview
from mmfrm.events import Finished, Stopped
from mmfrm.faces.find import FaceFinder
from mmfrm.jobs import ImportJob, PreviewJob, read_job, write_job
from tests.mmfrm.sources import import_events, imported, refusals, write_folder, write_zip
from tests.mmfrm.test_face_finding import FERPLUS, Known, needs_faces, overlap, tiled

NUMBERS = ("32382", "32633", "32999", "33170", "33428", "33679")


def photo(pixels: Any, kind: str = "PNG", **more: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, kind, **more)
    return out.getvalue()


EMPTY = photo(np.full((160, 220, 3), 90, np.uint8))


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of photos: one face each but for one with three, one without and one that is torn."""
    if not FERPLUS.is_file():
        pytest.skip(f"real faces are not at {FERPLUS.parent}")
    faces = Known([f"fer00{n}.png" for n in NUMBERS]).faces
    large = np.full((420, 640, 3), 128, np.uint8)
    large[100:324, 60:284] = images.resized(faces[3], 224)
    large[150:262, 400:512] = faces[4]
    files = {
        "train/happiness/one.png": photo(tiled(faces[:1])[0]),
        "train/happiness/turned.jpg": photo(
            np.rot90(tiled(faces[1:2])[0]), "JPEG", quality=95, exif=turned()
        ),
        "train/fear/two.png": photo(large),
        "train/fear/none.png": EMPTY,
        "test/fear/torn.png": EMPTY[:300],
        "test/fear/last.png": photo(tiled(faces[5:6])[0]),
        "read me.txt": b"photos of a holiday",
    }
    return write_zip(tmp_path_factory.mktemp("album") / "album.zip", files)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@needs_faces
def test_each_photo_gives_its_face_aligned_and_the_rest_is_listed(album: Path, tmp_path: Path) -> None:
    pack = imported(album, tmp_path / "out", faces="find")
    names = [s.name for s in pack.samples]
    assert names == ["test/fear/last.png", "train/fear/two.png", "train/happiness/one.png",
                     "train/happiness/turned.jpg"]  # fmt: skip
    assert {(s.width, s.height) for s in pack.samples} == {(112, 112)}
    labels = [pack.description.classes[s.label] for s in pack.samples if s.label is not None]
    assert labels == ["fear", "fear", "happiness", "happiness"]
    assert [s.split for s in pack.samples] == ["test", "train", "train", "train"]
    told = {name: (r[0].verdict, r[0].reason) for name, r in refusals(tmp_path / "out").items()}
    assert set(told) == {"train/fear/two.png", "train/fear/none.png", "test/fear/torn.png", "read me.txt"}
    assert told["train/fear/none.png"] == ("refused", "no face of at least 40 pixels was found")
    assert told["train/fear/two.png"][0] == "repaired"
    assert told["train/fear/two.png"][1].startswith("2 faces were found; the largest was taken (")
    assert pack.description.report["faces_found_and_aligned"] is True
    boxes = {s.name: s.box for s in pack.samples if s.box is not None}
    assert set(boxes) == set(names)
    x, y, width, height = boxes["train/fear/two.png"]
    assert overlap((x, y, width, height), (60, 100, 224, 224)) > 0.25, "the largest, where it was"
    # The crop is the one that labelling makes of the photo (in threads, which round otherwise), without loss.
    upright = FaceFinder(40).faces(pack_member(album, "train/happiness/turned.jpg"))
    turned_sample = pack.samples[names.index("train/happiness/turned.jpg")]
    crop = images.decode(pack.bytes_of(turned_sample)).astype(int)
    assert np.abs(crop - upright[0].crop).max() <= 3


def pack_member(path: Path, name: str) -> bytes:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


@needs_faces
def test_photos_with_several_faces_are_left_out_where_that_is_asked_for(album: Path, tmp_path: Path) -> None:
    pack = imported(album, tmp_path / "out", faces="find", several="leave_out")
    assert "train/fear/two.png" not in [s.name for s in pack.samples]
    [said] = refusals(tmp_path / "out")["train/fear/two.png"]
    assert (said.verdict, said.reason) == ("refused", "2 faces were found, and one was wanted")


@needs_faces
def test_another_choice_is_another_import_and_the_same_one_is_done_already(
    album: Path, tmp_path: Path
) -> None:
    first = imported(album, tmp_path / "out", faces="find").description
    [again] = import_events(album, tmp_path / "out", faces="find")
    assert isinstance(again, Finished)
    assert again.result["fingerprint"] == first.fingerprint
    other = imported(album, tmp_path / "out", faces="find", several="leave_out").description
    assert other.images == first.images - 1


def look(source: Path, folder: Path, **settings: Any) -> dict[str, Any]:
    job = PreviewJob(source=str(source), **settings)
    last = list(preview(folder, job, Control()))[-1]
    assert isinstance(last, Finished)
    assert last.result == json.loads((folder / "preview.json").read_text())
    return last.result


@needs_faces
def test_a_preview_shows_photos_boxes_and_the_crops_that_would_come_out(album: Path, tmp_path: Path) -> None:
    said = look(album, tmp_path / "job", faces="find")
    assert (said["layout"], said["total"], said["odd"]) == ("folders", 6, 1)
    assert said["outcomes"] == {"taken": 3, "several": 1, "none": 1, "unreadable": 1}
    looks = {p["name"]: p for p in said["pictures"]}
    two = looks["train/fear/two.png"]
    assert (two["label"], two["split"], two["found"], two["taken"]) == ("fear", "train", 2, True)
    assert (two["photo"]["width"], two["photo"]["height"]) == (640, 420)
    assert [f["taken"] for f in two["faces"]] == [True, False]
    assert overlap(tuple(two["faces"][0]["box"]), (60, 100, 224, 224)) > 0.25
    pictures = tmp_path / "job" / "pictures"
    crop = images.decode((pictures / f"{two['faces'][0]['picture']}.jpg").read_bytes())
    assert crop.shape == (112, 112, 3)
    none = looks["train/fear/none.png"]
    assert (none["taken"], none["reason"]) == (False, "no face of at least 40 pixels was found")
    assert looks["test/fear/torn.png"]["photo"] is None
    kept = {p["photo"]["picture"] for p in said["pictures"] if p["photo"]}
    kept |= {f["picture"] for p in said["pictures"] for f in p["faces"]}
    assert {int(p.stem) for p in pictures.iterdir()} == kept
    left = look(album, tmp_path / "job", faces="find", several="leave_out")
    assert [p["taken"] for p in left["pictures"] if p["found"] > 1] == [False]


def test_a_preview_of_face_crops_needs_no_detector_and_spreads_over_the_source(tmp_path: Path) -> None:
    names = ("anger", "happiness", "neutral")
    files = {f"{names[i % 3]}/{i:03}.png": photo(np.full((48, 48, 3), i, np.uint8)) for i in range(100)}
    said = look(write_folder(tmp_path / "faces", files), tmp_path / "job", pictures=4)
    assert said["classes"] == sorted(names, key=said["classes"].index)
    assert [p["name"].split("/")[0] for p in said["pictures"]] == ["anger", "anger", "happiness", "neutral"]
    assert said["outcomes"] == {"taken": 4}
    assert all(p["taken"] and not p["faces"] for p in said["pictures"])


def test_a_table_of_pixels_is_looked_at_too_and_a_stop_is_heard(tmp_path: Path) -> None:
    rows = [f"{i % 7},{' '.join([str(i)] * 48 * 48)},Training" for i in range(20)]
    table = "\n".join(["emotion,pixels,Usage", *rows])
    source = write_zip(tmp_path / "fer.zip", {"fer2013.csv": table.encode()})
    said = look(source, tmp_path / "job", pictures=5)
    assert (said["layout"], said["total"]) == ("fer2013", 20)
    assert [p["name"] for p in said["pictures"]] == [f"fer{i:07}.png" for i in (0, 4, 8, 12, 16)]
    control = Control()
    control.request_stop("enough")
    events = list(preview(tmp_path / "job", PreviewJob(source=str(source)), control))
    assert events[-1] == Stopped(reason="enough")


def test_choices_travel_in_the_job_folder(tmp_path: Path) -> None:
    for job in (
        ImportJob(source="a", out="b", faces="find", several="leave_out", min_face=60),
        PreviewJob(source="a", faces="find", pictures=3),
    ):
        write_job(tmp_path, job)
        assert read_job(tmp_path) == job
