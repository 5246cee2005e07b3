"""Data sets: from an upload to faces on a page, exactly, and gone when deleted."""

from __future__ import annotations

import csv
import io
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mmfrm.classes import DRAWN
from mmfrm.data.native import Description, FacePack, write_description
from mmfrm.data.native import Sample as NativeSample
from mmfrm.events import Finished
from mmfrm.presets import presets
from tests.webapp.work import do_next
from webapp import orphans
from webapp.accounts.models import User
from webapp.datasets import browsing, importing, loading, services
from webapp.datasets.models import Dataset, DatasetVersion, Sample
from webapp.errors import RefusedError
from webapp.experiments.services import start_run
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.uploads import services as uploads
from webapp.uploads.models import Upload

Clients = Callable[[User], Client]


pytestmark = pytest.mark.usefixtures("data_folder")


def uploaded(user: User, path: Path, name: str = "") -> Upload:
    upload = uploads.create(user, filename=name or path.name, size=path.stat().st_size)
    with path.open("rb") as file:
        uploads.receive(upload, offset=0, length=upload.size, body=file)
    return upload


def imported(user: User, path: Path, name: str = "Faces") -> DatasetVersion:
    upload = uploaded(user, path)
    [dataset] = services.import_uploads(user, upload_ids=[upload.pk], name=name, layout="auto")
    job = do_next()
    assert job.state == Job.State.FINISHED, job.reason
    return dataset.versions.get()


@pytest.fixture
def version(editor: User, drawn_zip: Path) -> DatasetVersion:
    return imported(editor, drawn_zip)


def address(name: str, version: DatasetVersion, *more: int) -> str:
    return reverse(f"datasets:{name}", args=[version.dataset_id, version.number, *more])


# --- in ---------------------------------------------------------------------------------------------


def test_an_archive_becomes_a_data_set_with_exactly_its_images(
    editor: User, client_of: Clients, drawn_zip: Path, django_capture_on_commit_callbacks: Any
) -> None:
    client = client_of(editor)
    upload = uploaded(editor, drawn_zip)
    answer = client.post(reverse("datasets:new"), {"upload": [str(upload.pk)], "name": "", "layout": "auto"})
    dataset = Dataset.objects.get()
    assert answer["Location"] == reverse("datasets:dataset", args=[dataset.pk])
    assert dataset.name == "drawn"
    assert "Waiting" in client.get(answer["Location"]).content.decode()

    with django_capture_on_commit_callbacks(execute=True):
        do_next()

    version = dataset.versions.get()
    with zipfile.ZipFile(drawn_zip) as archive:
        found = Counter(tuple(name.split("/")[:2]) for name in archive.namelist())
    assert {(s, c): n for s, counts in version.counts.items() for c, n in counts.items()} == dict(found)
    assert version.widest == max(version.samples.values_list("width", flat=True))
    assert version.samples.count() == version.images == sum(found.values())
    assert version.layout == "folders"
    assert len(version.fingerprint) == 64
    assert version.ready_at is not None
    assert not Upload.objects.exists(), "what was read is not kept twice"
    assert not upload.path.exists()
    shown = client.get(reverse("datasets:dataset", args=[dataset.pk])).content.decode()
    for (split, name), count in found.items():
        assert version.counts[split][name] == count
        assert name in shown


def test_a_second_finished_event_changes_nothing(version: DatasetVersion) -> None:
    before = list(version.samples.values_list("pk", flat=True))
    importing.on_event(version.import_job.job, Finished(result={}))
    assert list(version.samples.values_list("pk", flat=True)) == before


def test_several_archives_become_several_data_sets(editor: User, client_of: Clients, drawn_zip: Path) -> None:
    pks = [str(uploaded(editor, drawn_zip, name).pk) for name in ("raf_db.zip", "jaffe.tar.gz")]
    answer = client_of(editor).post(
        reverse("datasets:new"), {"upload": pks, "name": "ignored", "layout": "auto"}
    )
    assert answer["Location"] == reverse("datasets:index")
    assert set(Dataset.objects.values_list("name", flat=True)) == {"raf db", "jaffe"}
    assert Job.objects.filter(kind="import", state=Job.State.QUEUED).count() == 2


