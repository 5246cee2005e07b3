"""An experiment in which an administrator has runs too: its owner decides on what is their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from tests.synthetic_runs import queued_run, ready_version
from webapp.accounts.models import User
from webapp.experiments import services
from webapp.experiments.models import Experiment, Run
from webapp.jobs.models import Job

ClientOf = Callable[[User], Client]
pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def mine(editor: User) -> Run:
    return queued_run(editor, ready_version(editor), name="mine")


@pytest.fixture
def experiment(administrator: User, mine: Run) -> Experiment:
    """The editor's; the administrator has a run in it that only administrators see."""
    theirs = queued_run(administrator, mine.version, name="hidden run", experiment=mine.experiment)
    services.edit_run(theirs, name=theirs.name, private=True)
    return mine.experiment


def privacy(experiment: Experiment) -> dict[str, bool]:
    return dict(experiment.runs.values_list("name", "private"))


def test_who_may_not_delete_all_of_its_runs_does_not_delete_an_experiment(
    editor: User, administrator: User, client_of: ClientOf, experiment: Experiment
) -> None:
    url = reverse("experiments:delete", args=[experiment.pk])
    page = client_of(editor).post(url, follow=True).content.decode()
    assert "1 run in it belongs to ada. They or an administrator must delete it first." in page
    assert "hidden run" not in page
    assert Run.objects.count() == Job.objects.count() == 2
    queued_run(administrator, experiment.runs.all()[0].version, experiment=experiment)
    page = client_of(editor).post(url, follow=True).content.decode()
    assert "2 runs in it belong to ada. They or an administrator must delete them first." in page
    client_of(administrator).post(url)
    assert not Experiment.objects.exists()
    assert not Job.objects.exists()


def test_an_experiment_whose_other_runs_are_gone_is_its_owner_s_to_delete(
    editor: User, administrator: User, client_of: ClientOf, experiment: Experiment
) -> None:
    for run in experiment.runs.filter(owner=administrator):
        client_of(administrator).post(reverse("experiments:delete_run", args=[run.pk]))
    client_of(editor).post(reverse("experiments:delete", args=[experiment.pk]))
    assert not Experiment.objects.exists()


@pytest.mark.parametrize("by", ["editor", "administrator"])
def test_an_experiment_that_is_shown_again_does_not_show_what_others_hid(
    viewer: User, client_of: ClientOf, experiment: Experiment, by: str, request: pytest.FixtureRequest
) -> None:
    client, url = client_of(request.getfixturevalue(by)), reverse("experiments:edit", args=[experiment.pk])
    client.post(url, {"name": "Q", "question": "", "private": "on"})
    assert privacy(experiment) == {"mine": True, "hidden run": True}
    client.post(url, {"name": "Q", "question": ""})
    assert privacy(experiment) == {"mine": False, "hidden run": True}
    page = client_of(viewer).get(reverse("experiments:experiment", args=[experiment.pk])).content.decode()
    assert "mine" in page
    assert "hidden run" not in page
