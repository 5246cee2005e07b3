"""Deleting one version: it says what goes along, and leaves no pixel that it alone had."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mmfrm.presets import presets
from tests.mmfrm.sources import png, write_zip
from tests.webapp.test_dataset_versions import address, finished
from tests.webapp.test_datasets import imported
from webapp import packs
from webapp.accounts.models import User
from webapp.datasets import deleting, erasing, revising, services
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.errors import RefusedError
from webapp.experiments.models import Run
from webapp.experiments.services import start_run
from webapp.jobs.models import Job

Clients = Callable[[User], Client]


pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def first(editor: User, tmp_path: Path) -> DatasetVersion:
    return imported(
        editor, write_zip(tmp_path / "f.zip", {f"train/anger/{i:02}.png": png(i) for i in range(40)})
    )


@pytest.fixture
def second(editor: User, first: DatasetVersion) -> DatasetVersion:
    """Without the faces 0 and 20 of the first, whose pixels it shares."""
    return without(first, editor, [0, 20], number=2)


def without(version: DatasetVersion, user: User, indices: list[int], *, number: int) -> DatasetVersion:
    revising.add_edit(version, user, action="exclude", value="", indices=indices)
    revising.make_version(version, user, why="")
    return finished(version, number)


def images(version: DatasetVersion) -> dict[str, bytes]:
    rows = version.samples.all()
    return {row.name: packs.read(version.folder / row.pack, row.offset, row.length) for row in rows}


def stored(version: DatasetVersion) -> bytes:
    return b"".join(path.read_bytes() for path in version.dataset.folder.rglob("*.pack"))


def test_the_pixels_of_the_deleted_version_alone_go_and_the_shared_ones_stay(
    editor: User,
    client_of: Clients,
    first: DatasetVersion,
    second: DatasetVersion,
    django_capture_on_commit_callbacks: Any,
) -> None:
    before, kept, folder = images(first), images(second), first.folder
    gone = [before[f"train/anger/{i:02}.png"] for i in (0, 20)]
    assert all(data in stored(first) for data in gone)
    client = client_of(editor)
    page = client.get(address("delete_version", first)).content.decode()
    assert "the pixels of 2 images that no other version has" in page
    assert "38 images that other versions share" in page
    with django_capture_on_commit_callbacks(execute=True):
        client.post(address("delete_version", first))
    left = second.dataset.versions.get()
    assert (left.number, left.parent) == (2, None)
    assert images(left) == kept
    assert not any(data in stored(left) for data in gone)
    assert [path.name for path in folder.iterdir()] == ["faces-0.pack"]
    assert Dataset.objects.get().erase_wanted_at is None
    assert client.get(address("version", left)).status_code == HTTPStatus.OK
    third = without(left, editor, [1], number=3)
    with django_capture_on_commit_callbacks(execute=True):
        deleting.delete(left, editor, with_runs=False)
    assert len(images(third)) == 37
    with django_capture_on_commit_callbacks(execute=True):
        services.delete(third.dataset)
    assert not third.dataset.folder.exists()


def test_a_kill_between_rows_and_pixels_is_made_good_by_the_sweep(
    editor: User,
    first: DatasetVersion,
    second: DatasetVersion,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    gone, kept = images(first)["train/anger/00.png"], images(second)
    monkeypatch.setattr(erasing, "_punch", lambda *_: False)  # a file system that knows no holes
    with django_capture_on_commit_callbacks():  # killed here: nothing of it is done
        deleting.delete(first, editor, with_runs=False)
    assert gone in stored(second)
    blank, calls = erasing._blank, []

    def killed_once(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt
        blank(*arguments)

    monkeypatch.setattr(erasing, "_blank", killed_once)
    with pytest.raises(KeyboardInterrupt):  # and killed again in the middle
        erasing.erase_what_waits()
    erasing.erase_what_waits()
    assert gone not in stored(second)
    assert images(second) == kept
    assert erasing.erase_what_waits() == 0


def test_a_version_that_runs_learned_from_goes_only_with_them(
    editor: User,
    client_of: Clients,
    second: DatasetVersion,
    administrator: User,
    django_capture_on_commit_callbacks: Any,
) -> None:
    first = second.dataset.versions.get(number=1)
    start_run(editor, version=first, preset="small", config=presets()["small"], name="My run")
    client = client_of(editor)
    assert (
        "1 run that learned from it (My run)" in client.get(address("delete_version", first)).content.decode()
    )
    answer = client.post(address("delete_version", first), follow=True)
    assert "1 run learned from it" in answer.content.decode()
    Run.objects.update(owner=administrator)
    with pytest.raises(RefusedError, match="other people"):
        deleting.delete(first, editor, with_runs=True)
    assert Run.objects.count() == 1
    with django_capture_on_commit_callbacks(execute=True):
        client_of(administrator).post(address("delete_version", first), {"with_runs": "1"})
    assert not Run.objects.exists()
    assert list(second.dataset.versions.all()) == [second]


def test_what_cannot_be_deleted_says_why(editor: User, first: DatasetVersion) -> None:
    with pytest.raises(RefusedError, match="only version"):
        deleting.delete(first, editor, with_runs=False)
    second = without(first, editor, [3], number=2)
    revising.add_edit(first, editor, action="exclude", value="", indices=[5])
    made = revising.make_version(first, editor, why="")
    with pytest.raises(RefusedError, match="Version 3 is not finished"):
        deleting.delete(second, editor, with_runs=False)
    with pytest.raises(RefusedError, match="discard"):
        deleting.delete(made, editor, with_runs=False)
    assert Job.objects.filter(kind="revise").count() == 2