def test_nobody_imports_the_upload_of_another(
    editor: User, administrator: User, client_of: Clients, drawn_zip: Path
) -> None:
    upload = uploaded(editor, drawn_zip)
    answer = client_of(administrator).post(
        reverse("datasets:new"), {"upload": [str(upload.pk)], "layout": "auto"}
    )
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "not there any more" in answer.content.decode()
    assert not Dataset.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize("upload", [[], ["nonsense"], ["00000000-0000-0000-0000-000000000000"]])
def test_a_form_without_a_real_upload_says_what_is_missing(
    editor: User, client_of: Clients, upload: list[str]
) -> None:
    answer = client_of(editor).post(reverse("datasets:new"), {"upload": upload, "layout": "auto"})
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "hoose" in answer.content.decode()


def test_what_is_no_archive_fails_with_a_reason_and_can_be_tried_again(
    editor: User, client_of: Clients, tmp_path: Path
) -> None:
    path = tmp_path / "notes.zip"
    path.write_bytes(b"these are not the faces you are looking for" * 100)
    [dataset] = services.import_uploads(
        editor, upload_ids=[uploaded(editor, path).pk], name="", layout="auto"
    )
    job = do_next()
    assert job.state == Job.State.FAILED
    assert job.reason
    shown = client_of(editor).get(reverse("datasets:dataset", args=[dataset.pk])).content.decode()
    assert "The upload is still here" in shown
    assert Upload.objects.get().claimed_at is not None
    retry = reverse("datasets:retry", args=[dataset.pk])
    client_of(editor).post(retry, {"layout": "nonsense"})
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    client_of(editor).post(retry, {"layout": "folders"})
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED
    assert job.dataset_import.options["layout"] == "folders"


def test_odd_files_are_listed_with_their_reasons(
    editor: User, client_of: Clients, drawn_zip: Path, tmp_path: Path
) -> None:
    path = tmp_path / "odd.zip"
    path.write_bytes(drawn_zip.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train/happiness/torn.jpg", b"\xff\xd8\xff\xe0 torn")
        archive.writestr("=cmd|' /C calc'!A0.txt", b"notes")
    version = imported(editor, path)
    client = client_of(editor)
    listed = {r.name: r for r in version.refusals.all()}
    assert listed["train/happiness/torn.jpg"].verdict == "refused"
    assert listed["train/happiness/torn.jpg"].reason
    shown = client.get(address("refusals", version)).content.decode()
    assert "torn.jpg" in shown
    only = client.get(address("refusals", version), {"verdict": "skipped"}).content.decode()
    assert "torn.jpg" not in only
    answer = client.get(address("refusals_csv", version))
    rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))  # type: ignore[attr-defined]
    assert rows[0] == ["file", "verdict", "reason"]
    assert len(rows) == 1 + version.refusals.count()
    assert not any(cell.startswith("=") for row in rows for cell in row), "no cell is a formula"


def test_drawn_faces_are_marked_and_a_quick_look_starts_once(editor: User, client_of: Clients) -> None:
    client = client_of(editor)
    answer = client.post(reverse("datasets:try_drawn"))
    dataset = Dataset.objects.get()
    assert answer["Location"] == reverse("datasets:dataset", args=[dataset.pk])
    row = dataset.versions.get().import_job
    assert row.options["count"] == services.DRAWN_FACES
    row.options["count"] = 60
    row.save()
    job = do_next()
    version = dataset.versions.get()
    assert version.images == 60
    assert version.runs.get().preset == "quick-look"
    importing.on_event(job, Finished(result={}))
    assert version.runs.count() == 1
    for name in ("version", "faces", "refusals"):
        assert "drawn, not photographs" in client.get(address(name, version)).content.decode()
    assert "drawn, not photographs" in client.get(address("face", version, 3)).content.decode()
    assert "drawn, not photographs" in client.get(reverse("datasets:index")).content.decode()


# --- looking ----------------------------------------------------------------------------------------


def count_shown(client: Client, version: DatasetVersion, **query: Any) -> int:
    return int(client.get(address("faces", version), query).context["page"].paginator.count)


