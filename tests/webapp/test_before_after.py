"""Training again from a model on corrected faces: both are measured on the same test faces, by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from mmfrm.presets import presets
from mmfrm.settings import replace
from tests.mmfrm.training import SMALLEST
from tests.webapp.work import do_next
from webapp.accounts.models import User
from webapp.datasets import services as datasets
from webapp.datasets.models import DatasetVersion
from webapp.experiments import services as experiments
from webapp.experiments.models import Run
from webapp.jobs.models import Job
from webapp.labeling import retraining
from webapp.labeling.models import BeforeAfter, MadeDataset
from webapp.registry.services import promote

pytestmark = pytest.mark.django_db


def started(owner: User, version: DatasetVersion, start: dict[str, Any] | None = None) -> Run:
    config = replace(presets()["quick-look"], SMALLEST | {"optim.epochs": 1})
    return experiments.start_run(
        owner, version=version, preset="quick-look", config=config, name="again", start_from=start
    )


def test_a_run_on_corrected_faces_is_compared_with_the_model_it_began_with(
    editor: User, viewer: User, client_of: Any, *, settings: Any, tmp_path: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    settings.DATA_DIR = tmp_path
    datasets.draw(editor, count=70)
    do_next()
    version = DatasetVersion.objects.get()
    scratch = started(editor, version)
    assert do_next("gpu").state == "finished"
    assert not BeforeAfter.objects.exists(), "nothing came before it"
    model = promote(editor, scratch)
    start = {"kind": "model", "id": model.pk, "name": model.name}

    plain = started(editor, version, start)
    do_next("gpu")
    assert not BeforeAfter.objects.exists(), "nobody corrected these faces"
    client = client_of(editor)
    page = reverse("labeling:before_after", args=[plain.pk])
    assert "Measure both" in client.get(page).content.decode()
    measure = reverse("labeling:measure", args=[plain.pk])
    assert client_of(viewer).post(measure).status_code == 403
    assert client.post(measure).status_code == client.post(measure).status_code == 302
    first = BeforeAfter.objects.get()
    Job.objects.filter(pk=first.job_id).update(state=Job.State.FAILED)
    assert "did not end" in client.get(page).content.decode()
    client.post(measure)
    assert BeforeAfter.objects.get().job_id != first.job_id, "what failed is begun anew"
    assert not Job.objects.filter(pk=first.job_id).exists()
    BeforeAfter.objects.get().delete()

    MadeDataset.objects.create(version=version)
    run = started(editor, version, start)
    do_next("gpu")
    row = BeforeAfter.objects.get(run=run)
    assert (
        "answer the test faces now" in client.get(page.replace(str(plain.pk), str(run.pk))).content.decode()
    )
    assert do_next().state == "finished"
    row.refresh_from_db()
    tested = sum(version.counts["test"].values())
    assert row.report["count"] == tested
    shown = client.get(reverse("labeling:before_after", args=[run.pk]))
    assert [change.name for change in shown.context["classes"]] == version.classes
    assert sum(change.count for change in shown.context["classes"]) == tested
    assert "Both on the same" in shown.content.decode()
    reported = run.test if run.test else Run.objects.get(pk=run.pk).test
    after = row.report["overall"]["accuracy"]["after"]
    assert after == pytest.approx(reported["accuracy"], abs=1.5 / tested), "the run's own test says the same"

    with django_capture_on_commit_callbacks(execute=True):
        experiments.delete_run(Run.objects.get(pk=run.pk))
    assert not Job.objects.filter(kind=retraining.KIND).exists()
    assert not row.folder.exists()


def test_changes_are_told_with_their_interval_and_coloured_only_where_it_leaves_out_zero() -> None:
    change = retraining.Change.of(
        {"before": 0.5, "after": 0.625, "difference": 0.125, "low": 0.02, "high": 0.2}
    )
    assert (change.points, change.interval, change.verdict) == ("+12.5", "+2.0 to +20.0", "better")
    assert retraining.Change(0.5, 0.4, -0.3, 0.1).verdict == "even"
    assert retraining.Change(0.5, 0.4, -0.3, -0.05).verdict == "worse"
    assert retraining.Change(None, None, None, None).points == "–"
    even = retraining.Change(0.5, 0.4999, -0.0001, 0.0)
    assert (even.points, even.interval) == ("0.0", "0.0 to 0.0"), "what is rounded to nothing has no sign"
