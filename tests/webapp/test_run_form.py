"""The form of a new run: made from the settings themselves, plain in refusing, harmless when sent twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from mmfrm.presets import presets
from mmfrm.settings import settings_of
from tests.synthetic_runs import queued_run, ready_version
from webapp.accounts.models import User
from webapp.experiments.forms import RunForm
from webapp.experiments.models import Experiment, Run
from webapp.experiments.setting_fields import NOT_OFFERED
from webapp.jobs.models import Job

NEW = "/experiments/runs/new/"


def sent(preset: str = "small", **changes: Any) -> dict[str, Any]:
    """What a browser sends for an untouched preset, with changes ("optim__epochs" for "optim.epochs")."""
    values: dict[str, Any] = {"preset": preset, "request_key": str(uuid.uuid4())}
    for setting in settings_of(presets()[preset]):
        if setting.type is bool:
            values |= {setting.name: "on"} if setting.value else {}
        elif setting.name not in NOT_OFFERED:
            values[setting.name] = setting.value
    return values | {name.replace("__", "."): value for name, value in changes.items()}


def form_of(user: User, data: dict[str, Any]) -> RunForm:
    return RunForm(data, user=user, initial={})


def test_every_setting_is_offered_with_its_meaning_but_no_path_on_the_server(editor: User) -> None:
    form = RunForm(user=editor, initial={})
    offered = [field.name for group in form.groups() for field in (*group.fields, *group.rare)]
    offered += [field.name for field in form.first()]
    settings = {s.name: s for s in settings_of(presets()["small"])}
    assert sorted(offered) == sorted(set(settings) - set(NOT_OFFERED))
    assert "network.landmark_weights" not in form.fields
    for name in offered:
        assert settings[name].help in str(form[name].help_text)
        assert form[name].initial == settings[name].value


def test_ranges_are_said_beside_the_field_and_checked_in_plain_words(editor: User) -> None:
    version = ready_version(editor)
    form = form_of(editor, sent(version=version.pk, optim__epochs=0, data__val_fraction=0.9))
    assert "1 to 10,000" in str(form["optim.epochs"].help_text)
    assert form.errors["optim.epochs"] == ["Epochs must be 1 to 10,000."]
    assert form.errors["data.val_fraction"] == ["Validation share must be 0.01 to 0.5."]


@pytest.mark.parametrize("preset", sorted(presets()))
def test_an_untouched_preset_is_sent_as_it_is(editor: User, preset: str) -> None:
    form = form_of(editor, sent(preset, version=ready_version(editor).pk))
    assert form.is_valid(), form.errors
    assert form.cleaned_data["config"] == presets()[preset]


def test_an_empty_field_means_the_value_of_the_preset(editor: User) -> None:
    form = form_of(editor, sent(version=ready_version(editor).pk, optim__epochs="", optim__learning_rate=""))
    assert form.is_valid(), form.errors
    assert form.cleaned_data["config"].optim == presets()["small"].optim


def test_what_differs_reaches_the_config(editor: User) -> None:
    data = sent(version=ready_version(editor).pk, optim__epochs=3, loss__rfloss="intended", runtime__seed=7)
    del data["augment.flip"]  # an unticked box is not sent
    form = form_of(editor, data)
    assert form.is_valid(), form.errors
    config = form.cleaned_data["config"]
    assert (config.optim.epochs, config.loss.rfloss, config.runtime.seed) == (3, "intended", 7)
    assert config.augment.flip is False


def test_a_run_that_is_sent_twice_is_started_once(editor: User, client_of: Callable[[User], Client]) -> None:
    client, data = client_of(editor), sent(version=ready_version(editor).pk, name="once")
    first, second = client.post(NEW, data), client.post(NEW, data)
    assert first.status_code == second.status_code == 302
    assert first["Location"] == second["Location"]
    run = Run.objects.get()
    assert (run.name, run.owner, run.job.state, run.job.queue) == ("once", editor, Job.State.QUEUED, "gpu")
    assert run.experiment.name == "once"
    assert run.train_config == presets()["small"]


def test_the_key_of_somebody_else_makes_an_own_run(editor: User, administrator: User) -> None:
    version = ready_version(editor)
    queued = queued_run(editor, version)
    form = form_of(administrator, sent(version=version.pk))
    assert form.is_valid()
    assert queued.request_key is None


def test_only_ready_data_sets_that_the_user_sees_can_be_chosen(editor: User, administrator: User) -> None:
    unready, hidden, seen = (ready_version(administrator, name) for name in ("unready", "hidden", "seen"))
    type(unready).objects.filter(pk=unready.pk).update(ready_at=None)
    type(hidden.dataset).objects.filter(pk=hidden.dataset_id).update(private=True)
    form = form_of(editor, sent(version=hidden.pk))
    choices: Any = form["version"].field.choices  # type: ignore[attr-defined]
    assert [label for _, label in choices][1:] == ["seen v1 · 35,710 images · 8 classes"]
    assert form.errors["version"] == [
        "This data set is not ready, or no longer there. Choose another.",
    ]
    assert form_of(editor, sent(version=unready.pk)).errors["version"]
    assert form_of(editor, sent(version=seen.pk)).is_valid()


def test_runs_are_added_to_own_experiments_only(editor: User, administrator: User) -> None:
    version = ready_version(editor)
    mine = Experiment.objects.create(owner=editor, name="mine")
    foreign = Experiment.objects.create(owner=administrator, name="foreign")
    assert form_of(editor, sent(version=version.pk, experiment=mine.pk)).is_valid()
    assert form_of(editor, sent(version=version.pk, experiment=foreign.pk)).errors["experiment"]


def test_a_clone_begins_with_the_config_of_its_original(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    run = queued_run(editor, ready_version(editor), changes={"optim.epochs": 5, "loss.rfloss": "intended"})
    answer = client_of(editor).get(f"/experiments/runs/{run.pk}/clone/")
    form = answer.context["form"]
    assert form["optim.epochs"].value() == 5
    assert form["loss.rfloss"].value() == "intended"
    assert form["version"].value() == run.version_id
    assert form["experiment"].value() == run.experiment_id


def test_refusals_come_back_with_what_was_typed(editor: User, client_of: Callable[[User], Client]) -> None:
    ready_version(editor)
    answer = client_of(editor).post(NEW, sent(optim__epochs=-1, name="kept"))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Choose a data set." in page
    assert "Epochs must be 1 to 10,000." in page
    assert 'value="kept"' in page
    assert not Run.objects.exists()


def test_viewers_cannot_start_runs(viewer: User, editor: User, client_of: Callable[[User], Client]) -> None:
    data = sent(version=ready_version(editor).pk)
    assert client_of(viewer).get(NEW).status_code == 403
    assert client_of(viewer).post(NEW, data).status_code == 403
    assert not Run.objects.exists()
