"""Every layout is recognised by looking inside, says why, and gives the right labels and splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmfrm.classes import FER2013, FERPLUS, RAF_DB
from mmfrm.data.native import FacePack
from mmfrm.failures import JobError
from mmfrm.images import decode
from tests.mmfrm.sources import imported, jpeg, png, refusals, write_folder, write_zip

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
FERPLUS_FILES = {
    "FERPlus/fer2013new.csv": "\n".join(
        [
            HEADER,
            "Training,fer0000000.png,8,2,0,0,0,0,0,0,0,0",
            "Training,fer0000001.png,5,5,0,0,0,0,0,0,0,0",
            "Training,,0,0,0,0,0,0,0,0,0,10",
            "PublicTest,fer0000002.png,0,0,0,0,0,0,0,9,1,0",
            "PrivateTest,fer0000003.png,0,0,0,0,0,0,0,0,2,8",
            "PrivateTest,fer0000009.png,0,9,0,0,0,0,0,0,1,0",
            "PrivateTest,fer0000003.png,9,0,0,0,0,0,0,0,1,0",
            "Training,fer0000004.png,many,0,0,0,0,0,0,0,0,0",
        ]
    ).encode(),
    "FERPlus/FER2013Train/fer0000000.png": png(0, "L"),
    "FERPlus/FER2013Train/fer0000001.png": png(1, "L"),
    "FERPlus/FER2013Valid/fer0000002.png": png(2, "L"),
    "FERPlus/FER2013Test/fer0000003.png": png(3, "L"),
}


def labels(pack: FacePack) -> dict[str, tuple[str | None, str | None]]:
    """Split and class name by file name."""
    classes = pack.description.classes
    return {s.name: (s.split, None if s.label is None else classes[s.label]) for s in pack.samples}


def test_ferplus_gives_votes_splits_and_all_that_is_odd(tmp_path: Path) -> None:
    pack = imported(write_zip(tmp_path / "a.zip", FERPLUS_FILES), tmp_path / "out")
    assert pack.description.layout == "ferplus"
    assert pack.description.classes == list(FERPLUS)
    assert labels(pack) == {
        "FERPlus/FER2013Train/fer0000000.png": ("train", "neutral"),
        "FERPlus/FER2013Train/fer0000001.png": ("train", None),
        "FERPlus/FER2013Valid/fer0000002.png": ("val", "contempt"),
        "FERPlus/FER2013Test/fer0000003.png": ("test", None),
    }
    assert pack.samples[-1].votes == [0, 0, 0, 0, 0, 0, 0, 9, 1, 0]
    report = pack.description.report
    assert report["rows_without_image_name"] == 1
    assert report["rows_not_understood"] == 1
    assert report["rows_repeated"]["examples"] == ["fer0000003.png"]
    assert report["listed_but_missing"]["examples"] == ["fer0000009.png"]
    assert "fer2013new.csv" in report["layout_reason"]


def test_ferplus_is_read_from_the_tables_in_its_folders_too(tmp_path: Path) -> None:
    root = write_folder(
        tmp_path / "ferplus",
        {
            "FER2013Train/label.csv": b'fer0000000.png,"(0, 0, 48, 48)",0,9,0,0,0,0,0,0,1,0\n',
            "FER2013Train/fer0000000.png": png(0, "L"),
            "FER2013Test/label.csv": b'fer0000000.png,"(0, 0, 48, 48)",0,0,9,0,0,0,0,0,1,0\nodd,row\n',
            "FER2013Test/fer0000000.png": png(1, "L"),
        },
    )
    pack = imported(root, tmp_path / "out")
    assert pack.description.layout == "ferplus"
    assert labels(pack) == {
        "FER2013Train/fer0000000.png": ("train", "happiness"),
        "FER2013Test/fer0000000.png": ("test", "surprise"),
    }
    assert pack.description.report["rows_not_understood"] == 1


def test_raf_db_takes_the_aligned_crops(tmp_path: Path) -> None:
    table = b"train_00001.jpg 5\ntest_0001.jpg 1\nnonsense\ntest_0009.jpg 3\n"
    files = {
        "basic/EmoLabel/list_patition_label.txt": table,
        "basic/Image/aligned/train_00001_aligned.jpg": jpeg(1),
        "basic/Image/original/train_00001.jpg": jpeg(2),
        "basic/Image/aligned/test_0001_aligned.jpg": jpeg(3),
        "basic/Annotation/manual/train_00001_manu_attri.txt": b"0\n1\n2\n",
    }
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert pack.description.layout == "raf_db"
    assert pack.description.classes == list(RAF_DB)
    assert labels(pack) == {
        "basic/Image/aligned/test_0001_aligned.jpg": ("test", "surprise"),
        "basic/Image/aligned/train_00001_aligned.jpg": ("train", "sadness"),
    }
    report = pack.description.report
    assert (report["rows_not_understood"], report["listed_but_missing"]["count"]) == (1, 1)
    told = refusals(tmp_path / "out")["basic/Image/original/train_00001.jpg"]
    assert "labels do not mention" in told[0].reason


def test_raf_db_in_numbered_folders_is_known_by_its_file_names(tmp_path: Path) -> None:
    files = {
        f"DATASET/{split}/{k}/{split}_0000{k}_aligned.jpg": jpeg(k)
        for split in ("train", "test")
        for k in (1, 4)
    }
    assert labels(imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")) == {
        "DATASET/test/1/test_00001_aligned.jpg": ("test", "surprise"),
        "DATASET/test/4/test_00004_aligned.jpg": ("test", "happiness"),
        "DATASET/train/1/train_00001_aligned.jpg": ("train", "surprise"),
        "DATASET/train/4/train_00004_aligned.jpg": ("train", "happiness"),
    }


def fer2013_table() -> bytes:
    rng = np.random.default_rng(0)
    rows = ["emotion,pixels,Usage"]
    for label, usage in ((0, "Training"), (3, "PublicTest"), (6, "PrivateTest")):
        rows.append(f"{label},{' '.join(map(str, rng.integers(0, 256, 2304)))},{usage}")
    rows += ["1,1 2 3,Training", "2," + "999 " * 2304 + ",Training", "5"]
    return "\n".join(rows).encode()


def test_an_uploaded_table_stands_alone_whatever_lies_beside_it(tmp_path: Path) -> None:
    files = {"0f1e2d3c": fer2013_table(), "somebody-elses.png": png(0, "L"), "another.csv": b"file,label\n"}
    folder = write_folder(tmp_path / "uploads", files)
    pack = imported(folder / "0f1e2d3c", tmp_path / "out", filename="fer2013.csv")
    assert pack.description.layout == "fer2013"
    assert pack.description.images == 3
    told = set(refusals(tmp_path / "out"))
    assert not told & {"somebody-elses.png", "another.csv"}, "the names of other people's uploads"


@pytest.mark.parametrize("packed", [True, False])
def test_fer2013_is_read_from_its_table(tmp_path: Path, packed: bool) -> None:
    if packed:
        source = write_zip(tmp_path / "a.zip", {"fer2013/fer2013.csv": fer2013_table()})
    else:
        source = write_folder(tmp_path / "in", {"fer2013.csv": fer2013_table()}) / "fer2013.csv"
    pack = imported(source, tmp_path / "out")
    assert pack.description.layout == "fer2013"
    assert pack.description.classes == list(FER2013)
    assert labels(pack) == {
        "fer0000000.png": ("train", "anger"),
        "fer0000001.png": ("val", "happiness"),
        "fer0000002.png": ("test", "neutral"),
    }
    first = np.random.default_rng(0).integers(0, 256, 2304).reshape(48, 48)
    assert np.array_equal(decode(pack.bytes_of(pack.samples[0]))[..., 0], first)
    told = refusals(tmp_path / "out")
    assert "3 pixels" in told["fer0000003.png"][0].reason
    assert "beyond" in told["fer0000004.png"][0].reason
    assert "no pixels" in told["fer0000005.png"][0].reason


def test_ferplus_as_published_takes_its_pixels_from_fer2013s_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pixels = [rng.integers(0, 256, 2304) for _ in range(5)]
    rows = [f"0,{' '.join(map(str, values))},Training" for values in pixels]
    votes = [
        HEADER,
        "Training,fer0000000.png,8,2,0,0,0,0,0,0,0,0",
        "Training,,0,0,0,0,0,0,0,0,0,10",
        "PublicTest,fer0000001.png,0,9,0,0,0,0,0,0,1,0",
        "PrivateTest,fer0000000.png,0,0,0,0,0,0,0,0,2,8",
    ]
    files = {
        "fer2013.csv": "\n".join(["emotion,pixels,Usage", *rows]).encode(),
        "fer2013new.csv": "\n".join(votes).encode(),
    }
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert pack.description.layout == "ferplus"
    assert labels(pack) == {"fer0000000.png": ("train", "neutral"), "fer0000001.png": ("val", "happiness")}
    assert np.array_equal(decode(pack.bytes_of(pack.samples[1]))[..., 0].ravel(), pixels[2])
    told = refusals(tmp_path / "out")
    assert "twice" in told["fer0000000.png"][0].reason
    assert "does not name" in told["row 1"][0].reason
    assert "does not name" in told["row 4"][0].reason


def test_class_folders_with_any_spelling_of_split_and_class(tmp_path: Path) -> None:
    files = {
        "Training/Happy/a.png": png(1),
        "Training/angry/b.png": png(2),
        "validation/HAPPINESS/c.png": png(3),
        "test/3_sad/d.png": png(4),
        "test/blurred/e.png": png(5),
    }
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert pack.description.layout == "folders"
    assert pack.description.classes == ["happiness", "sadness", "anger"]
    assert labels(pack) == {
        "Training/Happy/a.png": ("train", "happiness"),
        "Training/angry/b.png": ("train", "anger"),
        "validation/HAPPINESS/c.png": ("val", "happiness"),
        "test/3_sad/d.png": ("test", "sadness"),
        "test/blurred/e.png": ("test", None),
    }
    assert pack.description.report["images_outside_class_folders"] == 1


def test_folders_of_other_names_are_classes_when_asked_for(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"0/a.png": png(1), "1/b.png": png(2)})
    assert imported(source, tmp_path / "auto").description.layout == "images"
    pack = imported(source, tmp_path / "asked", layout="folders")
    assert labels(pack) == {"0/a.png": (None, "0"), "1/b.png": (None, "1")}


def test_subjects_of_ck_plus_are_groups(tmp_path: Path) -> None:
    files = {"happy/S010_006_00000015.png": png(1), "fear/S011_003_00000013.png": png(2)}
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert sorted(sample.group or "" for sample in pack.samples) == ["S010", "S011"]


def test_a_table_of_labels_with_groups_and_splits(tmp_path: Path) -> None:
    rows = (
        "path;label;split;subject",
        "faces/a.png;Happy;train;p1",
        "./b.png;sad;val;p2",
        "z.png;sad;val;p3",
    )
    files = {f"faces/{name}.png": png(i) for i, name in enumerate("abc")}
    files["labels.csv"] = "\n".join([*rows, ";;;"]).encode()
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert pack.description.layout == "csv"
    assert labels(pack) == {"faces/a.png": ("train", "happiness"), "faces/b.png": ("val", "sadness")}
    assert [sample.group for sample in pack.samples] == ["p1", "p2"]
    assert pack.description.report["listed_but_missing"]["examples"] == ["z.png"]
    assert "do not mention" in refusals(tmp_path / "out")["faces/c.png"][0].reason


def test_a_table_of_votes(tmp_path: Path) -> None:
    files = {
        "a.png": png(1),
        "b.png": png(2),
        "votes.csv": b"image,happy,sad,unknown\na.png,8,2,0\nb.png,4,4,2\n",
    }
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert pack.description.vote_columns == ["happiness", "sadness", "unknown"]
    assert labels(pack) == {"a.png": (None, "happiness"), "b.png": (None, None)}
    assert [sample.votes for sample in pack.samples] == [[8, 2, 0], [4, 4, 2]]


def test_a_models_own_table_is_read_by_its_labels_not_by_its_probabilities(tmp_path: Path) -> None:
    header = b"file,class,confidence,p_happiness,p_sadness,label,corrected,error\n"
    files = {
        "a.png": png(1),
        "b.png": png(2),
        "labels.csv": header + b"a.png,happiness,0.9,0.9,0.1,happiness,,\n"
        b"b.png,happiness,1.0,1.0,0.0,sadness,yes,\n",
    }
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert pack.description.vote_columns is None
    assert pack.description.classes == ["happiness", "sadness"]
    assert [sample.label for sample in pack.samples] == [0, 1]


def test_votes_that_are_no_whole_numbers_leave_the_label_its_say(tmp_path: Path) -> None:
    files = {"a.png": png(1), "b.png": png(2), "c.png": png(3)}
    shares = b"image,happy,sad,label\na.png,0.9,0.1,happy\nb.png,0.2,0.8,bored\nc.png,0.5,0.5,\n"
    pack = imported(write_zip(tmp_path / "a.zip", files | {"t.csv": shares}), tmp_path / "out")
    assert pack.description.vote_columns is None
    assert pack.description.classes == ["happiness", "bored"]
    assert [(sample.label, sample.votes) for sample in pack.samples] == [(0, None), (1, None)]
    assert pack.description.report["rows_not_understood"] == 1
    mixed = b"image,happy,sad,label\na.png,9,1,sad\nb.png,0.2,0.8,sad\nc.png,4.0,,happy\n"
    pack = imported(write_zip(tmp_path / "b.zip", files | {"t.csv": mixed}), tmp_path / "out2")
    assert [(s.label, s.votes) for s in pack.samples] == [(0, [9, 1]), (1, None), (0, [4, 0])]


def test_several_tables_named_after_their_split(tmp_path: Path) -> None:
    files = {
        "a.png": png(1),
        "b.png": png(2),
        "train.csv": b"file,label\na.png,fear\n",
        "test.csv": b"file,label\nb.png,anger\n",
    }
    assert labels(imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")) == {
        "a.png": ("train", "fear"),
        "b.png": ("test", "anger"),
    }


def test_affectnets_numbers_are_its_own(tmp_path: Path) -> None:
    header = "subDirectory_filePath,expression,valence,arousal"
    table = f"{header}\n1/a.jpg,1,0.5,0.1\n1/b.jpg,6,-0.5,0.1\n1/c.jpg,9,0,0\n"
    files = {"1/a.jpg": jpeg(1), "1/b.jpg": jpeg(2), "1/c.jpg": jpeg(3), "training.csv": table.encode()}
    assert labels(imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")) == {
        "1/a.jpg": ("train", "happiness"),
        "1/b.jpg": ("train", "anger"),
        "1/c.jpg": ("train", None),
    }


def test_a_csv_beside_its_images_is_a_source(tmp_path: Path) -> None:
    root = write_folder(
        tmp_path / "in",
        {"a.png": png(1), "mine.csv": b"path,label\na.png,fear\n", "other.csv": b"path,label\na.png,anger\n"},
    )
    assert labels(imported(root / "mine.csv", tmp_path / "out")) == {"a.png": (None, "fear")}


def test_an_exact_path_is_never_ambiguous_and_an_ending_of_two_images_always(tmp_path: Path) -> None:
    table = b"path,label\nimages/1.png,fear\noriginals/images/1.png,joy\n2.png,anger\n3.png,joy\n"
    names = ("images/1.png", "originals/images/1.png", "images/2.png", "originals/2.png", "images/3.png")
    files = {name: png(i) for i, name in enumerate(names)} | {"labels.csv": table}
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert labels(pack) == {
        "images/1.png": (None, "fear"),
        "originals/images/1.png": (None, "happiness"),
        "images/3.png": (None, "happiness"),
    }
    assert pack.description.report["listed_but_missing"]["examples"] == ["2.png"]


def test_photos_alone_have_no_labels(tmp_path: Path) -> None:
    files = {"2019/party/a.jpg": jpeg(1), "2020/b.jpg": jpeg(2)}
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert pack.description.layout == "images"
    assert pack.description.classes == []
    assert labels(pack) == {"2019/party/a.jpg": (None, None), "2020/b.jpg": (None, None)}


def test_a_layout_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"a.png": png(1)})
    with pytest.raises(JobError, match="cannot be read as raf_db"):
        imported(source, tmp_path / "out", layout="raf_db")


def test_tables_in_odd_encodings_are_read(tmp_path: Path) -> None:
    files = {
        "caf\u00e9.png": png(1),
        "b.png": png(2),
        "labels.csv": "\ufeffpath,label\r\ncaf\u00e9.png,happy\r\nb.png,s\0ad\r\n".encode(),
    }
    assert labels(imported(write_zip(tmp_path / "a.zip", files), tmp_path / "out")) == {
        "b.png": (None, "sadness"),
        "caf\u00e9.png": (None, "happiness"),
    }


def test_the_same_faces_have_one_fingerprint_however_they_are_packed(tmp_path: Path) -> None:
    faces = {f"{i}.png": png(i) for i in range(6)}
    names = ["happy", "sad", "happiness", "sadness", "Happy", "Sad"]
    labelled = list(zip(faces.items(), names, strict=True))
    as_folders = {f"train/{label}/x{name}": data for (name, data), label in labelled}
    rows = "".join(f"{name},{label},Training\n" for name, label in zip(faces, names, strict=True))
    as_table = {f"deep/down/{name}": data for name, data in faces.items()}
    as_table["labels.csv"] = f"file,emotion,usage\n{rows}".encode()
    a = imported(write_zip(tmp_path / "a.zip", as_folders), tmp_path / "a")
    b = imported(write_folder(tmp_path / "in", as_table), tmp_path / "b")
    assert (a.description.layout, b.description.layout) == ("folders", "csv")
    assert a.description.fingerprint == b.description.fingerprint
    as_table["labels.csv"] = as_table["labels.csv"].replace(b"0.png,happy", b"0.png,sad")
    c = imported(write_folder(tmp_path / "in2", as_table), tmp_path / "c")
    assert c.description.fingerprint != a.description.fingerprint
