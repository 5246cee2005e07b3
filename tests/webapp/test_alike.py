"""Faces that occur more than once: side by side on a page, and left out or relabelled there."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.mmfrm.sources import png, write_zip
from tests.webapp.test_dataset_versions import address, finished
from tests.webapp.test_datasets import imported
from webapp.accounts.models import User
from webapp.datasets import duplicates, loading, revising, services
from webapp.datasets.models import AlikeGroup, DatasetVersion

Clients = Callable[[User], Client]
HTMX = {"HX-Request": "true"}


pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def version(editor: User, tmp_path: Path) -> DatasetVersion:
    """Picture 0 leaks from train to test, 1 has two labels within train, 2 leaks and has both."""
    files = {f"train/anger/{i}.png": png(i) for i in range(8)}
    files |= {f"test/anger/{i}.png": png(i) for i in range(20, 24)}
    files |= {"test/anger/again0.png": png(0), "train/fear/again1.png": png(1)}
    files |= {"test/fear/again2.png": png(2), "train/fear/more2.png": png(2)}
    return imported(editor, write_zip(tmp_path / "faces.zip", files))


def group_of(version: DatasetVersion, name: str) -> AlikeGroup:
    index = version.samples.get(name=name).index
    return next(group for group in version.alike_groups.all() if index in group.indices)


def names(version: DatasetVersion) -> set[str]:
    return set(version.samples.values_list("name", flat=True))


def test_every_group_is_found_and_says_what_is_odd_about_it(version: DatasetVersion) -> None:
    assert duplicates.counts(version) == {
        "": 3, "leaking": 2, "across": 2, "conflict": 2, "equal": 3, "near": 0,
    }  # fmt: skip
    leaking = group_of(version, "train/anger/0.png")
    assert (leaking.is_leaking, leaking.has_conflict, leaking.has_equal) == (True, False, True)
    assert leaking.keep == version.samples.get(name="test/anger/again0.png").index
    within = group_of(version, "train/fear/again1.png")
    assert (within.is_leaking, within.is_across, within.has_conflict) == (False, False, True)
    loading.load(version)
    assert version.alike_groups.count() == 3, "loading again changes nothing"


def test_a_page_shows_them_side_by_side_with_as_many_queries_for_many_as_for_few(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client, asked = client_of(editor), []
    client.get(address("alike", version))
    for query, groups in (("", 3), ("?kind=conflict", 2), ("?kind=near", 0), ("?kind=nonsense&page=x", 3)):
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(address("alike", version, query))
        assert answer.status_code == HTTPStatus.OK
        assert (
            answer.content.decode().count("alike-group") - answer.content.decode().count("alike-groups")
            == groups
        )
        asked.append(len(queries))
    assert max(asked) <= 11, asked
    assert len({asked[0], asked[1], asked[3]}) == 1, asked
    shown = client.get(address("alike", version, "?kind=conflict")).content.decode()
    assert shown.count("alike-conflict") == 5, "every face of a group whose labels differ is marked"


def test_of_a_group_one_face_is_kept_or_the_training_copies_go_or_all_get_one_label(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client, change = client_of(editor), address("change_alike", version, "?on=alike")
    first, second, third = (
        group_of(version, f"train/{name}.png") for name in ("anger/0", "fear/again1", "fear/more2")
    )
    kept = version.samples.get(name="train/anger/0.png").index
    shown = client.post(change, {"group": first.number, "keep": kept}, headers=HTMX).content.decode()
    assert shown.lstrip().startswith('<section id="alike"')
    assert "1 left out" in shown
    client.post(change, {"group": second.number, "relabel": "fear"}, headers=HTMX)
    client.post(change, {"group": third.number, "action": "training"}, headers=HTMX)
    waiting = revising.pending(version, editor)
    assert waiting.words() == "3 left out, 1 relabelled"
    assert (
        client.post(address("undo", version, "?on=alike"), headers=HTMX).content.decode().count("1 left out")
    )
    client.post(change, {"group": third.number, "action": "training"})
    revising.make_version(version, editor, why="")
    made = finished(version, 2)
    gone = {"test/anger/again0.png", "train/anger/2.png", "train/fear/more2.png"}
    assert names(version) - names(made) == gone
    assert made.samples.get(name="train/anger/1.png").label == made.classes.index("fear")
    assert duplicates.counts(made)[""] == 1
    assert duplicates.counts(made)["conflict"] == 0


@pytest.mark.parametrize(
    ("action", "gone"),
    [
        ("training", {"train/anger/0.png", "train/anger/2.png", "train/fear/more2.png"}),
        (
            "keep_one",
            {"train/anger/0.png", "train/anger/2.png", "train/fear/more2.png", "train/fear/again1.png"},
        ),
    ],
)
def test_all_groups_at_once_and_never_the_held_out_face(
    editor: User, client_of: Clients, version: DatasetVersion, action: str, gone: set[str]
) -> None:
    client = client_of(editor)
    answer = client.post(address("change_alike", version, "?on=alike"), {"action": action})
    assert answer["Location"] == address("alike", version, "?on=alike")
    excluded = revising.pending(version, editor).excluded
    assert set(version.samples.filter(index__in=excluded).values_list("name", flat=True)) == gone
    again = client.post(address("change_alike", version, "?on=alike"), {"action": action}, follow=True)
    assert "nothing more to leave out" in again.content.decode()
    assert len(revising.pending(version, editor).edits) == 1, "a double click is one act"


def test_what_cannot_be_is_refused(editor: User, client_of: Clients, version: DatasetVersion) -> None:
    client, change = client_of(editor), address("change_alike", version)
    assert client.post(change, {"group": "99", "action": "training"}).status_code == HTTPStatus.NOT_FOUND
    assert client.post(change, {"group": "x" * 30, "keep": "1"}).status_code == HTTPStatus.NOT_FOUND
    for wish in ({"group": 0, "keep": "9999"}, {"group": 0, "relabel": "joy"}, {"group": 0}, {}):
        client.post(change, wish)
    assert not revising.pending(version, editor).edits


def test_drawn_people_that_look_alike_are_no_group(editor: User) -> None:
    from tests.webapp.work import do_next

    drawn = services.draw(editor, count=60).versions.get()
    do_next()
    assert not drawn.alike_groups.exists()
