"""Two versions of a data set on one page: what came, went, moved or is called otherwise, and who did it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.mmfrm.sources import png, write_zip
from tests.webapp.test_dataset_versions import finished
from tests.webapp.test_datasets import imported
from webapp.accounts.models import User
from webapp.datasets import comparing, revising
from webapp.datasets.models import DatasetVersion

Clients = Callable[[User], Client]


pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def pair(editor: User, tmp_path: Path) -> tuple[DatasetVersion, DatasetVersion]:
    """The second lacks faces 0 and 1 of 40, calls 2 happiness, tags 3 and 4, and has a validation split."""
    files = {f"train/anger/{i:02}.png": png(i) for i in range(30)}
    files |= {f"train/happiness/{i:02}.png": png(i) for i in range(30, 40)}
    old = imported(editor, write_zip(tmp_path / "faces.zip", files))
    for action, value, indices in (
        ("exclude", "", [0, 1]), ("relabel", "happiness", [2]), ("tag", "dark", [3, 4]),
    ):  # fmt: skip
        revising.add_edit(old, editor, action=action, value=value, indices=indices)
    revising.make_version(old, editor, why="They were blurred.")
    finished(old, 2)
    revising.remedy(old.dataset.versions.get(number=2), editor, "carve")
    return old, finished(old, 3)


def address(new: DatasetVersion, old: DatasetVersion, query: str = "") -> str:
    return reverse("datasets:compare", args=[new.dataset_id, new.number, old.number]) + query


def test_the_page_says_what_is_different_who_made_it_and_why(
    editor: User, client_of: Clients, pair: tuple[DatasetVersion, DatasetVersion]
) -> None:
    old, new = pair
    moved = sum(new.counts["val"].values()) + sum(new.counts.get("test", {}).values())
    found = comparing.difference(old, new)
    assert {kind: len(faces) for kind, faces in found.faces.items()} == {
        "left_out": 2, "added": 0, "relabelled": 1, "moved": moved, "tagged": 2,
    }  # fmt: skip
    client = client_of(editor)
    page = client.get(address(new, old)).content.decode()
    assert "They were blurred." in page
    assert "2 left out, 1 relabelled, 2 tagged" in page.lower()
    assert "00.png" in page
    relabelled = client.get(address(new, old, "?kind=relabelled")).content.decode()
    assert "<s>anger</s> happiness" in relabelled
    assert "<s>no tag</s> dark" in client.get(address(new, old, "?kind=tagged")).content.decode()
    assert "<s>train</s>" in client.get(address(new, old, "?kind=moved")).content.decode()
    rows = {row.name: (row.before, row.after, row.change) for row in comparing.by_class(old, new)}
    assert rows == {"anger": (30, 27, -3), "happiness": (10, 11, 1)}
    listed = client.get(reverse("datasets:version", args=[new.dataset_id, 3])).content.decode()
    assert address(new, old) in listed


def test_the_other_way_round_what_was_left_out_is_added(
    editor: User, client_of: Clients, pair: tuple[DatasetVersion, DatasetVersion]
) -> None:
    old, new = pair
    back = comparing.difference(new, old)
    assert len(back.faces["added"]) == 2
    assert not back.faces["left_out"]
    assert "was not made out of" in client_of(editor).get(address(old, new)).content.decode()
    same = client_of(editor).get(address(new, new)).content.decode()
    assert "No face differs" in same


def test_it_asks_as_few_queries_for_any_kind_and_what_is_not_ready_is_not_compared(
    editor: User, client_of: Clients, pair: tuple[DatasetVersion, DatasetVersion]
) -> None:
    old, new = pair
    client = client_of(editor)
    client.get(address(new, old))
    asked = set()
    for query in ("", "?kind=moved&page=9", "?kind=nonsense", "?kind=relabelled"):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address(new, old, query)).status_code == HTTPStatus.OK
        asked.add(len(queries))
    assert asked <= {9, 10}, "one fewer where nothing is shown of one of the two"
    waiting = revising.remedy(old, editor, "carve")
    answer = client.get(address(waiting, old))
    assert answer["Location"] == reverse("datasets:version", args=[new.dataset_id, waiting.number])
