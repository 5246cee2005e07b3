"""What is wrong with a training is said in words, and nothing is said of one that goes well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.synthetic_runs import Story, play, queued_run, ready_version
from webapp.accounts.models import User
from webapp.experiments.symptoms import Epoch, found, of_run
from webapp.jobs.models import JobEvent

ClientOf = Callable[[User], Client]


def said(epochs: Sequence[Epoch], last: dict[str, Any] | None = None) -> list[str]:
    return [symptom.title for symptom in found(epochs, last or Story().epoch_end(8).payload())]


def going(*val: float, rate: float = 70.0) -> list[Epoch]:
    """Epochs with those validation losses and a training loss that falls."""
    return [Epoch(train=1.5 - 0.05 * i, val=loss, images_per_second=rate) for i, loss in enumerate(val)]


def test_of_a_training_that_goes_well_nothing_is_said() -> None:
    assert said(going(1.5, 1.2, 1.0, 0.9, 0.85, 0.84)) == []


def test_a_loss_that_is_no_number_is_said_alone() -> None:
    assert said([*going(1.5, 1.2), Epoch(train=None, val=None, images_per_second=70.0)]) == [
        "The loss is no longer a number"
    ]


@pytest.mark.parametrize(("loss", "alpha"), [(math.log(8), 0.5), (1.2, 0.001)])
def test_a_collapse_is_a_loss_of_guessing_or_a_shut_gate(loss: float, alpha: float) -> None:
    last = Story().epoch_end(8).payload()
    last["train"]["alpha_mean"] = alpha
    assert said([Epoch(train=loss, val=loss, images_per_second=70.0)] * 3, last) == ["It has collapsed"]


def test_a_slow_first_epoch_is_no_collapse() -> None:
    assert said([Epoch(train=math.log(8), val=math.log(8), images_per_second=70.0)]) == []


def test_a_validation_loss_that_rises_for_long_while_training_falls_is_learning_by_heart() -> None:
    title = "It is learning the training faces by heart"
    assert said(going(1.5, 1.0, 0.9, 0.95, 1.0, 1.1, 1.2)) == [title]
    assert said(going(1.5, 1.0, 0.9, 0.95, 1.0, 1.1)) == []  # not for long
    assert said(going(1.5, 1.0, 0.9, 0.9, 0.91, 0.91, 0.91)) == []  # not by much


def test_expressions_that_are_never_answered_are_named_once_it_is_not_early() -> None:
    last = Story().epoch_end(8).payload()
    for row in last["val"]["confusion"]:
        row[0] += row[5] + row[7]
        row[5] = row[7] = 0
    assert said(going(1.5, 1.2), last) == []
    assert said(going(1.5, 1.2, 1.0), last) == ["It never answers disgust and contempt"]


def test_an_epoch_at_half_its_usual_rate_is_slow() -> None:
    assert said([*going(1.5, 1.2, 1.0), *going(0.9, rate=20.0)]) == ["It has become slow"]


def test_a_training_that_waits_for_its_images_is_said_to_starve_from_the_first_epoch_on() -> None:
    assert said([Epoch(1.5, 1.5, 70.0, data_wait=0.1)]) == []
    assert said([Epoch(1.5, 1.5, 70.0, data_wait=0.6)]) == ["It waits for its images"]
    assert said([Epoch(1.5, 1.5, 70.0, data_wait=None)]) == []  # of a run from before it was measured


def test_the_page_says_it_and_asks_two_queries(
    editor: User, client_of: ClientOf, django_assert_num_queries: Any
) -> None:
    run = queued_run(editor, ready_version(editor))
    assert of_run(run) == []
    play(run, Story(epochs=5, steps=24), range(5))
    row = JobEvent.objects.filter(job=run.job_id, kind="epoch").order_by("key").last()
    assert row is not None
    row.payload["train"]["alpha_mean"] = 0.0
    row.save()
    with django_assert_num_queries(2):
        assert [symptom.is_grave for symptom in of_run(run)] == [True]
    for name in ("run", "run_symptoms"):
        assert (
            b"It has collapsed"
            in client_of(editor).get(reverse(f"experiments:{name}", args=[run.pk])).content
        )


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_page_opens_when_an_epoch_had_no_number(editor: User, client_of: ClientOf, split: str) -> None:
    run = queued_run(editor, ready_version(editor))
    play(run, Story(epochs=5, steps=24), range(5))
    row = JobEvent.objects.filter(job=run.job_id, kind="epoch").order_by("key").last()
    assert row is not None
    row.payload[split]["cross_entropy"] = None
    row.save()
    page = client_of(editor).get(reverse("experiments:run", args=[run.pk]))
    assert b"The loss is no longer a number" in page.content
