"""Between a look and the import: classes renamed, merged or left out, another column of people, no splits."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from mmfrm.jobs import ImportJob
from tests.mmfrm.sources import png, write_zip
from tests.webapp.test_datasets import uploaded
from tests.webapp.work import do_next
from webapp.accounts.models import User
from webapp.datasets import exporting, importing, report, revising, services
from webapp.datasets.models import Dataset, DatasetImport
from webapp.jobs import services as jobs
from webapp.jobs.models import Job

Clients = Callable[[User], Client]
NAMES = ("happiness", "anger", "disgust", "contempt")  # in the order in which they are shown


pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def looked(editor: User, tmp_path: Path) -> Dataset:
    """A table of twelve faces that was looked at."""
    rows = [
        f"{i:02}.png,{NAMES[i % 4]},{'test' if i > 7 else 'train'},s{i % 5},room {i % 2}" for i in range(12)
    ]
    files = {f"{i:02}.png": png(i) for i in range(12)}
    files["labels.csv"] = "\n".join(["file,label,split,subject,place", *rows, ""]).encode()
    source = write_zip(tmp_path / "table.zip", files)
    [dataset] = services.import_uploads(
        editor, upload_ids=[uploaded(editor, source).pk], name="Table", look_first=True, layout="auto"
    )
    assert do_next().state == Job.State.FINISHED
    return dataset


def sent(dataset: Dataset, **changes: str) -> dict[str, str]:
    """What the page of a look sends when nothing was touched but `changes`; "" takes a tick away."""
    form = {f"name_{i}": name for i, name in enumerate(NAMES)}
    form |= {"layout": "auto", "faces": "aligned", "people": "as_found", "splits": "as_found"}
    form |= {"looked": str(DatasetImport.objects.get(version__dataset=dataset).job_id)}
    return {name: value for name, value in (form | changes).items() if value != "" or name in form}


def retry(client: Client, dataset: Dataset, **changes: str) -> tuple[int, str]:
    answer = client.post(reverse("datasets:retry", args=[dataset.pk]), sent(dataset, **changes), follow=True)
    return answer.status_code, answer.content.decode()


def test_the_page_of_a_look_lists_classes_people_and_splits(
    editor: User, client_of: Clients, looked: Dataset
) -> None:
    seen = client_of(editor).get(reverse("datasets:dataset", args=[looked.pk])).content.decode()
    for i, name in enumerate(NAMES):
        assert f'name="name_{i}" value="{name}"' in seen
        assert f'name="drop_{i}"' in seen
    assert '<td class="num">3</td>' in seen
    assert "Recognised: subject, since its name says so." in seen
    assert "place: 2 different values, such as room 0" in seen
    assert "As found: 8 train, 4 test" in seen


def test_choices_are_applied_recorded_and_told(editor: User, client_of: Clients, looked: Dataset) -> None:
    client = client_of(editor)
    wish = {
        "drop_3": "on",
        "name_2": " Angry ",
        "name_0": "delight",
        "people": "column place",
        "splits": "none",
    }
    status, _ = retry(client, looked, **wish)
    assert status == HTTPStatus.OK
    job = Job.objects.get()
    assert job.kind == "import"
    file = importing.prepare_import(job)
    assert isinstance(file, ImportJob)
    assert file.mapping == {"contempt": "", "disgust": "anger", "happiness": "delight"}
    assert jobs.stop(job, editor), "a stopped one keeps them, and goes on with them"
    client.post(reverse("datasets:retry", args=[looked.pk]), {"layout": "auto"})
    assert do_next().state == Job.State.FINISHED
    version = looked.versions.get()
    assert version.classes == ["delight", "anger"]
    assert version.counts == {"": {"delight": 3, "anger": 6}}
    assert set(version.samples.values_list("group", flat=True)) == {"room 0", "room 1"}
    assert version.note.startswith("Imported: contempt left out (3 images); disgust becomes anger")
    seen = client.get(reverse("datasets:dataset", args=[looked.pk])).content.decode()
    for words in ("contempt left out (3 images)", "happiness becomes delight", "splits forgotten"):
        assert f"<li>{words}</li>" in seen
    assert "by place: faces of one person are never parted" in seen
    revising.add_edit(version, editor, action="exclude", value="", indices=[0])
    revising.make_version(version, editor, why="")
    assert do_next().state == Job.State.FINISHED
    assert looked.versions.get(number=2).note == "1 left out", "what was chosen is told of the first alone"
    assert version.refusals.filter(verdict="skipped", reason="its class is left out: contempt").count() == 3


def test_nothing_touched_is_no_choice(editor: User, client_of: Clients, looked: Dataset) -> None:
    retry(client_of(editor), looked)
    assert do_next().state == Job.State.FINISHED
    version = looked.versions.get()
    assert "chosen" not in version.report
    assert version.note == "Imported"
    assert version.report["grouped_by"] == "subject"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name_0": "", "name_1": " "}, "Give it a name, or leave it out."),
        ({"name_1": "Not a face"}, "names no expression. Leave it out instead."),
        (
            {"drop_0": "on", "drop_1": "on", "drop_2": "on"},
            "1 class would stay; a data set needs at least two.",
        ),
        ({"name_0": "x", "name_1": "x", "name_2": "X ", "name_3": "x", "drop_2": "on"}, "1 class would stay"),
        ({"name_0": "x" * 61}, "at most 60 characters"),
        ({"people": "column nobody knows"}, "Select a valid choice."),
        ({"layout": "folders", "drop_3": "on"}, "Look again first: what is chosen below is about a CSV"),
        ({"looked": "999999"}, "It was looked at again meanwhile."),
    ],
)
def test_what_is_wrong_is_said_beside_it_and_nothing_is_begun(
    editor: User, client_of: Clients, looked: Dataset, changes: dict[str, str], problem: str
) -> None:
    status, seen = retry(client_of(editor), looked, **changes)
    assert status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert problem in seen
    assert Job.objects.get().kind == "preview"


def test_two_wrong_names_are_both_marked_and_what_was_typed_stays(
    editor: User, client_of: Clients, looked: Dataset
) -> None:
    _, seen = retry(client_of(editor), looked, name_0="", name_1="", name_2="rage", drop_3="on")
    assert seen.count("Give it a name, or leave it out.") == 2
    assert 'value="rage"' in seen
    assert seen.count("checked") == 1


def test_another_look_shows_what_the_choice_leaves_and_keeps_it(
    editor: User, client_of: Clients, looked: Dataset
) -> None:
    client = client_of(editor)
    retry(client, looked, drop_3="on", look="1")
    assert do_next().kind == "preview"
    seen = client.get(reverse("datasets:dataset", args=[looked.pk])).content.decode()
    assert "3 are of classes that are left out." in seen
    assert "<dd>contempt left out</dd>" in seen
    assert seen.count("checked") == 1
    retry(client, looked, layout="images", look="1", drop_3="on")
    assert do_next().result["layout"] == "images", "untouched choices end with the layout they are about"
    assert (
        "mapping" not in DatasetImport.objects.get().options
        or not DatasetImport.objects.get().options["mapping"]
    )


def test_a_page_that_is_out_of_date_begins_nothing(editor: User, client_of: Clients, looked: Dataset) -> None:
    client = client_of(editor)
    old = sent(looked, drop_3="on")
    retry(client, looked)
    assert jobs.stop(Job.objects.get(), editor)
    answer = client.post(reverse("datasets:retry", args=[looked.pk]), old, follow=True)
    assert "Nothing was started" in answer.content.decode()
    assert Job.objects.get().state == Job.State.STOPPED


def test_votes_under_names_of_their_own_are_not_offered_as_a_csv(editor: User, tmp_path: Path) -> None:
    lines = [
        "image,anger,contempt,fear",
        *(f"{i}.png,{9 * (i % 2)},0,{9 - 9 * (i % 2)}" for i in range(6)),
        "",
    ]
    files = {f"{i}.png": png(i) for i in range(6)} | {"votes.csv": "\n".join(lines).encode()}
    source = write_zip(tmp_path / "votes.zip", files)
    for mapping, offered in (({"fear": "dread"}, False), ({"contempt": ""}, True)):
        [dataset] = services.import_uploads(
            editor, upload_ids=[uploaded(editor, source).pk], name="", layout="auto", mapping=mapping
        )
        assert do_next().state == Job.State.FINISHED
        assert bool(exporting.why_not(dataset.versions.get(), "csv")) is not offered


@pytest.mark.parametrize("layout", ["csv", "ferplus"])
def test_votes_without_a_class_go_out_and_come_back_the_same(
    editor: User, tmp_path: Path, layout: str
) -> None:
    lines = [
        "image,anger,contempt,fear",
        *(f"{i}.png,{9 * (i % 2)},2,{9 - 9 * (i % 2)}" for i in range(6)),
        "",
    ]
    files = {f"{i}.png": png(i) for i in range(6)} | {"votes.csv": "\n".join(lines).encode()}
    [dataset] = services.import_uploads(
        editor,
        upload_ids=[uploaded(editor, write_zip(tmp_path / "votes.zip", files)).pk],
        name="", layout="auto", mapping={"contempt": ""},
    )  # fmt: skip
    do_next()
    version = dataset.versions.get()
    back = tmp_path / "back.zip"
    back.write_bytes(b"".join(exporting.stream(version, layout)))
    [again] = services.import_uploads(editor, upload_ids=[uploaded(editor, back).pk], name="", layout="auto")
    do_next()
    assert again.versions.get().layout == layout
    assert again.versions.get().fingerprint == version.fingerprint


def test_a_class_that_is_left_out_needs_no_name(editor: User, client_of: Clients, looked: Dataset) -> None:
    status, _ = retry(client_of(editor), looked, name_3="", drop_3="on")
    assert status == HTTPStatus.OK
    assert DatasetImport.objects.get().options["mapping"] == {"contempt": ""}


def test_more_classes_than_a_network_tells_apart_are_told_of(
    editor: User, client_of: Clients, tmp_path: Path
) -> None:
    rows = [f"{i}.png,person {i}" for i in range(66)]
    files = {f"{i}.png": png(i) for i in range(66)} | {"a.csv": "\n".join(["file,label", *rows, ""]).encode()}
    source = write_zip(tmp_path / "people.zip", files)
    [dataset] = services.import_uploads(
        editor, upload_ids=[uploaded(editor, source).pk], name="", look_first=True, layout="auto"
    )
    do_next()
    client = client_of(editor)
    seen = client.get(reverse("datasets:dataset", args=[dataset.pk])).content.decode()
    assert "66 classes are more than the 64 that a network tells apart" in seen
    wish = {f"name_{i}": f"person {i}" for i in range(66)} | {"name_0": "somebody", "layout": "auto"}
    wish |= {"looked": str(Job.objects.get().pk)}
    answer = client.post(reverse("datasets:retry", args=[dataset.pk]), wish)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "66 classes would stay; a network tells at most 64 apart." in answer.content.decode()


def test_groups_too_large_for_a_split_are_told_of_before_and_after_one_is_carved(
    editor: User, client_of: Clients, looked: Dataset
) -> None:
    retry(client_of(editor), looked, people="column place", splits="none")
    do_next()
    version = looked.versions.get()
    [told] = [t for t in report.observations(version, report.class_table(version)) if "kept together" in t]
    assert told.startswith("Faces are kept together in 2 groups by place, and the largest has 50% of them")
    [remedy] = [found for found in revising.remedies(version) if found.name == "carve"]
    assert "one has 50% of the images" in remedy.explanation
    made = revising.remedy(version, editor, "carve")
    assert made.note == "Carved the missing splits, as large as the groups make them"
