"""New versions of a data set: made of selected faces or by a remedy, undone before, never changed after."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.mmfrm.sources import png, write_zip
from tests.webapp.test_datasets import imported
from tests.webapp.work import do_next
from webapp.accounts.models import User
from webapp.datasets import loading, revising, services
from webapp.datasets.models import DatasetVersion, Edit
from webapp.errors import RefusedError
from webapp.jobs.models import Job

Clients = Callable[[User], Client]
HTMX = {"HX-Request": "true"}


pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def version(editor: User, tmp_path: Path) -> DatasetVersion:
    """130 faces, more than a page shows; test repeats two of train; there is no validation split."""
    names = ("anger", "happiness", "neutral")
    files = {f"train/{names[i % 3]}/{i:03}.png": png(i) for i in range(124)}
    files |= {f"test/{names[i % 3]}/again{i}.png": png(i) for i in range(2)}
    files |= {f"test/{names[i % 3]}/{i}.png": png(i) for i in range(124, 128)}
    return imported(editor, write_zip(tmp_path / "faces.zip", files))


def address(name: str, version: DatasetVersion, query: str = "") -> str:
    return reverse(f"datasets:{name}", args=[version.dataset_id, version.number]) + query


def finished(version: DatasetVersion, number: int) -> DatasetVersion:
    job = do_next()
    assert job.state == Job.State.FINISHED, job.reason
    return version.dataset.versions.get(number=number)


def test_selected_faces_are_left_out_relabelled_and_tagged_in_a_new_version(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client = client_of(editor)
    before = list(version.samples.order_by("index").values())
    change = address("edit_faces", version)
    client.post(change, {"action": "exclude", "face": ["0", "1"]}, headers=HTMX)
    client.post(change, {"action": "relabel", "to": "neutral", "face": ["2", "3"]}, headers=HTMX)
    shown = client.post(change, {"action": "tag", "tag": "Bad Crop", "face": ["5"]}, headers=HTMX)
    assert "2 left out, 2 relabelled, 1 tagged" in shown.content.decode().lower()
    answer = client.post(address("make_version", version), {"why": "Looked at them."})
    assert answer["Location"] == reverse("datasets:version", args=[version.dataset_id, 2])
    assert "Waiting" in client.get(answer["Location"]).content.decode()

    made = finished(version, 2)
    assert (made.parent, made.made_by, made.why) == (version, editor, "Looked at them.")
    assert made.note == "2 left out, 2 relabelled, 1 tagged"
    assert made.images == version.images - 2
    rows = {row.name: row for row in made.samples.all()}
    names = [row["name"] for row in before]
    assert names[0] not in rows
    assert rows[names[2]].label == rows[names[3]].label == made.classes.index("neutral")
    assert rows[names[5]].flags == ["bad_crop"]
    assert list(version.samples.order_by("index").values()) == before, "the old version never changes"
    assert not Edit.objects.exists()
    for index in (0, made.images - 1):
        url = reverse("datasets:pixels", args=[version.dataset_id, 2, index])
        name = made.samples.get(index=index).name
        old = reverse("datasets:pixels", args=[version.dataset_id, 1, names.index(name)])
        assert client.get(url).content == client.get(old).content
    page = client.get(reverse("datasets:dataset", args=[version.dataset_id])).content.decode()
    assert "Looked at them." in page


def test_undo_takes_back_one_change_after_the_other(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client = client_of(editor)
    for face in ("4", "9"):
        client.post(address("edit_faces", version), {"action": "exclude", "face": [face]})
    assert revising.pending(version, editor).excluded == {4, 9}
    client.post(address("undo", version))
    assert revising.pending(version, editor).excluded == {4}
    client.post(address("undo", version), headers=HTMX)
    answer = client.post(address("undo", version), headers=HTMX)
    assert "nothing to undo" in answer["HX-Trigger"]
    with pytest.raises(RefusedError, match="Nothing was changed"):
        revising.make_version(version, editor, why="")


def test_all_that_the_filters_show_is_changed_also_beyond_the_page(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    url = address("edit_faces", version, "?split=train")
    answer = client_of(editor).post(url, {"action": "exclude", "all": "1"})
    assert answer["Location"].endswith("?split=train"), "the visitor stays where they were"
    train = set(version.samples.filter(split="train").values_list("index", flat=True))
    assert revising.pending(version, editor).excluded == train
    assert len(train) == 124


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"action": "exclude"}, "Select faces first"),
        ({"action": "exclude", "face": ["100000", "-1", "x"]}, "Select faces first"),
        ({"action": "relabel", "to": "boredom", "face": ["1"]}, "boredom is not a class"),
        ({"action": "relabel", "face": ["1"]}, "Choose the new class"),
        ({"action": "tag", "tag": "<b>", "face": ["1"]}, "A tag has up to 40"),
        ({"action": "burn", "face": ["1"]}, "Leave out, relabel or tag"),
    ],
)
def test_a_change_that_means_nothing_is_refused_in_words(
    editor: User, client_of: Clients, version: DatasetVersion, wish: dict[str, Any], words: str
) -> None:
    answer = client_of(editor).post(address("edit_faces", version), wish, headers=HTMX)
    assert words in answer["HX-Trigger"]
    assert not Edit.objects.exists()


def test_changes_of_one_person_are_not_anothers(
    editor: User, administrator: User, version: DatasetVersion
) -> None:
    revising.add_edit(version, editor, action="exclude", value="", indices=[1])
    assert not revising.pending(version, administrator).edits
    assert revising.undo(version, administrator) is None


def test_each_remedy_mends_its_fault_in_one_click(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client = client_of(editor)
    assert {remedy.name for remedy in revising.remedies(version)} == {"leaks", "carve"}
    page = client.get(address("version", version)).content.decode()
    assert "Leave out leaking images" in page
    assert "Carve a validation split" in page
    client.post(address("remedy", version), {"remedy": "leaks"})
    second = finished(version, 2)
    assert second.images == version.images - 2
    assert {remedy.name for remedy in revising.remedies(second)} == {"carve"}
    client.post(address("remedy", second), {"remedy": "carve"})
    third = finished(version, 3)
    assert sum(third.counts["val"].values()) == pytest.approx(0.1 * 122, abs=3)
    assert third.counts["test"] == version.counts["test"]
    assert revising.remedies(third) == []
    with pytest.raises(RefusedError, match="nothing of the kind"):
        revising.remedy(third, editor, "leaks")


def test_a_version_that_waits_does_not_hide_the_one_that_is_ready_and_can_be_discarded(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client = client_of(editor)
    made = revising.remedy(version, editor, "leaks")
    shown = client.get(reverse("datasets:dataset", args=[version.dataset_id]))
    assert shown.context["version"].pk == version.pk
    listed = client.get(reverse("datasets:index"))
    assert listed.context["cards"][0]["version"].pk == version.pk
    assert services.retry(version.dataset, editor, layout="auto") is False, "a revision is no import"
    client.post(address("discard", version))
    client.post(address("discard", made))
    assert list(version.dataset.versions.all()) == [version]
    assert not Job.objects.filter(kind="revise").exists()


def test_what_a_discarded_version_was_to_change_waits_again(
    editor: User, administrator: User, client_of: Clients, version: DatasetVersion
) -> None:
    wishes = (("exclude", "", [1, 2]), ("relabel", "neutral", [3]), ("relabel", "anger", [4]),
              ("tag", "odd", [5, 6]), ("tag", "dark", [6]))  # fmt: skip
    for action, value, indices in wishes:
        revising.add_edit(version, editor, action=action, value=value, indices=indices)
    before = revising.pending(version, editor)
    made = revising.make_version(version, editor, why="")
    revising.add_edit(version, editor, action="relabel", value="happiness", indices=[4])
    page = client_of(administrator).get(address("version", made)).content.decode()
    assert f"Its changes wait in v1 again for {editor}" in page
    answer = client_of(administrator).post(address("discard", made), follow=True)
    assert f"its changes wait in v1 again for {editor}" in answer.content.decode()
    after = revising.pending(version, editor)
    assert after.excluded == before.excluded
    assert after.relabelled == {3: "neutral", 4: "happiness"}, "what was decided since then stands"
    assert {i: sorted(tags) for i, tags in after.tagged.items()} == {5: ["odd"], 6: ["dark", "odd"]}
    assert not revising.pending(version, administrator).edits


def test_more_tags_than_a_face_can_hold_are_refused_at_once(editor: User, version: DatasetVersion) -> None:
    for i in range(4):
        revising.add_edit(version, editor, action="tag", value=f"{i}" * 40, indices=[7])
    with pytest.raises(RefusedError, match="200 letters in all"):
        revising.add_edit(version, editor, action="tag", value="x" * 40, indices=[6, 7])
    revising.add_edit(version, editor, action="tag", value="x" * 40, indices=[6])
    revising.make_version(version, editor, why="")
    made = finished(version, 2)
    with pytest.raises(RefusedError, match="200 letters in all"):
        revising.add_edit(made, editor, action="tag", value="y" * 40, indices=[7])


def test_flags_that_came_from_elsewhere_are_cut_for_filters() -> None:
    kept = loading._flagged([f"{i}" * 60 for i in range(5)])
    assert kept == f" {'0' * 60} {'1' * 60} {'2' * 60} "


def test_the_grid_asks_as_many_queries_with_changes_as_without(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client = client_of(editor)
    asked = []
    for indices in ([], [1], [2, 3, 4]):
        if indices:
            revising.add_edit(version, editor, action="exclude", value="", indices=indices)
        client.get(address("faces", version))
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address("faces", version)).status_code == HTTPStatus.OK
        asked.append(len(queries))
    assert len(set(asked)) == 1


@pytest.mark.django_db(transaction=True)
def test_versions_of_before_are_told_their_widest_image(editor: User, tmp_path: Path) -> None:
    version = imported(editor, write_zip(tmp_path / "faces.zip", {"joy/1.png": png(1), "joy/2.png": png(2)}))
    widest = version.widest
    executor = MigrationExecutor(connection)
    executor.migrate([("datasets", "0008_where_a_face_was_in_its_photo")])
    MigrationExecutor(connection).migrate([("datasets", "0009_widest_image")])
    version.refresh_from_db()
    assert version.widest == widest
    assert widest is not None
