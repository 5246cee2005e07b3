"""manage.py label: a folder on this machine becomes a batch, and its labels a CSV, without a browser."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from mmfrm.checkpoint import save_model
from mmfrm.nn import build_network
from tests.mmfrm.training import smallest
from tests.webapp.work import do_next
from webapp.accounts.models import User
from webapp.jobs.models import Job
from webapp.labeling.management.commands import label
from webapp.labeling.models import LabelBatch
from webapp.registry import starter
from webapp.registry.models import Model
from webapp.uploads.models import Upload

CLASSES = ("neutral", "happiness", "surprise")
pytestmark = pytest.mark.django_db


@pytest.fixture
def photos(tmp_path: Path, settings: Any) -> Path:
    """Twenty pictures, two of the same name; a text among them, and what systems leave behind."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    folder = tmp_path / "Holiday"
    draw = np.random.default_rng(0)
    for i in range(20):
        path = folder / f"day {i % 2}" / f"{i // 2}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (60, 60, 3), np.uint8)).save(path)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".DS_Store").write_text("junk")
    return folder


def keep_model(owner: User, name: str) -> Model:
    model = Model.objects.create(owner=owner, name=name, classes=list(CLASSES))
    model.folder.parent.mkdir(parents=True, exist_ok=True)
    config = smallest().network
    save_model(model.folder, build_network(config, len(CLASSES)), classes=CLASSES, config=config, card={})
    return model


def called(*arguments: object) -> str:
    out = io.StringIO()
    call_command("label", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_a_folder_becomes_a_batch_and_a_csv(
    photos: Path, tmp_path: Path, administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shipped in ("STARTER", "QUICK"):
        monkeypatch.setattr(starter, shipped, tmp_path / "nothing")  # as where none ships
    with pytest.raises(CommandError, match="no model yet"):
        called(photos)
    keep_model(administrator, "Starter")
    looked: list[Job] = []
    monkeypatch.setattr(f"{label.__name__}.sleep", lambda seconds: looked.append(do_next()))
    table = tmp_path / "labels.csv"
    said = called(photos, "--csv", table)
    assert len(looked) == 1
    assert "21 files" in said
    assert "1  no face, or unreadable" in said
    assert "20 faces labelled" in said
    batch = LabelBatch.objects.get()
    assert f"/labeling/{batch.pk}/" in said
    assert (batch.name, batch.owner) == ("Holiday", administrator)
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [row["file"] for row in rows[:2]] == ["day 0/0.jpg", "day 0/1.jpg"]
    assert len(rows) == 21
    assert sorted(path.name for path in photos.iterdir()) == [".DS_Store", "day 0", "day 1", "notes.txt"]
    assert not Upload.objects.exists(), "its copy is gone once it is labelled"


def test_where_there_is_no_model_yet_the_one_that_ships_labels(photos: Path, administrator: User) -> None:
    called(photos, "--no-wait")
    called(photos, "--no-wait")
    first, second = LabelBatch.objects.order_by("pk")
    assert first.model is not None
    assert first.model.shipped_as == "starter"
    assert second.model == first.model, "however many others ship"
    assert (first.model.folder / "model.safetensors").is_file()


def test_neither_a_date_before_zips_nor_a_name_of_an_older_system_costs_a_folder(
    photos: Path, tmp_path: Path, administrator: User
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/No\xebl"))
    try:
        photos.rename(folder)
    except OSError:
        pytest.skip("this file system takes no name that is not UTF-8")
    os.utime(folder / "day 0" / "0.jpg", (0, 0))
    for i, name in enumerate((b"caf\xe9.jpg", b"caf\xe8.jpg")):
        (folder / "day 0" / f"{i + 1}.jpg").rename(folder / "day 0" / os.fsdecode(name))
    keep_model(administrator, "Starter")
    said = called(folder, "--model", "Starter", "--no-wait")
    assert "21 files" in said
    batch = LabelBatch.objects.get()
    assert batch.upload is not None
    assert (batch.name, batch.upload.filename) == ("No\ufffdl", "No\ufffdl.zip")
    with zipfile.ZipFile(batch.upload.path) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert len(set(names)) == 21
    assert {"day 0/0.jpg", "day 0/caf\ufffd.jpg", "day 0/caf\ufffd (2).jpg"} < set(names)


def test_what_cannot_be_labelled_is_said_in_one_line(
    photos: Path, tmp_path: Path, administrator: User
) -> None:
    first = keep_model(administrator, "Starter")
    second = Model.objects.create(owner=administrator, name="Other", classes=["a", "b"])
    for arguments, why in (
        ((tmp_path / "nowhere",), "not there"),
        ((photos,), f"{first.pk}  Starter"),
        ((photos, "--model", "Third"), f"{second.pk}  Other"),
        ((photos, "--model", "Starter", "--user", "nobody"), "no active account"),
        ((photos, "--model", "Starter", "--no-wait", "--csv", "x.csv"), "--no-wait"),
        ((photos, "--model", "Starter", "--csv", tmp_path / "nowhere" / "x.csv"), "cannot be written"),
        ((photos, "--model", "Starter", "--find-faces", "--min-face", 3), "between 20 and 4,000"),
        ((photos, "--model", "Starter", "--temperature", 0), "between 0.05 and 20"),
        ((photos / "day 0" / "empty", "--model", "Starter"), "holds no files"),
    ):
        (photos / "day 0" / "empty").mkdir(exist_ok=True)
        with pytest.raises(CommandError, match=why):
            called(*arguments)
    assert not LabelBatch.objects.exists()
    said = called(
        photos / "day 1" / "3.jpg",
        "--model",
        first.pk,
        "--no-wait",
        "--find-faces",
        "--private",
        "--temperature",
        1.5,
    )
    batch = LabelBatch.objects.get()
    assert batch.private
    assert (batch.options["faces"], batch.options["temperature"]) == ("find", 1.5)
    assert f"/labeling/{batch.pk}/" in said
    assert batch.upload is not None
    assert batch.upload.path.read_bytes() == (photos / "day 1" / "3.jpg").read_bytes()
    assert batch.job.state == Job.State.QUEUED
