"""A run of a size that has not run here yet is measured first, if somebody wants to know what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mmfrm.config import TrainConfig
from mmfrm.jobs import EstimateJob
from tests.synthetic_runs import queued_run, ready_version
from tests.webapp.test_run_form import sent
from webapp.accounts.models import User
from webapp.experiments import estimating
from webapp.experiments.models import Estimate
from webapp.jobs import services as jobs
from webapp.jobs.models import Job

PLAN = "/experiments/runs/plan/"
TOLD = {"train_seconds": 0.02, "eval_seconds": 0.01, "memory_bytes": 3 * 2**30, "disk_bytes": 2**28}


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def form(editor: User) -> dict[str, Any]:
    return sent(version=ready_version(editor).pk)


def end(job: Job, state: str, **changes: Any) -> None:
    Job.objects.filter(pk=job.pk).update(state=state, worker="gpu-1@lab", **changes)


def test_it_is_measured_once_and_before_all_that_waits(
    editor: User, client: Client, form: dict[str, Any]
) -> None:
    client.force_login(editor)
    waiting = queued_run(editor, ready_version(editor, name="Others")).job
    assert "Measure it here first" in client.post(PLAN, form).text
    for _ in range(2):  # a double click
        answer = client.post(PLAN, form | {"measure": "1"})
    assert "it is next" in answer.text
    row = Estimate.objects.get()
    assert row.job.position < waiting.position
    asked = estimating.prepare(row.job)
    assert isinstance(asked, EstimateJob)
    assert asked.config.optim.epochs == form["optim.epochs"]
    assert asked.classes == 8


def test_the_page_waits_without_being_drawn_anew_and_then_tells_the_figures(
    editor: User, client: Client, form: dict[str, Any]
) -> None:
    client.force_login(editor)
    client.post(PLAN, form | {"measure": "1"})
    assert client.post(PLAN, form | {"waiting": "queued"}).status_code == 204
    job = Estimate.objects.get().job
    end(job, Job.State.RUNNING)
    assert "Measuring on the worker" in client.post(PLAN, form | {"waiting": "queued"}).text
    assert client.post(PLAN, form | {"waiting": "running"}).status_code == 204
    end(job, Job.State.FINISHED, result=TOLD)
    answer = client.post(PLAN, form | {"waiting": "running"})
    assert "Measured by a few steps on lab" in answer.text
    assert "<dt>Time</dt><dd>about" in answer.text
    assert "3.2 GB" in answer.text
    assert "Measure it here first" not in answer.text
    other = client.post(PLAN, form | {"optim.batch_size": "16"})
    assert "Measure it here first" in other.text, "another size is not known"


def test_the_time_is_that_of_all_epochs_and_of_what_is_validated(editor: User, form: dict[str, Any]) -> None:
    from mmfrm.presets import presets
    from webapp.experiments.estimates import reading_of, total_of

    version, config = ready_version(editor, name="Others"), presets()["small"]
    estimating.start(editor, version, [config])
    end(Estimate.objects.get().job, Job.State.FINISHED, result=TOLD)
    total = total_of(version, [config])
    counts = dict(reading_of(version, config).counts)
    epoch = counts["train"] * 0.02 + counts["val"] * 0.01
    assert total.seconds == pytest.approx(12 * epoch + (counts["val"] + counts.get("test", 0)) * 0.01)
    assert not total.unknown


def test_small_faces_are_told_of_half_the_side(editor: User) -> None:
    from mmfrm.presets import presets
    from mmfrm.settings import replace
    from webapp.experiments.estimates import reading_of

    version, config = ready_version(editor, name="Small"), presets()["small"]

    def is_told(config: TrainConfig = config) -> bool:
        return any("Half the image side" in note for note in reading_of(version, config).notes)

    assert not is_told(), "without a face nothing is known"
    version.widest = 48
    assert is_told()
    assert not is_told(replace(config, {"network.half_side": True}))
    version.widest = 100
    assert not is_told()


def test_one_that_failed_says_why_and_is_begun_anew(
    editor: User, client: Client, form: dict[str, Any]
) -> None:
    client.force_login(editor)
    client.post(PLAN, form | {"measure": "1"})
    failed = Estimate.objects.get().job
    end(failed, Job.State.FAILED, reason="There is no cuda device here.")
    folder = jobs.folder_of(failed)
    folder.mkdir(parents=True)
    answer = client.post(PLAN, form)
    assert "The measurement failed: There is no cuda device here." in answer.text
    assert "Measure it here first" in answer.text
    client.post(PLAN, form | {"measure": "1"})
    assert Estimate.objects.get().job.pk != failed.pk
    assert not Job.objects.filter(pk=failed.pk).exists()
