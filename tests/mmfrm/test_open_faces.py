"""Faces as a run sees them: labels by the rule, leaks left out, parts and batches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmfrm.config import DataConfig
from mmfrm.control import Control
from mmfrm.data import open_faces
from mmfrm.data.drawn import draw
from mmfrm.events import Event, Progress
from mmfrm.failures import JobError
from mmfrm.images import face
from mmfrm.jobs import DrawJob
from tests.mmfrm.sources import encoded, imported, picture, png, write_folder, write_zip

VOTES = "image,happy,sad,fear,unknown,split\n"


def source(folder: Path) -> Path:
    """Votes on twelve training, four validation and four test images; train/00 is test/16 again."""
    rows, files = VOTES, {}
    for i in range(20):
        split = "train" if i < 12 else "val" if i < 16 else "test"
        files[f"{split}/{i:02d}.png"] = png(0 if i == 16 else i)
        votes = ("8,2,0,0", "1,8,1,0", "2,2,5,1", "4,4,1,1")[i % 4]
        rows += f"{split}/{i:02d}.png,{votes},{split}\n"
    return write_zip(folder / "faces.zip", files | {"votes.csv": rows.encode()})


def test_a_zip_is_imported_once_into_the_cache_folder(tmp_path: Path) -> None:
    events: list[Event] = []
    path = source(tmp_path)
    faces = open_faces(path, DataConfig(), tmp_path / "cache", events.append)
    assert faces.classes == ("happiness", "sadness", "fear")
    assert any(isinstance(event, Progress) and event.phase == "importing" for event in events)
    events.clear()
    again = open_faces(path, DataConfig(), tmp_path / "cache", events.append)
    assert not events
    assert again.fingerprint == faces.fingerprint


def test_the_majority_rule_drops_and_says_so(tmp_path: Path) -> None:
    faces = open_faces(source(tmp_path), DataConfig(leave_out_leaks=False), tmp_path / "cache")
    assert faces.report["dropped_by_rule"] == {"train": 3, "val": 1, "test": 1}
    assert {name: len(split) for name, split in faces.splits.items()} == {"train": 9, "val": 3, "test": 3}
    assert faces.splits["train"].targets.tolist() == [0, 1, 2] * 3


def test_argmax_keeps_ties(tmp_path: Path) -> None:
    config = DataConfig(label_rule="argmax", leave_out_leaks=False)
    faces = open_faces(source(tmp_path), config, tmp_path / "cache")
    assert faces.splits["train"].targets.tolist() == [0, 1, 2, 0] * 3


def test_soft_targets_are_distributions_in_training_alone(tmp_path: Path) -> None:
    config = DataConfig(label_rule="soft", leave_out_leaks=False)
    faces = open_faces(source(tmp_path), config, tmp_path / "cache")
    train, val = faces.splits["train"], faces.splits["val"]
    assert train.targets.dtype == torch.float32
    assert torch.allclose(train.targets[0], torch.tensor([0.8, 0.2, 0.0]))
    assert torch.allclose(train.targets.sum(dim=1), torch.ones(len(train)))
    assert val.targets.dtype == torch.int64
    assert len(val) == 3


def test_leaking_training_images_are_left_out_and_named(tmp_path: Path) -> None:
    faces = open_faces(source(tmp_path), DataConfig(), tmp_path / "cache")
    assert faces.report["leaks"]["exact"] == 1
    assert faces.report["leaks"]["names"] == ["train/00.png"]
    assert "train/00.png" not in faces.splits["train"].names
    kept = open_faces(source(tmp_path), DataConfig(leave_out_leaks=False), tmp_path / "cache")
    assert kept.report["leaks"]["exact"] == 1
    assert "train/00.png" in kept.splits["train"].names


def test_a_batch_is_what_the_network_takes(tmp_path: Path) -> None:
    split = open_faces(source(tmp_path), DataConfig(), tmp_path / "cache").splits["test"]
    images, targets = split.batch([2, 0])
    assert images.shape == (2, 3, 112, 112)
    assert images.dtype == torch.uint8
    assert targets.tolist() == split.targets[[2, 0]].tolist()
    number = int(Path(split.names[2]).stem)
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), face(png(number)))


def test_grey_faces_are_shown_as_three_channels(tmp_path: Path) -> None:
    files = {f"train/{label}/{i}.png": png(i, "L") for i in range(30) for label in ("fear",)}
    files |= {f"train/joy/{i}.png": png(100 + i, "L") for i in range(30)}
    faces = open_faces(write_zip(tmp_path / "a.zip", files), DataConfig(), tmp_path / "cache")
    images, _ = faces.splits["train"].batch(np.arange(4))
    assert faces.splits["train"].images.shape[1] == 1
    assert images.shape == (4, 3, 112, 112)
    assert torch.equal(images[:, 0], images[:, 2])
    assert faces.report["carved"] == ["val"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawn") / "data"
    list(draw(out.parent, DrawJob(out=str(out), count=150), Control()))
    return out


def test_quick_looks_are_stratified_parts(drawn: Path) -> None:
    whole = open_faces(drawn, DataConfig()).splits["train"]
    splits = open_faces(drawn, DataConfig(max_train=40, max_eval=14)).splits
    assert len(splits["train"]) == pytest.approx(40, abs=4)
    assert len(splits["test"]) == pytest.approx(14, abs=4)
    assert set(splits["train"].labels) == set(range(7))
    share = open_faces(drawn, DataConfig(train_share=0.5)).splits["train"]
    assert len(share) == pytest.approx(len(whole) / 2, abs=4)


def test_drawn_people_who_look_alike_are_no_leak(drawn: Path) -> None:
    assert open_faces(drawn, DataConfig()).report["leaks"]["near"] == 0


def test_samples_without_votes_among_voted_ones_keep_their_label(tmp_path: Path) -> None:
    pack = imported(source(tmp_path), tmp_path / "data")
    path = pack.folder / "samples.jsonl"
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1].replace('"votes":[4,4,1,1]', '"votes":null').replace('"label":null', '"label":2')
    path.write_text("\n".join(lines) + "\n")
    config = DataConfig(label_rule="soft", leave_out_leaks=False)
    faces = open_faces(pack.folder, config, tmp_path / "cache")
    assert sum(len(split) for split in faces.splits.values()) == 19


def test_what_is_missing_or_unfinished_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="is not there"):
        open_faces(tmp_path / "nothing.zip", DataConfig())
    unfinished = write_folder(tmp_path / "half", {"import.json": b"{}", "samples.jsonl": b""})
    with pytest.raises(JobError, match="has not finished"):
        open_faces(unfinished, DataConfig())
    empty = write_folder(tmp_path / "empty", {"a.txt": b"x"})
    with pytest.raises(JobError, match="No image"):
        open_faces(empty, DataConfig(), tmp_path / "cache")


def test_caches_lie_beside_the_data_unless_told_otherwise(tmp_path: Path) -> None:
    pack = imported(
        write_zip(tmp_path / "a.zip", {"fear/a.png": png(1), "joy/b.png": png(2)}), tmp_path / "data"
    )
    open_faces(pack.folder, DataConfig())
    assert list((tmp_path / ".face-cache").glob("faces-*.npy"))


def test_a_folder_that_may_not_be_written_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    path = write_zip(shelf / "a.zip", {"fear/a.png": png(1), "joy/b.png": encoded(picture(2))})
    shelf.chmod(0o555)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    open_faces(path, DataConfig())
    assert [entry.name for entry in shelf.iterdir()] == ["a.zip"]
    assert list((tmp_path / "home" / "mmfrm").glob("faces-*.npy"))
    shelf.chmod(0o755)


def test_reading_data_does_not_load_torch() -> None:
    program = """
import sys
import mmfrm.data, mmfrm.data.ingest, mmfrm.data.drawn, mmfrm.data.source, mmfrm.data.cache
print("torch" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "False"


def test_the_package_knows_no_other_names() -> None:
    import mmfrm.data

    with pytest.raises(AttributeError, match="no attribute"):
        _ = mmfrm.data.open_sesame