def test_filters_show_exactly_what_they_say(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client = client_of(editor)
    sample = version.samples.get(index=17)
    version.samples.filter(index__in=(3, 4)).update(flagged=" looks_odd blurred ")
    assert count_shown(client, version) == version.images
    assert count_shown(client, version, split="val") == sum(version.counts["val"].values())
    label = version.classes[2]
    expected = version.counts["train"][label]
    assert count_shown(client, version, split="train", label=label) == expected
    assert count_shown(client, version, text=sample.name[-12:].upper()) == 1
    assert count_shown(client, version, flag="looks_odd") == 2
    assert count_shown(client, version, flag="looks") == 0
    assert count_shown(client, version, label="none") == 0
    assert count_shown(client, version, split="nonsense", label="nonsense") == version.images
    assert count_shown(client, version, text="%") == 0, "no wildcard of the database's"
    assert count_shown(client, version, text="no such file") == 0


def test_the_address_says_which_page_is_shown(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client = client_of(editor)
    answer = client.get(address("faces", version), {"page": 2})
    indices = [sample.index for sample, *_ in answer.context["faces"]]
    assert indices == list(range(browsing.FACES_A_PAGE, version.images))
    assert "?page=1" in answer.content.decode()
    assert client.get(address("faces", version), {"page": "99"}).context["page"].number == 2


def test_htmx_gets_the_faces_alone(editor: User, client_of: Clients, version: DatasetVersion) -> None:
    answer = client_of(editor).get(address("faces", version), headers={"HX-Request": "true"})
    assert answer.content.decode().strip().startswith('<section id="faces"')
    assert "HX-Request" in answer["Vary"]


@pytest.mark.parametrize("name", ["version", "faces", "refusals"])
def test_pages_ask_the_same_number_of_queries_however_much_there_is(
    editor: User, client_of: Clients, version: DatasetVersion, name: str
) -> None:
    client = client_of(editor)
    small = services.draw(editor, count=30).versions.get()
    do_next()
    assert small.samples.count() < version.samples.count()
    counts = set()
    for url in (address(name, version), address(name, small), address(name, version) + "?split=train&page=2"):
        client.get(url)
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get(url).status_code == HTTPStatus.OK
        counts.add(len(asked))
    assert len(counts) == 1, counts
    assert counts.pop() <= 10


def test_the_list_asks_the_same_number_of_queries_for_many(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    client = client_of(editor)
    asked = []
    for _ in range(2):
        client.get(reverse("datasets:index"))
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("datasets:index"))
        asked.append(len(queries))
        for _ in range(3):
            services.draw(editor)
    assert asked[0] == asked[1]


def test_a_face_has_its_pixels_for_ever_and_only_for_those_who_may_see_it(
    editor: User, viewer: User, client_of: Clients, version: DatasetVersion
) -> None:
    url = address("pixels", version, 5)
    pack = FacePack(version.folder)
    answer = client_of(viewer).get(url)
    assert answer.content == pack.bytes_of(pack.samples[5])
    assert answer["Content-Type"] == "image/jpeg"
    assert "immutable" in answer["Cache-Control"]
    assert "private" in answer["Cache-Control"]
    again = client_of(viewer).get(url, headers={"If-None-Match": answer["ETag"]})
    assert again.status_code == HTTPStatus.NOT_MODIFIED
    assert not again.content
    Dataset.objects.update(private=True)
    names = [address(name, version) for name in ("version", "faces", "refusals", "refusals_csv")]
    for hidden in (url, address("face", version, 5), *names):
        assert client_of(viewer).get(hidden).status_code == HTTPStatus.NOT_FOUND
        assert client_of(editor).get(hidden).status_code == HTTPStatus.OK
    headers = {"If-None-Match": answer["ETag"]}
    assert client_of(viewer).get(url, headers=headers).status_code == HTTPStatus.NOT_FOUND


def test_a_row_that_points_outside_its_data_set_shows_nothing(
    editor: User, client_of: Clients, version: DatasetVersion, tmp_path: Path
) -> None:
    (tmp_path / "data" / "secret").write_bytes(b"x" * 100)
    version.samples.filter(index=0).update(pack="../../../secret", offset=0, length=10)
    assert client_of(editor).get(address("pixels", version, 0)).status_code == HTTPStatus.NOT_FOUND
    assert client_of(editor).get(address("pixels", version, 10**6)).status_code == HTTPStatus.NOT_FOUND


def test_the_page_of_a_face_knows_its_neighbours_within_the_filter(
    editor: User, client_of: Clients, version: DatasetVersion
) -> None:
    label = version.samples.get(index=60).label
    alike = list(
        version.samples.filter(label=label, split="train").order_by("index").values_list("index", flat=True)
    )
    middle = len(alike) // 2
    assert label is not None
    query = {"label": version.classes[label], "split": "train"}
    context = client_of(editor).get(address("face", version, alike[middle]), query).context
    assert (context["before"], context["after"]) == (alike[middle - 1], alike[middle + 1])
    assert client_of(editor).get(address("face", version, alike[0]), query).context["before"] is None


# --- changing and deleting --------------------------------------------------------------------------


def test_only_the_owner_and_administrators_change_a_data_set(
    editor: User, viewer: User, administrator: User, client_of: Clients, version: DatasetVersion
) -> None:
    other = User.objects.create_user(username="other", password="a long pass phrase", role="editor")
    url = reverse("datasets:edit", args=[version.dataset_id])
    wish = {"name": "Renamed", "description": "From a camera."}
    for stranger in (viewer, other):
        assert client_of(stranger).post(url, wish).status_code == HTTPStatus.FORBIDDEN
        delete = reverse("datasets:delete", args=[version.dataset_id])
        assert client_of(stranger).post(delete).status_code == HTTPStatus.FORBIDDEN
    assert client_of(viewer).get(reverse("datasets:new")).status_code == HTTPStatus.FORBIDDEN
    assert client_of(viewer).post(reverse("datasets:try_drawn")).status_code == HTTPStatus.FORBIDDEN
    for user in (editor, administrator):
        assert client_of(user).post(url, wish).status_code == HTTPStatus.FOUND
    version.dataset.refresh_from_db()
    assert version.dataset.name == "Renamed"
    assert Job.objects.get().title == "Import Renamed"


def test_deleting_deletes_every_pixel(
    editor: User, client_of: Clients, version: DatasetVersion, django_capture_on_commit_callbacks: Any
) -> None:
    folder = version.dataset.folder
    job_folder = jobs.folder_of(version.import_job.job)
    assert list(folder.rglob("*.pack"))
    with django_capture_on_commit_callbacks(execute=True):
        answer = client_of(editor).post(reverse("datasets:delete", args=[version.dataset_id]))
    assert answer["Location"] == reverse("datasets:index")
    assert not folder.exists()
    assert not job_folder.exists()
    assert not Dataset.objects.exists()
    assert not Sample.objects.exists()
    assert not Job.objects.exists()


def test_what_a_run_uses_is_not_deleted(
    editor: User, client_of: Clients, version: DatasetVersion, django_capture_on_commit_callbacks: Any
) -> None:
    start_run(editor, version=version, preset="small", config=presets()["small"], name="My run")
    with django_capture_on_commit_callbacks(execute=True):
        answer = client_of(editor).post(reverse("datasets:delete", args=[version.dataset_id]), follow=True)
    assert "1 run uses it (My run)" in answer.content.decode()
    assert list(version.dataset.folder.rglob("*.pack"))


def test_what_is_being_imported_is_not_deleted(editor: User, drawn_zip: Path) -> None:
    [dataset] = services.import_uploads(
        editor, upload_ids=[uploaded(editor, drawn_zip).pk], name="", layout="auto"
    )
    assert jobs.claim("cpu", "a worker") is not None
    with pytest.raises(RefusedError, match="being imported"):
        services.delete(dataset)


def test_deleting_before_the_import_takes_the_upload_along(
    editor: User, drawn_zip: Path, django_capture_on_commit_callbacks: Any
) -> None:
    upload = uploaded(editor, drawn_zip)
    [dataset] = services.import_uploads(editor, upload_ids=[upload.pk], name="", layout="auto")
    with django_capture_on_commit_callbacks(execute=True):
        services.delete(dataset)
    assert not upload.path.exists()
    assert jobs.claim("cpu", "a worker") is None


def test_pixels_whose_rows_are_gone_are_swept(
    version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = version.dataset.folder
    import_folder = jobs.folder_of(Job.objects.get())
    import_folder.mkdir(parents=True, exist_ok=True)
    assert orphans.sweep() == 0
    Job.objects.all().delete()
    version.dataset.delete()  # a kill came before the folders were removed
    assert orphans.sweep() == 0, "too fresh: its row may be on its way"
    monkeypatch.setattr(orphans, "ORPHAN_SECONDS", -1.0)
    assert orphans.sweep() == 2
    assert not folder.exists()
    assert not import_folder.exists()


# --- size -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ferplus_is_imported_with_exact_counts_and_its_rows_can_be_read_in_again(
    editor: User, ferplus_zip: Path, client_of: Clients
) -> None:
    version = imported(editor, ferplus_zip, name="FERPlus")
    assert {split: sum(counts.values()) for split, counts in version.counts.items()} == {
        "train": 28_558, "val": 3_579, "test": 3_573,
    }  # fmt: skip
    assert version.layout == "ferplus"
    assert version.samples.count() == 35_710
    assert version.report["rows_without_image_name"] == 173
    assert count_shown(client_of(editor), version, flag="near_constant") == 14
    version.ready_at = None  # as after a kill before its rows were all there
    loading.load(version)
    assert version.samples.count() == 35_710
    face = version.samples.exclude(votes=None).order_by("index").first()
    assert face is not None
    shown = client_of(editor).get(address("face", version, face.index)).content.decode()
    assert f"{sum(face.votes or [])} people voted" in shown


@pytest.mark.slow
def test_a_page_of_200_000_faces_costs_little_more_than_one_of_a_few(
    editor: User, client_of: Clients
) -> None:
    """In the same minute on the same machine; `tests.benchmarks.bench_browse` has the milliseconds."""
    many, few = (services.draw(editor).versions.get() for _ in range(2))
    for version, count in ((many, 200_000), (few, 2000)):
        write_many(version.folder, count)
        loading.load(version)
    client = client_of(editor)
    queries = (
        "", "page=1600", "split=test", "label=fear&page=200", "text=9999", "text=no such face",
        "flag=near_constant", "split=train&label=anger&text=77", "votes=half&page=900",
    )  # fmt: skip
    client.get(address("faces", many))
    took = sorted(seconds_of(client, many, query) for query in queries * 3)
    usual = sorted(seconds_of(client, few, "") for _ in queries)
    assert took[int(0.95 * len(took))] <= 8 * usual[len(usual) // 2]


def seconds_of(client: Client, version: DatasetVersion, query: str) -> float:
    """Of the server's processor, for one page of faces."""
    begun = time.process_time()
    assert client.get(f"{address('faces', version)}?{query}").status_code == HTTPStatus.OK
    return time.process_time() - begun


def write_many(folder: Path, count: int) -> None:
    """A data set of that many faces, but for the pixels, as an import leaves it."""
    folder.mkdir(parents=True)
    with (folder / "samples.jsonl").open("w") as file:
        for i in range(count):
            digest = f"{i:064x}"
            sample = NativeSample(
                index=i, name=f"Training/image-{i:07d}.png", split=("train", "train", "val", "test")[i % 4],
                label=i % 7, pack="faces-0.pack", offset=0, length=2000, width=48, height=48, sha256=digest,
                votes=[i % 7, 3, 1], phash=digest[-16:], pixels=digest[-16:],
                flags=["near_constant"] if i % 5000 == 0 else [],
            )  # fmt: skip
            file.write(sample.line() + "\n")
    counts = {split: dict.fromkeys(DRAWN, count // 28) for split in ("train", "val", "test")}
    write_description(
        folder,
        Description(
            name="Many", layout="folders", classes=list(DRAWN), images=count, counts=counts, fingerprint=""
        ),
    )
