"""A chart's figures as CSV are exactly what was stored; a screen gets them rounded and thinned."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.synthetic_runs import CLASSES, Story, play, queued_run, ready_version
from webapp.accounts.models import User
from webapp.experiments import chart_files, points
from webapp.experiments.models import Run
from webapp.jobs import services as jobs
from webapp.jobs.models import Job, JobEvent

STORY = Story(epochs=3, steps=24)
Table = Callable[[str], list[list[str]]]


@pytest.fixture
def run(editor: User, settings: Any, tmp_path: Path) -> Run:
    """One that goes on, with three epochs and two readings of its machine."""
    settings.DATA_DIR = tmp_path
    run = queued_run(editor, ready_version(editor), name="=1+1")
    job = play(run, STORY, range(3))
    for reading in range(2):
        assert jobs.record(job, STORY.hardware(reading, gpus=2))
    return Run.objects.get(pk=run.pk)


@pytest.fixture
def table(run: Run, client_of: Callable[[User], Client]) -> Table:
    client = client_of(run.owner)

    def get(chart: str) -> list[list[str]]:
        answer = client.get(reverse("experiments:chart_csv", args=[run.pk, chart]))
        assert answer["Content-Disposition"] == f'attachment; filename="11-{chart}.csv"'
        return list(csv.reader(io.StringIO(answer.getvalue().decode())))

    return get


def test_every_chart_of_the_page_can_be_taken_away_with_a_row_an_epoch(table: Table, run: Run) -> None:
    page = (Path(__file__).parents[2] / "templates/experiments").glob("*.html")
    charts = {name for path in page for name in _charts(path.read_text())}
    assert charts == set(chart_files.CHARTS) - {f"confusion-{key}" for key in ("test", "best", "last")}
    for chart in charts - {"steps", "processor", "memory", "gpu", "gpu_memory"}:
        rows = table(chart)
        assert [row[0] for row in rows] == ["epoch", "1", "2", "3"], chart
        assert all(len(row) == len(rows[0]) for row in rows), chart


def _charts(text: str) -> list[str]:
    return [part.split('"')[0] for part in text.split('data-chart="')[1:]]


def test_values_are_the_stored_ones_to_the_last_digit(table: Table) -> None:
    rows = table("recall")
    assert rows[0][1:] == [f"{split}_{name}" for split in ("train", "val") for name in CLASSES]
    assert [float(v) for v in rows[2][9:]] == [c["recall"] for c in STORY.epoch_end(1).val["classes"]]
    assert len(table("steps")) == 1 + 3 * 2
    assert float(table("steps")[1][2]) == next(STORY.steps_of(0)).loss


def test_a_confusion_matrix_is_named_on_both_sides_and_one_that_is_not_there_is_refused(
    table: Table, run: Run, client_of: Callable[[User], Client]
) -> None:
    rows = table("confusion-best")
    assert rows[0][1:] == list(CLASSES)
    assert [[int(n) for n in row[1:]] for row in rows[1:]] == STORY.epoch_end(2).val["confusion"]
    for chart in ("confusion-test", "nothing"):
        url = reverse("experiments:chart_csv", args=[run.pk, chart])
        assert client_of(run.owner).get(url).status_code == 404


def test_the_curves_of_an_experiment_have_a_column_a_run_which_no_spreadsheet_runs(
    run: Run, client_of: Callable[[User], Client]
) -> None:
    url = reverse("experiments:curves_csv", args=[run.experiment_id])
    rows = list(csv.reader(io.StringIO(client_of(run.owner).get(f"{url}?figure=loss").getvalue().decode())))
    assert rows[0] == ["epoch", "'=1+1"]
    assert float(rows[3][1]) == STORY.epoch_end(2).val["loss"]
    assert client_of(run.owner).get(f"{url}?figure=odd").status_code == 404
    curves = client_of(run.owner).get(reverse("experiments:curves", args=[run.experiment_id])).json()["runs"]
    assert curves[0]["best"] == 3


def test_readings_of_the_machine_keep_their_moment_and_are_no_lines_of_the_log(
    run: Run, client_of: Callable[[User], Client]
) -> None:
    client = client_of(run.owner)
    columns = client.get(reverse("experiments:run_hardware", args=[run.pk])).json()
    moments = (
        JobEvent.objects.filter(job=run.job_id, kind="hardware").order_by("seq").values_list("at", flat=True)
    )
    assert columns["at"] == [round(at.timestamp(), 3) for at in moments]
    assert columns["gpu_memory"] == [12e9, 12e9]
    assert columns["gpu"][0] == pytest.approx(0.9)
    assert b"hardware" not in client.get(reverse("jobs:log", args=[run.job_id])).content
    ended = points.epochs_of(run)["epochs"]["at"]
    assert len(ended) == 3
    assert abs(ended[-1] - columns["at"][0]) < 60


def test_a_day_of_readings_is_thinned(run: Run) -> None:
    last = Job.objects.get(pk=run.job_id).last_seq
    row = JobEvent.objects.filter(job=run.job_id, kind="hardware").latest("seq")
    JobEvent.objects.bulk_create(
        JobEvent(job_id=run.job_id, seq=last + i, kind="hardware", attempt=1, at=row.at, payload=row.payload)
        for i in range(1, 10_001)
    )
    assert 100 < len(points.hardware_of(run)["at"]) <= points.STEP_POINTS + 2
