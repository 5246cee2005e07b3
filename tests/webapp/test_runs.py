"""Runs: what their events leave behind, what their pages show, what can be taken away, and their end."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from mmfrm.events import Evaluated
from mmfrm.jobs import TrainJob, read_job
from mmfrm.presets import presets
from mmfrm.schema import ConfigError
from tests.synthetic_runs import CLASSES, Story, keep_a_model, play, queued_run, ready_version
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.errors import RefusedError
from webapp.experiments import figures, points, services, training
from webapp.experiments.models import Experiment, Run
from webapp.jobs import services as jobs
from webapp.jobs.models import Job, JobEvent

STORY = Story(epochs=4, steps=24)
ClientOf = Callable[[User], Client]


@pytest.fixture(autouse=True)
def own_data_folder(settings: Any, tmp_path: Path) -> None:
    """Keys begin anew with each test, so folders named after them must too."""
    settings.DATA_DIR = tmp_path


@pytest.fixture
def version(editor: User) -> DatasetVersion:
    return ready_version(editor)


@pytest.fixture
def run(editor: User, version: DatasetVersion) -> Run:
    return queued_run(editor, version, name="first run")


@pytest.fixture
def finished(run: Run) -> Run:
    play(run, STORY, range(4), end=True)
    keep_a_model(run)
    return Run.objects.get(pk=run.pk)


def address(run: Run, part: str = "") -> str:
    return f"/experiments/runs/{run.pk}/{part}"


# --- what events leave behind ------------------------------------------------------------------------


def test_a_run_becomes_a_job_file_that_its_child_reads(run: Run) -> None:
    job = jobs.claim("gpu", "gpu-1")
    assert job is not None
    made = read_job(jobs.prepare(job))
    assert made == TrainJob(data=str(run.version.folder), config=presets()["small"])


def test_facts_best_and_test_are_kept_on_the_run(finished: Run) -> None:
    told = [STORY.epoch_end(epoch) for epoch in range(4)]
    best = max(told, key=lambda end: end.val["accuracy"])
    assert finished.facts["device"] == "cpu"
    assert finished.best == {"epoch": best.epoch, "step": best.step, **best.val}
    assert finished.test["accuracy"] == STORY.figures(2, lead=0.985, count_factor=1)["accuracy"]


def test_events_told_again_change_nothing(run: Run) -> None:
    job = play(run, STORY, range(3))
    before = Run.objects.values().get(pk=run.pk)
    for event in (STORY.started(), *STORY.told(range(1, 3))):
        jobs.record(job, event)
    assert Run.objects.values().get(pk=run.pk) == before
    assert JobEvent.objects.filter(job=job, kind="epoch").count() == 3


def test_an_epoch_that_no_longer_is_the_best_gives_its_place_back(run: Run) -> None:
    job = play(run, STORY, range(1))
    jobs.record(job, STORY.epoch_end(1, best=True))
    jobs.record(job, STORY.epoch_end(2, best=True))
    jobs.record(job, STORY.epoch_end(2, best=False))
    run.refresh_from_db()
    assert run.best["epoch"] == 1


def test_only_the_test_split_is_the_test(run: Run) -> None:
    job = play(run, STORY, range(1))
    jobs.record(job, Evaluated(split="val", figures=STORY.figures(0, lead=1, count_factor=1)))
    run.refresh_from_db()
    assert run.test == {}


def test_a_run_may_start_from_the_weights_of_another(editor: User, finished: Run) -> None:
    start = {"kind": "run", "id": finished.pk, "name": finished.name}
    later = services.start_run(
        editor,
        version=finished.version,
        preset="small",
        config=presets()["small"],
        name="later",
        start_from=start,
    )
    assert training.prepare(later.job).start_from == str(finished.folder / "model")
    services.delete_run(finished)
    (finished.folder / "model" / "model.json").unlink()
    with pytest.raises(ConfigError, match="the weights of first run are gone"):
        training.prepare(later.job)


def test_no_run_starts_on_a_version_that_is_not_ready(editor: User, version: DatasetVersion) -> None:
    version.ready_at = None
    with pytest.raises(RefusedError, match="still being imported"):
        services.start_run(editor, version=version, preset="small", config=presets()["small"], name="early")
    assert not Job.objects.exists()


# --- series for charts ---------------------------------------------------------------------------------


def test_the_points_hold_every_epoch_without_its_confusions(finished: Run, client_of: ClientOf) -> None:
    answer = client_of(finished.owner).get(address(finished, "points/"))
    data = answer.json()
    assert data["classes"] == list(CLASSES)
    assert data["epochs"]["epoch"] == [0, 1, 2, 3]
    expected = [STORY.epoch_end(e).val["classes"][3]["recall"] for e in range(4)]
    assert [row[3] for row in data["epochs"]["val.recall"]] == pytest.approx(expected, rel=1e-4)
    assert "confusion" not in answer.content.decode()
    assert data["seq"] == Job.objects.get(pk=finished.job_id).last_seq


def test_few_steps_are_sent_as_they_are(finished: Run) -> None:
    steps = points.steps_of(finished)
    assert steps["step"] == [s.step for epoch in range(4) for s in STORY.steps_of(epoch)]


def test_thinning_keeps_both_ends_and_every_extreme() -> None:
    count = 100_000
    loss: list[Any] = [1.0] * count
    loss[31_415], loss[92_653] = 9.0, 0.01
    norms: list[Any] = [2.0] * count
    norms[27_182], norms[55_555] = 80.0, None
    columns = {"step": list(range(count)), "loss": loss, "gradient_norm": norms}
    thin = points.thinned(columns)
    assert len(thin["step"]) <= points.STEP_POINTS + 2
    assert {0, 31_415, 92_653, 27_182, count - 1} <= set(thin["step"])
    assert thin["step"] == sorted(set(thin["step"]))
    assert thin["loss"][thin["step"].index(31_415)] == 9.0


def test_the_curves_of_an_experiment_lie_over_each_other(
    editor: User, finished: Run, client_of: ClientOf
) -> None:
    other = queued_run(editor, finished.version, name="other", experiment=finished.experiment)
    play(other, Story(epochs=4, steps=24, seed=3), range(2))
    client = client_of(editor)
    runs = client.get(f"/experiments/{finished.experiment_id}/curves/").json()["runs"]
    assert [(one["name"], one["x"]) for one in runs] == [("other", [1, 2]), ("first run", [1, 2, 3, 4])]
    macro = client.get(f"/experiments/{finished.experiment_id}/curves/?figure=macro_f1").json()["runs"]
    assert macro[1]["y"] == pytest.approx([STORY.epoch_end(e).val["macro_f1"] for e in range(4)])


# --- pages ---------------------------------------------------------------------------------------------


def test_the_page_of_a_finished_run_shows_its_figures_with_intervals(
    finished: Run, client_of: ClientOf
) -> None:
    page = client_of(finished.owner).get(address(finished)).content.decode()
    test = finished.test
    assert f"{100 * test['accuracy']:.1f} %" in page
    assert f"{100 * test['accuracy_low']:.1f} % to {100 * test['accuracy_high']:.1f} %" in page
    assert "Opened once, at the end" in page
    assert "Promote to model" in page
    assert f"model=run:{finished.pk}" in page


@pytest.mark.parametrize("state", Job.State.values)
def test_the_page_opens_and_tells_the_truth_in_every_state(run: Run, client_of: ClientOf, state: str) -> None:
    Job.objects.filter(pk=run.job_id).update(state=state, heartbeat_at=timezone.now(), attempt=1)
    page = client_of(run.owner).get(address(run)).content.decode()
    buttons = {name for name in ("pause", "stop", "resume") if f'action="/jobs/{run.job_id}/{name}/"' in page}
    expected: dict[str, set[str]] = {
        "queued": {"pause", "stop"},
        "starting": {"pause", "stop"},
        "running": {"pause", "stop"},
        "pausing": {"stop"},
        "paused": {"resume", "stop"},
        "stopping": {"stop"},
        "stopped": {"resume"},
        "failed": {"resume"},
        "finished": set(),
    }
    assert buttons == expected[state]


def test_a_silent_worker_is_said_to_be_silent(run: Run, client_of: ClientOf) -> None:
    play(run, STORY, range(1))
    long_ago = timezone.now() - timedelta(seconds=40)
    Job.objects.filter(pk=run.job_id).update(heartbeat_at=long_ago)
    page = client_of(run.owner).get(address(run)).content.decode()
    assert re.search(r"No sign of life from gpu-1@lab for 4\d s", page)  # the page takes a moment too
    jobs.reap()
    page = client_of(run.owner).get(address(run)).content.decode()
    assert "The worker gpu-1@lab is gone. It goes on from its last checkpoint by itself." in page


def test_a_waiting_run_says_why(run: Run, client_of: ClientOf) -> None:
    page = client_of(run.owner).get(address(run)).content.decode()
    assert "No worker of the training queue is running." in page


def test_what_differs_from_the_preset_is_marked(
    editor: User, version: DatasetVersion, client_of: ClientOf
) -> None:
    run = queued_run(editor, version, changes={"optim.learning_rate": 0.5})
    page = " ".join(client_of(editor).get(address(run)).content.decode().split())
    assert page.count('<div class="differs">') == 1
    assert '0.5 <span class="usual">small: 0.001</span>' in page


def test_viewers_see_a_run_without_its_buttons(viewer: User, finished: Run, client_of: ClientOf) -> None:
    page = client_of(viewer).get(address(finished)).content.decode()
    assert "Promote" not in page
    assert "Clone" not in page
    assert "edit-run" not in page


def test_lists_ask_the_database_as_often_for_many_runs_as_for_few(
    editor: User, version: DatasetVersion, client_of: ClientOf, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        queued_run(editor, version, name=str(number))
    client = client_of(editor)
    with django_assert_max_num_queries(16):
        client.get("/experiments/")


# --- downloads -------------------------------------------------------------------------------------------


def test_everything_can_be_taken_away(finished: Run, client_of: ClientOf) -> None:
    client = client_of(finished.owner)

    def taken(what: str) -> bytes:
        answer = client.get(address(finished, f"download/{what}"))
        assert answer.status_code == 200
        assert f'filename="first-run-{what}"' in answer["Content-Disposition"]
        return answer.getvalue()

    with zipfile.ZipFile(io.BytesIO(taken("model.zip"))) as archive:
        assert sorted(archive.namelist()) == ["model.json", "model.safetensors"]
    assert taken("last.ckpt") == b"checkpoint"
    assert json.loads(taken("config.json"))["config"] == asdict(presets()["small"])
    told = json.loads(taken("metrics.json"))
    assert told["epochs"] == [json.loads(json.dumps(e)) for e in points.epoch_payloads(finished)]
    rows = list(csv.DictReader(io.StringIO(taken("epochs.csv").decode())))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[2]["val_recall_fear"]) == STORY.epoch_end(2).val["classes"][6]["recall"]


def test_what_is_not_there_is_not_offered(run: Run, client_of: ClientOf) -> None:
    client = client_of(run.owner)
    for what in ("model.zip", "last.ckpt", "job.json", "../secret.key", "secret"):
        assert client.get(address(run, f"download/{what}")).status_code == 404
    assert "model.zip" not in client.get(address(run)).content.decode()


def test_a_run_of_no_epochs_has_an_empty_table(run: Run, client_of: ClientOf) -> None:
    answer = client_of(run.owner).get(address(run, "download/epochs.csv"))
    assert (answer.status_code, answer.getvalue()) == (200, b"")


# --- figures ---------------------------------------------------------------------------------------------


def test_figures_come_as_test_best_and_last(finished: Run) -> None:
    shown = figures.of_run(finished)
    assert [one.key for one in shown][:2] == ["test", "best"]
    worst = shown[0].worst_confusions
    assert len(worst) == 3
    assert worst[0]["share"] >= worst[1]["share"] >= worst[2]["share"]
    assert all(pair["true"] != pair["said"] for pair in worst)


# --- the end of a run --------------------------------------------------------------------------------------


def test_deleting_a_run_deletes_its_folder_and_its_rows(
    finished: Run, client_of: ClientOf, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    folder = finished.folder
    assert folder.exists()
    with django_capture_on_commit_callbacks(execute=True):
        client_of(finished.owner).post(address(finished, "delete/"))
    assert not folder.exists()
    assert not Run.objects.exists()
    assert not Job.objects.exists()
    assert not JobEvent.objects.exists()


def test_a_run_that_a_worker_has_is_not_deleted(run: Run, client_of: ClientOf) -> None:
    play(run, STORY, range(1))
    answer = client_of(run.owner).post(address(run, "delete/"), follow=True)
    assert "A worker has first run. Stop it first." in answer.content.decode()
    assert Run.objects.filter(pk=run.pk).exists()


def test_deleting_an_experiment_takes_all_or_nothing(
    finished: Run,
    editor: User,
    client_of: ClientOf,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    busy = queued_run(editor, finished.version, name="busy", experiment=finished.experiment)
    job = play(busy, STORY, range(1))
    client, url = client_of(editor), f"/experiments/{finished.experiment_id}/delete/"
    client.post(url)
    assert Run.objects.count() == 2
    jobs.end(job, last=None, exit_status="killed")
    jobs.stop(job, editor)
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(url)["Location"] == "/experiments/"
    assert not Experiment.objects.exists()
    assert not finished.folder.exists()


def test_hiding_an_experiment_hides_its_runs(
    finished: Run, editor: User, viewer: User, client_of: ClientOf
) -> None:
    url = f"/experiments/{finished.experiment_id}/edit/"
    client_of(editor).post(url, {"name": "secret", "question": "", "private": "on"})
    assert client_of(viewer).get(address(finished)).status_code == 404
    assert "first run" not in client_of(viewer).get("/experiments/").content.decode()
    client_of(editor).post(url, {"name": "open", "question": "", "private": ""})
    assert client_of(viewer).get(address(finished)).status_code == 200


def test_a_new_name_follows_to_the_queue(run: Run, client_of: ClientOf) -> None:
    client_of(run.owner).post(address(run, "edit/"), {"name": "renamed"})
    assert Job.objects.get(pk=run.job_id).title == "renamed"
