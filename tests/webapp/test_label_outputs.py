"""What leaves a batch: tables, class folders, and data sets that remember where each face came from."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image

from mmfrm.control import Control
from mmfrm.data.ingest import ingest
from mmfrm.data.native import FacePack
from mmfrm.events import Finished
from mmfrm.jobs import ImportJob
from tests.webapp.work import do_next
from webapp.accounts.models import User
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling import keeping, making, making_job, standing
from webapp.labeling.models import LabelBatch, Prediction
from webapp.registry.models import Model
from webapp.zips import zip_stream

CLASSES = ["neutral", "happiness", "sadness"]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def picture(shade: int) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((48, 48), 20 + shade).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def pictures() -> list[bytes]:
    return [picture(i) for i in range(8)]


@pytest.fixture
def batch(editor: User, pictures: list[bytes]) -> LabelBatch:
    """Eight neutral faces with falling confidence, two of one photo; and a file that could not be read."""
    model = Model.objects.create(owner=editor, name="=Starter", classes=CLASSES)
    job = jobs.create(kind="predict", queue="cpu", owner=editor, title="Label")
    Job.objects.filter(pk=job.pk).update(state=Job.State.FINISHED)
    batch = LabelBatch.objects.create(owner=editor, name="Holiday", model=model, job=job)
    batch.folder.mkdir(parents=True)
    (batch.folder / "faces.pack").write_bytes(b"".join(pictures))
    offset = 0
    for i, data in enumerate(pictures):
        sure = 0.99 - i / 20
        Prediction.objects.create(
            batch=batch, index=i, file="group/../=one.jpg" if i < 2 else f"{i}.jpg",
            box=[1, 2, 30.5, 40] if i < 2 else None, probabilities=[sure, 1 - sure, 0.0], label=0,
            confidence=sure, offset=offset, length=len(data),
        )  # fmt: skip
        offset += len(data)
    Prediction.objects.create(batch=batch, index=8, file="notes.txt", error="not an image")
    return batch


@pytest.fixture
def reviewed(batch: LabelBatch, editor: User) -> LabelBatch:
    """Face 7 is a sad one, face 6 neutral as the model said, 5 no face, 4 unsure."""
    answers = ((7, "label", 2), (6, "label", 0), (5, "not_a_face", None), (4, "unsure", None))
    rows = [
        keeping.parse(
            {"key": f"00000000-0000-4000-8000-00000000000{i}", "index": i, "verdict": v, "label": label}, 3
        )
        for i, v, label in answers
    ]
    assert set(keeping.keep(batch, editor, rows).values()) == {"kept"}
    return batch


def downloaded(client: Client, name: str, batch: LabelBatch, **query: str) -> bytes:
    answer = client.get(reverse(f"labeling:{name}", args=[batch.pk]), query)
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)  # type: ignore[attr-defined]


def test_tables_say_what_the_model_and_what_people_said_and_run_no_formula(
    editor: User, client_of: Any, reviewed: LabelBatch
) -> None:
    client = client_of(editor)
    LabelBatch.objects.update(options={"faces": "find"})
    table = list(csv.DictReader(io.StringIO(downloaded(client, "csv", reviewed).decode())))
    lines = [json.loads(line) for line in downloaded(client, "jsonl", reviewed).decode().splitlines()]
    assert len(table) == len(lines) == 9
    assert [row["label"] for row in table] == [*["neutral"] * 4, "", "", "neutral", "sadness", ""]
    assert [line["label"] or "" for line in lines] == [row["label"] for row in table]
    assert (table[7]["class"], table[7]["corrected"], table[7]["reviewed_by"]) == (
        "neutral",
        "sadness",
        "edith",
    )
    assert (table[5]["review"], table[5]["corrected"]) == ("not_a_face", "")
    assert [table[0][edge] for edge in ("x", "y", "width", "height")] == ["1", "2", "30.5", "40"]
    assert table[0]["model"] == "'=Starter"
    assert table[0]["model_version"] == f"model-{reviewed.model_id}"
    assert lines[0]["probabilities"] == {"neutral": 0.99, "happiness": 1 - 0.99, "sadness": 0.0}
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in table for cell in row.values())


def test_no_table_of_a_batch_has_a_formula_where_semicolons_separate_cells(
    editor: User, client_of: Any, reviewed: LabelBatch, tmp_path: Path
) -> None:
    reviewed.predictions.filter(index__in=(6, 8)).update(file="a;=1+1;.jpg", error="no;=1+1")
    client = client_of(editor)
    for name in ("csv", "votes"):
        rows = csv.reader(io.StringIO(downloaded(client, name, reviewed).decode()), delimiter=";")
        assert not any(cell.strip(' "').startswith("=") for row in rows for cell in row)
    path = tmp_path / "votes.zip"
    path.write_bytes(downloaded(client, "votes_zip", reviewed))
    job = ImportJob(source=str(path), out=str(tmp_path / "votes"))
    assert isinstance(list(ingest(tmp_path / "job", job, Control()))[-1], Finished)
    assert len(FacePack(tmp_path / "votes").samples) == 4, "each row of the table finds its face"


def test_class_folders_hold_every_face_byte_for_byte_under_what_holds(
    editor: User, client_of: Any, reviewed: LabelBatch, pictures: list[bytes]
) -> None:
    with zipfile.ZipFile(io.BytesIO(downloaded(client_of(editor), "zip", reviewed))) as archive:
        assert archive.testzip() is None
        inside = {name: archive.read(name) for name in archive.namelist()}
    folders = [name.split("/")[0] for name in inside]
    assert folders == [*["neutral"] * 4, "unsure", "not a face", "neutral", "sadness"]
    assert list(inside.values()) == pictures
    assert all(name.count("/") == 1 and ".." not in name and name.endswith(".png") for name in inside)
    only = downloaded(client_of(editor), "zip", reviewed, reviewed="1")
    assert len(zipfile.ZipFile(io.BytesIO(only)).namelist()) == 4


def test_votes_are_the_latest_word_of_each_person_and_can_be_imported(
    editor: User, client_of: Any, reviewed: LabelBatch, pictures: list[bytes], tmp_path: Path
) -> None:
    """Another person says 6 is happy, then takes that back; 7 is neutral, then happy; 5 unsure; skips 3."""
    other = User.objects.create_user("otto", password="a long pass phrase", role="editor")
    rows: list[dict[str, Any]] = [
        {"index": 6, "verdict": "label", "label": 1}, {"index": 6},
        {"index": 7, "verdict": "label", "label": 0},
        {"index": 7, "verdict": "label", "label": 1}, {"index": 5, "verdict": "unsure"},
        {"index": 3, "verdict": "skipped"},
    ]  # fmt: skip
    for i, row in enumerate(rows):
        row["key"] = f"10000000-0000-4000-8000-00000000000{i}"
    rows[1]["undoes"] = rows[0]["key"]
    keeping.keep(reviewed, other, [keeping.parse(row, 3) for row in rows])
    client = client_of(editor)
    table = list(csv.DictReader(io.StringIO(downloaded(client, "votes", reviewed).decode())))
    columns = ("neutral", "happiness", "sadness", "unknown", "NF")
    votes = {row["Image name"][:6]: [int(row[column]) for column in columns] for row in table}
    assert votes == {
        "000004": [0, 0, 0, 1, 0], "000005": [0, 0, 0, 1, 1], "000006": [1, 0, 0, 0, 0],
        "000007": [0, 1, 1, 0, 0],
    }  # fmt: skip
    path = tmp_path / "votes.zip"
    path.write_bytes(downloaded(client, "votes_zip", reviewed))
    job = ImportJob(source=str(path), out=str(tmp_path / "votes"))
    assert isinstance(list(ingest(tmp_path / "job", job, Control()))[-1], Finished)
    pack = FacePack(tmp_path / "votes")
    assert pack.description.vote_columns is not None
    there = [column.lower() for column in pack.description.vote_columns]
    order = [there.index(column.lower()) for column in columns]
    found = {int(Path(s.name).name[:6]): [(s.votes or [])[i] for i in order] for s in pack.samples}
    assert found == {int(name): counts for name, counts in votes.items()}
    assert {pack.bytes_of(s) for s in pack.samples} == set(pictures[4:])


def test_a_zip_is_made_in_pieces(pictures: list[bytes]) -> None:
    pulled = []

    def files() -> Any:
        for i, data in enumerate(pictures):
            pulled.append(i)
            yield f"{i}.png", data

    pieces = zip_stream(files(), piece=len(pictures[0]))
    assert next(pieces)
    assert len(pulled) < len(pictures), "the first piece is out before the last face is read"


@pytest.mark.parametrize(
    ("with_confident", "taken"), [(False, {7: "sadness", 6: "neutral"}), (True, {0: "neutral", 1: "neutral"})]
)
def test_a_data_set_takes_reviewed_faces_or_the_confident_rest_too_and_tells_where_from(
    editor: User, reviewed: LabelBatch, with_confident: bool, taken: dict[int, str]
) -> None:
    made = making.make_dataset(editor, reviewed, name="Ours", with_confident=with_confident, threshold=0.93)
    assert do_next().state == "finished"
    version = DatasetVersion.objects.get(pk=made.pk)
    assert version.ready_at is not None
    assert version.images == version.samples.count() == (4 if with_confident else 2)
    told = [json.loads(line) for line in (version.folder / "provenance.jsonl").read_text().splitlines()]
    by_name = {line["name"]: line for line in told}
    labels = {}
    for sample in version.samples.all():
        origin = by_name.pop(sample.name)
        assert sample.label is not None
        assert version.classes[sample.label] == origin["label"]
        labels[origin["index"]] = origin["label"]
        assert origin["label_by"] == ("edith" if origin["index"] > 4 else "model")
        assert sample.group == (origin["file"] if origin["box"] else "")
    assert not by_name
    assert labels.items() >= taken.items()
    assert version.report["made_of"]["batch"] == reviewed.pk
    assert not (jobs.folder_of(version.import_job.job) / "faces.zip").exists()


def test_a_further_version_leaves_the_earlier_one_as_it_was(
    editor: User, client_of: Any, reviewed: LabelBatch
) -> None:
    client = client_of(editor)
    url = reverse("labeling:make_dataset", args=[reviewed.pk])
    assert client.post(url, {"name": "Ours"}).status_code == 302
    do_next()
    dataset = Dataset.objects.get()
    before = dataset.versions.get(number=1).fingerprint
    key = "00000000-0000-4000-8000-000000000009"
    keeping.keep(
        reviewed, editor, [keeping.parse({"key": key, "index": 3, "verdict": "label", "label": 1}, 3)]
    )
    answer = client.post(url, {"dataset": dataset.pk})
    assert answer.headers["Location"] == reverse("datasets:version", args=[dataset.pk, 2])
    do_next()
    first, second = dataset.versions.order_by("number")
    assert (first.images, second.images) == (2, 3)
    assert first.fingerprint == before != second.fingerprint
    page = client.get(reverse("labeling:batch", args=[reviewed.pk])).content.decode()
    assert f"?version={second.pk}&amp;start_from=model:{reviewed.model_id}" in page
    form = client.get(
        reverse("experiments:new_run"), {"version": second.pk, "start_from": f"model:{reviewed.model_id}"}
    ).content.decode()
    assert f'value="model:{reviewed.model_id}" selected' in form


def test_corrections_are_added_to_a_data_set_by_meaning_and_leave_its_version_as_it_was(
    editor: User, client_of: Any, reviewed: LabelBatch, pictures: list[bytes]
) -> None:
    """Version 1 holds faces 6 (neutral) and 7 (sad). Then 7 is neutral after all, 2 sad, 3 happy."""
    first = making.make_dataset(editor, reviewed, name="Ours")
    do_next()
    before = (first.folder / "samples.jsonl").read_bytes()
    for number, (index, label) in enumerate(((7, 0), (2, 2), (3, 1))):
        key = f"00000000-0000-4000-8000-00000000001{number}"
        said = {"key": key, "index": index, "verdict": "label", "label": label}
        keeping.keep(reviewed, editor, [keeping.parse(said, 3)])
    client = client_of(editor)
    choice = client.get(reverse("labeling:choose_target", args=[reviewed.pk])).content.decode()
    url = reverse("labeling:add", args=[reviewed.pk, first.pk])
    assert url in choice
    form = client.get(url).context["form"]
    assert [bound.value() for _, bound in form.mapping_fields()] == ["neutral", "", "sadness"]
    assert client.post(url, {"split": "moon"}).status_code == 422
    wish = {"map_0": "neutral", "map_1": "", "map_2": "sadness", "split": "train"}
    answer = client.post(url, wish | {"with_confident": "on", "threshold": "0.95"})
    assert answer.headers["Location"] == reverse("datasets:version", args=[first.dataset_id, 2])
    assert do_next().state == "finished"

    second = DatasetVersion.objects.get(dataset=first.dataset, number=2)
    assert second.parent == first
    assert second.report["changed"] == {"added": 2, "corrected": 1, "confirmed": 1}
    labels = {s.sha256: second.classes[s.label or 0] for s in second.samples.all()}
    faces = {6: "neutral", 7: "neutral", 2: "sadness", 0: "neutral"}  # 0 by the model, which was sure
    assert labels == {hashlib.sha256(pictures[i]).hexdigest(): name for i, name in faces.items()}
    told = [json.loads(line) for line in (second.folder / "provenance.jsonl").read_text().splitlines()]
    latest = {line["name"]: line for line in told}
    assert {s.name for s in second.samples.all()} == set(latest), "every sample says where it is from"
    origins = {line["index"]: (line["label"], line["label_by"]) for line in latest.values()}
    assert origins == {
        6: ("neutral", "edith"), 7: ("neutral", "edith"), 2: ("sadness", "edith"), 0: ("neutral", "model"),
    }  # fmt: skip
    assert (first.folder / "samples.jsonl").read_bytes() == before
    sample = second.samples.get(sha256=hashlib.sha256(pictures[0]).hexdigest())
    assert sample.split == "train"
    pixels = client.get(reverse("datasets:pixels", args=[first.dataset_id, 2, sample.index]))
    assert pixels.content == pictures[0]
    page = client.get(reverse("datasets:face", args=[first.dataset_id, 2, sample.index])).content.decode()
    assert "Where it comes from" in page
    assert "nobody reviewed it" in page
    assert "<dt>Face in it</dt><dd>30.5 × 40 at 1, 2" in page

    with pytest.raises(RefusedError, match="takes"):
        making.add_to(editor, reviewed, second, mapping={"happiness": ""})
    stranger = User.objects.create_user("otto", password="a long pass phrase", role="editor")
    assert client_of(stranger).get(url).status_code == 404
    with pytest.raises(RefusedError, match="Only"):
        making.add_to(stranger, reviewed, second, mapping={"neutral": "neutral"})


def test_the_confident_rest_is_what_nobody_has_spoken_of(editor: User, batch: LabelBatch) -> None:
    """One of two people has answered for face 0, and skipped face 1."""
    standing.want_labels(batch, 2)
    batch.refresh_from_db()
    rows: list[dict[str, Any]] = [
        {"index": 0, "verdict": "label", "label": 2}, {"index": 1, "verdict": "skipped"}
    ]  # fmt: skip
    said = [keeping.parse(row | {"key": str(uuid.uuid4())}, 3) for row in rows]
    assert set(keeping.keep(batch, editor, said).values()) == {"kept"}
    rest = making.chosen(batch, with_confident=True, threshold=0.8)
    assert list(rest.order_by("index").values_list("index", flat=True)) == [2, 3]


@pytest.mark.parametrize("is_added", [False, True])
def test_what_a_person_said_of_one_copy_of_a_face_no_model_overrules_by_another(
    editor: User, reviewed: LabelBatch, pictures: list[bytes], is_added: bool
) -> None:
    """The photos of faces 5 (no face) and 7 (sad) are in the batch twice; the model is sure of the copies."""
    pack = reviewed.folder / "faces.pack"
    for index, copied in ((9, 7), (10, 5)):
        data = pictures[copied]
        Prediction.objects.create(
            batch=reviewed, index=index, file=f"copy of {copied}.jpg", probabilities=[0.99, 0.01, 0.0],
            label=0, confidence=0.99, offset=pack.stat().st_size, length=len(data),
        )  # fmt: skip
        pack.write_bytes(pack.read_bytes() + data)
    if is_added:
        first = making.make_dataset(editor, reviewed, name="Ours")
        do_next()
        first.refresh_from_db()
        made = making.add_to(
            editor, reviewed, first, mapping={"neutral": "neutral", "sadness": "sadness"},
            with_confident=True, threshold=0.93,
        )  # fmt: skip
    else:
        made = making.make_dataset(editor, reviewed, with_confident=True, threshold=0.93)
    assert do_next().state == "finished"
    version = DatasetVersion.objects.get(pk=made.pk)
    labels = [(s.sha256, version.classes[s.label or 0]) for s in version.samples.all()]
    wanted = {7: "sadness", 6: "neutral", 0: "neutral", 1: "neutral"}
    assert sorted(labels) == sorted((hashlib.sha256(pictures[i]).hexdigest(), wanted[i]) for i in wanted)


def test_a_making_that_was_killed_goes_on_with_the_labels_it_began_with(
    editor: User, reviewed: LabelBatch
) -> None:
    making.make_dataset(editor, reviewed)
    job = jobs.claim("cpu", "a worker")
    assert job is not None
    source = Path(making_job.prepare(job).source)  # type: ignore[attr-defined]  # an ImportJob
    began_with = source.read_bytes()
    Prediction.objects.filter(index=6).update(corrected=1)
    making_job.prepare(job)
    assert source.read_bytes() == began_with


def test_data_sets_are_refused_where_they_would_be_empty_or_show_what_is_private(
    editor: User, batch: LabelBatch
) -> None:
    with pytest.raises(RefusedError, match="No face was reviewed"):
        making.make_dataset(editor, batch)
    shared = Dataset.objects.create(owner=editor, name="Shared")
    batch.private = True
    batch.save()
    with pytest.raises(RefusedError, match="private"):
        making.make_dataset(editor, batch, dataset=shared, with_confident=True)
    assert making.make_dataset(editor, batch, with_confident=True).dataset.private
    stranger = User.objects.create_user("otto", password="a long pass phrase", role="editor")
    with pytest.raises(RefusedError, match="Only"):
        making.make_dataset(stranger, batch, dataset=shared, with_confident=True)
