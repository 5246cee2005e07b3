"""What is downloaded and imported again is the same version, in every layout that fits."""

from __future__ import annotations

import csv
import io
import random
import zipfile
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mmfrm.classes import FERPLUS, RAF_DB
from tests.mmfrm.sources import imported as imported_pack
from tests.mmfrm.sources import jpeg, png, write_zip
from tests.webapp.test_datasets import imported
from tests.webapp.work import do_next
from webapp import zips
from webapp.accounts.models import User
from webapp.datasets import exporting, revising
from webapp.datasets.models import Dataset, DatasetVersion

Clients = Callable[[User], Client]


pytestmark = pytest.mark.usefixtures("data_folder")


def class_folders() -> dict[str, bytes]:
    """Train, val and test; two files share a name, two images lie outside the class folders."""
    files: dict[str, bytes] = {}
    for at, split in enumerate(("train", "val", "test")):
        for i, name in enumerate(RAF_DB):
            files[f"a/{split}/{name}/{i}.png"] = png(100 * at + i)
            files[f"b/{split}/{name}/{i}.png"] = png(100 * at + 50 + i)
    return files | {"train/unsorted/a.png": png(7001), "b.jpg": jpeg(7002)}


def ferplus() -> dict[str, bytes]:
    """Votes for all but one image; some without a majority."""
    draw = random.Random(4)
    files, lines = dict[str, bytes](), [",".join(["Usage", "Image name", *FERPLUS, "unknown", "NF"])]
    for folder, usage in (("FER2013Train", "Training"), ("FER2013Valid", "PublicTest"),
                          ("FER2013Test", "PrivateTest")):  # fmt: skip
        for i in range(12):
            name = f"{usage}{i:03}.png"
            files[f"{folder}/{name}"] = png(len(files))
            votes = [0] * 10
            for _ in range(10):
                votes[draw.choice([i % 8, i % 8, draw.randrange(10)])] += 1
            lines.append(",".join([usage, name, *map(str, votes)]))
    lines.pop()
    return files | {"fer2013new.csv": "\n".join(lines).encode()}


def raf_db() -> dict[str, bytes]:
    rows = [(f"{split}_{i:05}", i % 7 + 1) for split in ("train", "test") for i in range(1, 15)]
    files = {f"Image/aligned/{stem}_aligned.jpg": jpeg(i) for i, (stem, _) in enumerate(rows)}
    text = "".join(f"{stem}.jpg {label}\n" for stem, label in rows)
    return files | {"EmoLabel/list_patition_label.txt": text.encode()}


def with_groups() -> dict[str, bytes]:
    rows = [
        (f"{i}.png", FERPLUS[i % 3], ("train", "val", "test")[i % 3], f"person {i // 4}") for i in range(24)
    ]
    text = io.StringIO()
    csv.writer(text).writerows([("path", "label", "split", "group"), *rows])
    return {row[0]: png(i) for i, row in enumerate(rows)} | {"labels.csv": text.getvalue().encode()}


def downloaded(client: Client, version: DatasetVersion, layout: str, path: Path) -> Path:
    answer: Any = client.get(reverse("datasets:download", args=[version.dataset_id, version.number, layout]))
    assert answer.status_code == HTTPStatus.OK
    assert answer.streaming
    path.write_bytes(b"".join(answer.streaming_content))
    return path


@pytest.mark.parametrize(
    ("source", "layout"),
    [
        (class_folders, "folders"),
        (class_folders, "csv"),
        (ferplus, "ferplus"),
        (ferplus, "csv"),
        (raf_db, "raf_db"),
        (raf_db, "folders"),
        (with_groups, "csv"),
    ],
)
def test_the_import_of_an_export_has_the_same_fingerprint(
    editor: User,
    client_of: Clients,
    tmp_path: Path,
    source: Callable[[], dict[str, bytes]],
    layout: str,
) -> None:
    version = imported(editor, write_zip(tmp_path / "in.zip", source()))
    path = downloaded(client_of(editor), version, layout, tmp_path / "out.zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    again = imported_pack(path, tmp_path / "again")
    assert again.description.layout == layout
    assert again.description.counts == version.counts
    assert again.description.fingerprint == version.fingerprint


def test_a_new_version_is_exported_with_its_changes(editor: User, client_of: Clients, tmp_path: Path) -> None:
    version = imported(editor, write_zip(tmp_path / "in.zip", class_folders()))
    revising.add_edit(version, editor, action="exclude", value="", indices=[0, 3])
    revising.add_edit(version, editor, action="relabel", value="fear", indices=[1])
    revising.make_version(version, editor, why="")
    do_next()
    made = version.dataset.versions.get(number=2)
    path = downloaded(client_of(editor), made, "folders", tmp_path / "out.zip")
    again = imported_pack(path, tmp_path / "again")
    assert again.description.images == version.images - 2
    assert again.description.fingerprint == made.fingerprint != version.fingerprint


def test_a_layout_that_cannot_hold_the_version_is_refused_in_words(
    editor: User, client_of: Clients, tmp_path: Path
) -> None:
    version = imported(editor, write_zip(tmp_path / "in.zip", ferplus()))
    revising.add_edit(version, editor, action="relabel", value="fear", indices=[1])
    revising.make_version(version, editor, why="")
    do_next()
    made = version.dataset.versions.get(number=2)
    by_csv = imported_pack(downloaded(client_of(editor), made, "csv", tmp_path / "o.zip"), tmp_path / "again")
    assert by_csv.description.fingerprint == made.fingerprint
    assert "1 faces were labelled by hand" in exporting.why_not(made, "ferplus")
    client = client_of(editor)
    url = reverse("datasets:download", args=[made.dataset_id, 2, "ferplus"])
    answer = client.get(url, follow=True)
    assert "labelled by hand" in answer.content.decode()
    assert client.get(url.replace("ferplus", "nonsense")).status_code == HTTPStatus.NOT_FOUND
    assert "RAF-DB has seven expressions" in exporting.why_not(version, "raf_db")


@pytest.mark.parametrize("name", ["../../evil", "sad/angry", "a\\b", "happy faces", "bored", "unknown"])
def test_a_class_whose_folder_would_lead_elsewhere_goes_by_the_csv_alone(
    editor: User, client_of: Clients, name: str
) -> None:
    dataset = Dataset.objects.create(owner=editor, name="Strange")
    version = DatasetVersion.objects.create(
        dataset=dataset, number=1, made_by=editor, classes=["anger", name], ready_at=timezone.now()
    )
    assert name in exporting.why_not(version, "folders")
    assert "Images and a CSV" in exporting.why_not(version, "folders")
    assert exporting.why_not(version, "csv") == ""
    answer = client_of(editor).get(reverse("datasets:download", args=[dataset.pk, 1, "folders"]))
    assert answer.status_code == HTTPStatus.FOUND


def test_a_download_holds_little_at_once(editor: User, tmp_path: Path) -> None:
    version = imported(editor, write_zip(tmp_path / "in.zip", raf_db()))
    exporting_piece = max(len(piece) for piece in exporting.stream(version, "folders"))
    assert exporting_piece < zips.PIECE + max(version.samples.values_list("length", flat=True)) + 20_000
