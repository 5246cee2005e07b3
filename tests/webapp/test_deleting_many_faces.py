"""However many faces go, they go at once: nobody else can write to SQLite meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.synthetic_runs import CLASSES, ready_version
from webapp.accounts.models import User
from webapp.datasets import deleting, services
from webapp.datasets.models import Dataset, DatasetVersion, Sample
from webapp.jobs import services as jobs
from webapp.registry.models import Model, Score, Scoring

pytestmark = pytest.mark.usefixtures("data_folder")


def versions_of(editor: User, faces: int) -> list[DatasetVersion]:
    """Two versions of a new data set with so many faces each, of which a model has said something."""
    first = ready_version(editor)
    second = DatasetVersion.objects.create(
        dataset=first.dataset, number=2, made_by=editor, ready_at=timezone.now(), classes=list(CLASSES)
    )
    model = Model.objects.create(owner=editor, name="Kept", classes=list(CLASSES))
    for version in (first, second):
        job = jobs.create(kind="score", queue="cpu", owner=editor, title="Score")
        scoring = Scoring.objects.create(version=version, model=model, job=job)
        Sample.objects.bulk_create(sample(version, index) for index in range(faces))
        Score.objects.bulk_create(score(scoring, face) for face in version.samples.all())
    return [first, second]


def sample(version: DatasetVersion, index: int) -> Sample:
    return Sample(
        version=version, index=index, name=f"{index}.png", pack="faces-0.pack", offset=0, length=1, width=8,
        height=8, sha256="0" * 64,
    )  # fmt: skip


def score(scoring: Scoring, face: Sample) -> Score:
    return Score(
        scoring=scoring, sample=face, answer=0, probabilities=[1.0], confidence=1.0, index=face.index,
        name=face.name,
    )  # fmt: skip


def queries_of(act: Callable[[], None]) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        act()
    return [query["sql"] for query in queries]


@pytest.mark.parametrize("what", ["data set", "version"])
def test_three_hundred_faces_take_as_many_statements_as_three(editor: User, what: str) -> None:
    def delete(first: DatasetVersion) -> None:
        if what == "version":
            deleting.delete(first, editor, with_runs=False)
        else:
            services.delete(first.dataset)

    few, _ = versions_of(editor, 3)
    expected = len(queries_of(lambda: delete(few)))
    many, other = versions_of(editor, 300)
    assert len(queries_of(lambda: delete(many))) == expected
    left = 300 if what == "version" else 0
    assert other.samples.count() == Score.objects.filter(sample__version=other).count() == left
    assert not Sample.objects.filter(version=many.pk).exists()
    assert not DatasetVersion.objects.filter(pk=many.pk).exists()
    assert Dataset.objects.filter(pk=other.dataset_id).exists() == (what == "version")
