"""Models: a promotion copies once and whole, and a model outlives its run but not its use."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks

from mmfrm.classes import EXPRESSIONS
from mmfrm.engines.model_files import ModelFiles
from mmfrm.presets import presets
from tests.mmfrm.models import tiny_model
from tests.synthetic_runs import CLASSES, Story, keep_a_model, play, queued_run, ready_version
from tests.webapp.test_jobs_at_once import at_once
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.experiments import services as experiments
from webapp.experiments.models import Run
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling.models import LabelBatch
from webapp.registry import services
from webapp.registry.models import Model

ClientOf = Callable[[User], Client]


@pytest.fixture(autouse=True)
def own_data_folder(settings: Any, tmp_path: Path) -> None:
    """Keys begin anew with each test, so folders named after them must too."""
    settings.DATA_DIR = tmp_path


@pytest.fixture
def run(editor: User) -> Run:
    made = queued_run(editor, ready_version(editor), name="good run", changes={"loss.rfloss": "intended"})
    play(made, Story(epochs=3, steps=24), range(3), end=True)
    keep_a_model(made)
    return Run.objects.select_related("job").get(pk=made.pk)


def models_on_disk() -> list[str]:
    return sorted(path.name for path in (Path(settings.DATA_DIR) / "models").glob("*"))


def test_promoting_copies_the_weights_and_writes_a_card(editor: User, run: Run) -> None:
    model = services.promote(editor, run)
    assert (model.folder / "model.safetensors").read_bytes() == b"weights"
    assert model.classes == list(CLASSES)
    card = model.card
    assert card["figures"]["test"]["accuracy"] == run.test["accuracy"]
    assert card["figures"]["val"]["epoch"] == run.best["epoch"]
    assert card["data"]["fingerprint"] == run.version.fingerprint
    assert card["provenance"]["run"] == "good run"
    assert card["recipe"]["changes"] == [{"setting": "RFLoss", "preset": "off", "value": "intended"}]
    assert "expressions, not emotions" in card["limits"][0]


def test_a_run_has_one_model_however_often_it_is_promoted(
    editor: User, administrator: User, run: Run
) -> None:
    first = services.promote(editor, run)
    assert services.promote(administrator, run) == first
    assert Model.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_promotions_at_once_make_one_model_and_leave_nothing_behind(editor: User, run: Run) -> None:
    before = models_on_disk()
    made = at_once(*[lambda: services.promote(editor, run)] * 4)
    model = Model.objects.get()
    assert set(made) == {model}
    assert sorted(set(models_on_disk()) - set(before)) == [str(model.pk)]


def test_a_promotion_that_fails_leaves_nothing_behind(
    editor: User, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = models_on_disk()

    def full(self: Path, target: Path) -> Path:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        services.promote(editor, run)
    assert not Model.objects.exists()
    assert models_on_disk() == before


def test_a_run_without_weights_is_not_promoted(editor: User, client_of: ClientOf) -> None:
    run = queued_run(editor, ready_version(editor), name="young run")
    play(run, Story(steps=24), range(1))
    with pytest.raises(RefusedError, match="young run has no finished weights yet"):
        services.promote(editor, Run.objects.get(pk=run.pk))
    answer = client_of(editor).post(f"/models/promote/{run.pk}/", follow=True)
    assert "has no finished weights yet" in answer.content.decode()


def test_a_model_of_a_private_run_stays_private_and_its_owner_s(
    editor: User, administrator: User, run: Run
) -> None:
    experiments.edit_run(run, name=run.name, private=True)
    model = services.promote(administrator, Run.objects.get(pk=run.pk))
    assert (model.owner, model.private) == (editor, True)


def test_a_model_outlives_its_run(
    editor: User,
    run: Run,
    client_of: ClientOf,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    model = services.promote(editor, run)
    with django_capture_on_commit_callbacks(execute=True):
        experiments.delete_run(run)
    answer = client_of(editor).get(f"/models/{model.pk}/")
    page = answer.content.decode()
    assert "good run (deleted)" in page
    assert (model.folder / "model.json").exists()


def test_the_card_is_a_page(editor: User, run: Run, client_of: ClientOf) -> None:
    model = services.promote(editor, run)
    page = client_of(editor).get(f"/models/{model.pk}/").content.decode()
    for text in (
        "It labels expressions, not emotions.",
        "FERPlus v1",
        "35,710 images",
        "good run",
        "intended",
    ):
        assert text in page
    assert "Label with this model" in page
    assert "good run" in client_of(editor).get("/models/").content.decode()


def test_a_model_can_be_taken_away(editor: User, run: Run, client_of: ClientOf) -> None:
    model = services.promote(editor, run)
    answer = client_of(editor).get(f"/models/{model.pk}/download/")
    assert answer["Content-Disposition"] == 'attachment; filename="good-run.zip"'
    content = answer.getvalue()
    assert int(answer["Content-Length"]) == len(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("model.safetensors") == b"weights"


def test_renaming_and_hiding(editor: User, viewer: User, run: Run, client_of: ClientOf) -> None:
    model = services.promote(editor, run)
    client_of(editor).post(f"/models/{model.pk}/edit/", {"name": "kept", "private": "on"})
    model.refresh_from_db()
    assert (model.name, model.private) == ("kept", True)
    assert client_of(viewer).get(f"/models/{model.pk}/").status_code == 404


def test_deleting_a_model_deletes_its_weights(
    editor: User, run: Run, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    model = services.promote(editor, run)
    folder = model.folder
    with django_capture_on_commit_callbacks(execute=True):
        services.delete(model, editor)
    assert not folder.exists()
    assert Run.objects.filter(pk=run.pk).exists()


def test_a_model_that_labelled_photos_is_not_deleted(editor: User, run: Run, client_of: ClientOf) -> None:
    model = services.promote(editor, run)
    job = jobs.create(kind="predict", queue=Job.Queue.CPU, owner=editor, title="Label holiday")
    LabelBatch.objects.create(owner=editor, name="holiday", model=model, job=job)
    answer = client_of(editor).post(f"/models/{model.pk}/delete/", follow=True)
    assert "labelled “holiday”. Delete those batches first." in answer.content.decode()
    assert Model.objects.filter(pk=model.pk).exists()


def test_a_model_with_which_a_waiting_run_begins_is_not_deleted(editor: User, run: Run) -> None:
    model = services.promote(editor, run)
    start: dict[str, Any] = {"kind": "model", "id": model.pk, "name": model.name}
    config = presets()["small"]
    later = experiments.start_run(
        editor, version=run.version, preset="small", config=config, name="later", start_from=start
    )
    with pytest.raises(RefusedError, match="“later” begins with good run"):
        services.delete(model, editor)
    jobs.stop(later.job, editor)
    services.delete(model, editor)
    assert not Model.objects.exists()


def test_what_needs_a_model_is_named_only_to_those_who_may_see_it(
    editor: User, administrator: User, run: Run, client_of: ClientOf
) -> None:
    model = services.promote(editor, run)
    start: dict[str, Any] = {"kind": "model", "id": model.pk, "name": model.name}
    for number in range(2):
        later = experiments.start_run(
            administrator, version=run.version, preset="small", config=presets()["small"],
            name=f"secret run {number}", start_from=start, private=True,
        )  # fmt: skip
    with pytest.raises(RefusedError, match=r"^2 runs that are private to others begin with good run"):
        services.delete(model, editor)
    with pytest.raises(RefusedError, match="“secret run 1” and “secret run 0” begin with good run"):
        services.delete(model, administrator)
    Run.objects.filter(pk=later.pk).update(private=False)
    with pytest.raises(RefusedError, match=r"^“secret run 1” and 1 that is private to others begin with"):
        services.delete(model, editor)

    for name, private in (("secret faces", True), ("a", False), ("b", False), ("c", False), ("d", False)):
        job = jobs.create(kind="predict", queue=Job.Queue.CPU, owner=administrator, title="Label")
        LabelBatch.objects.create(owner=administrator, name=name, model=model, job=job, private=private)
    answer = client_of(editor).post(f"/models/{model.pk}/delete/", follow=True)
    text = "labelled “d”, “c”, “b”, 1 more and 1 that is private to others. Delete those batches first."
    assert text in answer.content.decode()
    assert "secret faces" not in answer.content.decode()
    LabelBatch.objects.filter(private=False).delete()
    with pytest.raises(RefusedError, match="good run labelled “secret faces”"):
        services.delete(model, administrator)


def test_a_model_without_contempt_is_a_model_of_its_own(
    editor: User, viewer: User, client_of: ClientOf
) -> None:
    model = Model.objects.create(
        owner=editor,
        name="eight",
        classes=list(EXPRESSIONS),
        card={"figures": {"test": {"accuracy": 0.8}}, "limits": ["It is small."]},
    )
    tiny_model(model.folder, classes=EXPRESSIONS)
    url, client = f"/models/{model.pk}/leave-out/", client_of(editor)
    assert client_of(viewer).post(url, {"without-left_out": ["contempt"]}).status_code == 403
    too_many = client.post(url, {"without-left_out": list(EXPRESSIONS[1:])}, follow=True)
    assert "At least two expressions must be left." in too_many.content.decode()
    assert Model.objects.count() == 1

    page = client.post(url, {"without-left_out": ["contempt"]}, follow=True).content.decode()
    made = Model.objects.get(name="eight without contempt")
    assert "eight, without contempt" in page
    assert "It knows no contempt: such a face is labelled as something else." in page
    assert made.classes == list(EXPRESSIONS[:7])
    assert ModelFiles(made.folder).classes == EXPRESSIONS[:7]
    assert made.card["figures"]["test"] == {}  # the other's do not hold for it
    (made.folder / "model.safetensors").write_bytes(b"torn")
    refused = client.post(f"/models/{made.pk}/leave-out/", {"without-left_out": ["fear"]}, follow=True)
    assert "alert" in refused.content.decode()
    assert models_on_disk() == [str(model.pk), str(made.pk)]
