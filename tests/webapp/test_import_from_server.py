"""Data sets from paths of the server: for administrators, below the roots of the settings alone."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.mmfrm.sources import png, write_zip
from tests.webapp.work import do_next
from webapp.accounts.models import User
from webapp.datasets import server_paths
from webapp.datasets.models import Dataset
from webapp.errors import RefusedError
from webapp.jobs.models import Job

Clients = Callable[[User], Client]
URL = "datasets:import_path"


@pytest.fixture
def root(settings: Any, tmp_path: Path, db: None) -> Path:
    settings.DATA_DIR = tmp_path / "root" / "product"
    settings.DATA_DIR.mkdir(parents=True)
    settings.DISK_RESERVE_BYTES = 0
    settings.IMPORT_ROOTS = [tmp_path / "root"]
    return tmp_path / "root"


def filled(folder: Path) -> Path:
    for i in range(6):
        path = folder / "train" / ("anger", "fear")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    return folder


def test_an_archive_or_a_folder_is_read_where_it_lies(
    administrator: User, client_of: Clients, root: Path
) -> None:
    client = client_of(administrator)
    files = {f"train/{('anger', 'fear')[i % 2]}/{i}.png": png(i) for i in range(6)}
    for path in (write_zip(root / "my_faces.zip", files), filled(root / "folder")):
        answer = client.post(reverse(URL), {"server-path": f" {path} ", "server-layout": "auto"})
        dataset = Dataset.objects.latest("pk")
        assert answer["Location"] == reverse("datasets:dataset", args=[dataset.pk])
        assert str(path) in client.get(answer["Location"]).content.decode()
        assert do_next().state == Job.State.FINISHED
        assert dataset.versions.get().images == 6
        assert path.exists(), "it is left as it is"
    assert {dataset.name for dataset in Dataset.objects.all()} == {"my faces", "folder"}


def test_nothing_outside_the_roots_is_read_and_no_answer_tells_what_is_there(
    root: Path, administrator: User, client_of: Clients, tmp_path: Path
) -> None:
    secret = filled(tmp_path / "secret")
    (root / "link").symlink_to(secret)
    filled(root / "product" / "datasets")
    refused = set()
    for path in (
        str(secret), f"{root}/../secret", str(root / "link"), "relative", "", "/", "/etc/passwd", str(root),
        str(root / "absent"), str(root / "product" / "datasets"), "/proc/self/environ", "a\0b", f"{root}2",
    ):  # fmt: skip
        with pytest.raises(RefusedError) as error:
            server_paths.allowed(path)
        refused.add(str(error.value))
    assert len(refused) == 1
    answer = client_of(administrator).post(
        reverse(URL), {"server-path": str(secret), "server-layout": "auto"}
    )
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert not Dataset.objects.exists()


def test_a_path_is_checked_again_when_its_job_starts(administrator: User, root: Path, settings: Any) -> None:
    place = filled(root / "folder")
    server_paths.import_path(administrator, path=str(place), name="", layout="auto", private=False)
    settings.IMPORT_ROOTS = []
    with pytest.raises(RefusedError, match="IMPORT_ROOTS is not set"):
        do_next()


def test_the_form_is_there_for_administrators_alone_and_only_with_roots(
    administrator: User, editor: User, client_of: Clients, root: Path, settings: Any
) -> None:
    new = reverse("datasets:new")
    assert "From the server" in client_of(administrator).get(new).content.decode()
    assert "From the server" not in client_of(editor).get(new).content.decode()
    assert (
        client_of(editor).post(reverse(URL), {"server-path": str(root)}).status_code == HTTPStatus.FORBIDDEN
    )
    settings.IMPORT_ROOTS = []
    assert "From the server" not in client_of(administrator).get(new).content.decode()
