"""Searches go on by themselves from rows alone: chosen, judged, counted, and never the same twice."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from mmfrm.events import Failed
from mmfrm.schema import ConfigError
from tests.webapp.searching import CONFIG, EPOCHS, FUSION, begun, finish_some, step, train, trials
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.experiments import training
from webapp.experiments.models import Run
from webapp.jobs import services as jobs
from webapp.jobs import wording
from webapp.jobs.models import Job, JobEvent
from webapp.searches import history, optimiser, services, space, sweeping
from webapp.searches.models import Search, Trial

State = Job.State


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


@pytest.mark.django_db
def test_trials_are_begun_one_by_one_until_the_budget_is_spent(editor: User) -> None:
    search = begun(editor, budget=3)
    assert len(step(search)) == len(step(search)) == 1  # the first one still waits
    found = finish_some(search, [0.9, 1.0, 0.8])
    step(search)
    assert (search.state, search.reason) == ("finished", "All 3 trials are done.")
    assert len({str(t.run.config["optim"]["learning_rate"]) for t in found}) == 3
    assert {t.run.config["runtime"]["seed"] for t in found} == {CONFIG.runtime.seed}
    assert {t.run.experiment_id for t in found} == {search.experiment_id}
    assert all(1e-4 <= t.run.config["optim"]["learning_rate"] <= 1e-2 for t in found)
    best = services.best_of(search)
    assert best is not None
    assert best.number == 1


@pytest.mark.django_db
def test_the_test_split_stays_closed_until_the_best_is_confirmed(editor: User) -> None:
    search = begun(editor, objective="macro_f1")
    found = finish_some(search, [0.7, 1.0])
    assert [training.prepare(t.run.job).open_test for t in found] == [False, False]
    assert {t.run.config["optim"]["select_by"] for t in found} == {"macro_f1"}
    for trial in found:  # however good a test figure is, it chooses nothing
        Run.objects.filter(pk=trial.run_id).update(test={"macro_f1": 1.0 - trial.number})
    seen = history.tried(search, trials(search))
    assert seen[1].value == found[1].run.__class__.objects.get(pk=found[1].run_id).best["macro_f1"]
    services.confirm(search, editor)
    services.confirm(search, editor)  # pressed twice
    confirmed = Run.objects.filter(trial=None).order_by("pk")
    assert [r.config["runtime"]["seed"] for r in confirmed] == [1, 2, 3]
    assert all(training.prepare(r.job).open_test for r in confirmed)
    assert {r.config["optim"]["learning_rate"] for r in confirmed} == {
        found[1].run.config["optim"]["learning_rate"]
    }


@pytest.mark.django_db
def test_by_the_loss_trials_are_compared_by_cross_entropy(editor: User) -> None:
    """The loss itself is another sum with another weight of RFLoss."""
    search = begun(editor, objective="loss")
    found = finish_some(search, [0.9, 1.0])
    figures_of = ({"loss": 1.0, "cross_entropy": 1.1}, {"loss": 9.0, "cross_entropy": 0.9})
    for trial, figures in zip(found, figures_of, strict=True):
        run = Run.objects.get(pk=trial.run_id)
        Run.objects.filter(pk=run.pk).update(best=run.best | figures)
    seen = history.tried(search, trials(search))
    assert [one.value for one in seen] == [1.1, 0.9]
    last = JobEvent.objects.filter(job=found[1].run.job_id, kind="epoch").latest("key").payload["val"]
    assert seen[1].curve[EPOCHS] == pytest.approx(last["cross_entropy"])
    assert services.best_of(search) == trials(search)[1]


@pytest.mark.django_db
def test_a_study_is_rebuilt_from_rows_with_every_end_and_every_epoch(editor: User) -> None:
    from optuna.trial import TrialState

    search = begun(editor, parallel=5, budget=5)
    done, pruned, failed, stopped, going = step(search)
    train(done, skill=0.9)
    train(pruned, skill=0.4, epochs=2, end=False)
    assert sweeping.prune(pruned, optimiser.Verdict(2, "Pruned after epoch 2: it is hopeless."))
    jobs.end(Job.objects.get(pk=pruned.run.job_id), last=None, exit_status="0")
    job = train(failed, epochs=1, end=False)
    jobs.end(job, last=Failed(message="No memory."), exit_status="1")
    jobs.stop(stopped.run.job, editor)
    train(going, epochs=3, end=False)
    tried = history.tried(search, trials(search))
    assert [one.outcome for one in tried] == ["complete", "pruned", "failed", "stopped", "open"]
    study = optimiser._study(search, 5)
    for one in tried:
        optimiser._retell(study, optimiser._distributions(space.from_json(search.space)), one)
    assert [t.state for t in study.trials] == [
        TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL, TrialState.RUNNING,
    ]  # fmt: skip
    assert [len(t.intermediate_values) for t in study.trials] == [EPOCHS, 2, 1, 0, 3]
    assert study.trials[0].value == Run.objects.get(pk=done.run_id).best["accuracy"]
    assert [t.params for t in study.trials] == [one.params for one in tried]
    # Nothing is kept between questions: whoever asks of the same rows is answered the same.
    assert optimiser.ask(search, tried, 5) == optimiser.ask(search, tried, 5)
    assert optimiser.ask(search, tried, 5) != optimiser.ask(search, tried, 6)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("pruner", "said"),
    [
        ("median", "below the median of the 3 finished trials at that epoch"),
        ("halving", "is not among the best third of the 4 trials that came so far"),
    ],
)
def test_a_hopeless_trial_is_pruned_after_its_grace_and_says_why(
    editor: User, client_of: Callable[[User], Client], pruner: str, said: str
) -> None:
    search = begun(editor, pruner=pruner, grace_epochs=2)
    finish_some(search, [1.0, 1.0, 1.0])
    hopeless = step(search)[-1]
    job = train(hopeless, skill=0.3, epochs=1, end=False)
    step(search)
    assert Job.objects.get(pk=job.pk).state == State.RUNNING  # within its grace
    for event in _told(hopeless, 0.3, 1, 2):
        jobs.record(job, event)
    step(search)
    step(search)
    job.refresh_from_db()
    assert job.state == State.STOPPING
    assert job.reason.startswith("Pruned after epoch 2:")
    assert said in job.reason
    jobs.end(job, last=None, exit_status="0")
    assert job.reason in wording.history(job)[0]["detail"]
    for url in (
        f"/experiments/{search.experiment_id}/table/",
        f"/experiments/runs/{hopeless.run_id}/",
        f"/searches/{search.pk}/",
    ):
        page = client_of(editor).get(url).content.decode()
        assert "Pruned" in page
        assert "Stopped</span>" not in page
    found = step(search)
    assert [t.outcome for t in found] == ["complete"] * 3 + ["pruned", "open"]
    promising = found[-1]
    train(promising, skill=1.1, epochs=3, end=False)
    assert step(search)[-1].judged == 3
    assert Job.objects.get(pk=promising.run.job_id).state == State.RUNNING


@pytest.mark.django_db
def test_a_pruned_trial_that_a_person_resumes_is_theirs(editor: User) -> None:
    search = begun(editor, grace_epochs=1)
    finish_some(search, [1.0, 1.0, 1.0])
    hopeless = step(search)[-1]
    job = train(hopeless, skill=0.3, epochs=2, end=False)
    step(search)
    jobs.end(job, last=None, exit_status="0")
    assert jobs.resume(job, editor)
    for epochs in (3, 4):
        train(hopeless, skill=0.3, epochs=epochs, end=False)
        assert step(search)[3].outcome == "open"


@pytest.mark.django_db
def test_a_trial_that_ended_before_the_verdict_is_not_called_pruned(editor: User) -> None:
    search = begun(editor)
    trial = step(search)[0]
    train(trial)
    assert not sweeping.prune(trial, optimiser.Verdict(2, "Pruned after epoch 2."))
    assert trials(search)[0].outcome == "complete"
    assert Trial.objects.get().pruned_after is None


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_begin_a_trial_once(editor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    search = begun(editor, parallel=1)
    meeting = threading.Barrier(2, timeout=60)
    ask = optimiser.ask
    optimiser.load()

    def ask_together(*arguments: Any) -> dict[str, Any] | None:
        answer = ask(*arguments)
        meeting.wait()  # both have read the same rows, and neither has written
        return answer

    def sweep() -> None:
        sweeping.sweep()
        connections.close_all()

    monkeypatch.setattr(optimiser, "ask", ask_together)
    threads = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [t.number for t in trials(search)] == [0]
    assert Run.objects.count() == Job.objects.count() == 1


@pytest.mark.django_db
def test_parallel_trials_differ_and_never_exceed_what_was_asked(editor: User) -> None:
    search = begun(editor, parallel=3, budget=4)
    assert len(step(search)) == 3
    train(trials(search)[1])
    found = step(search)
    assert len(found) == 4
    assert len({str(t.run.config) for t in found}) == 4
    jobs.stop(found[0].run.job, editor)
    assert len(step(search)) == 4  # stopped ones count


@pytest.mark.django_db
def test_a_small_space_is_tried_out_without_repeating_itself(editor: User) -> None:
    search = begun(editor, space=[FUSION], budget=10)
    found = finish_some(search, [0.9, 1.0, 0.8])
    assert {t.run.config["network"]["fusion"] for t in found} == {"tcffm", "concat", "none"}
    step(search)
    assert (search.state, search.reason) == ("finished", "Every combination has been tried.")


@pytest.mark.django_db
def test_after_three_failures_in_a_row_it_waits_for_a_person(editor: User) -> None:
    search = begun(editor)
    for _ in range(3):
        job = train(step(search)[-1], epochs=1, end=False)
        jobs.end(job, last=Failed(message="No memory: lower the batch size."), exit_status="1")
    step(search)
    assert search.state == "paused"
    assert "3 trials failed one after the other. The last one: No memory" in search.reason
    first, *_ = trials(search)
    first.run.job.delete()  # somebody clears up: what is forgiven goes by numbers, not by how many are left
    assert services.resume(search, editor)
    assert len(step(search)) == 3
    assert search.state == "going"


@pytest.mark.django_db
def test_time_ends_it_and_a_pause_does_not_count(editor: User) -> None:
    search = begun(editor, hours=1.0)
    step(search)
    assert services.pause(search, editor)
    search.refresh_from_db()
    assert Job.objects.get().state == State.PAUSED
    assert search.reason == f"Paused by {editor}."
    before = search.ends_at
    Search.objects.update(changed_at=timezone.now() - timedelta(hours=2))
    search.refresh_from_db()
    assert services.resume(search, editor)
    search.refresh_from_db()
    assert before is not None
    assert search.ends_at is not None
    assert timedelta(hours=1.9) < search.ends_at - before < timedelta(hours=2.1)
    assert Job.objects.get().state == State.QUEUED
    Search.objects.update(ends_at=timezone.now())
    train(trials(search)[0])
    step(search)
    assert (search.state, search.reason) == ("finished", "Its time is over.")
    assert services.extend(search, budget=2)  # longer than its time, since somebody asked
    assert len(step(search)) == 2


@pytest.mark.django_db
def test_a_stopped_search_stops_its_trials_and_can_be_lengthened_once(editor: User) -> None:
    search = begun(editor, parallel=2)
    first, _ = step(search)
    train(first, epochs=2, end=False)
    assert services.stop(search, editor)
    assert not services.stop(search, editor)
    assert {str(s) for s in Job.objects.values_list("state", flat=True)} == {"stopping", "stopped"}
    assert len(step(search)) == 2
    assert services.extend(search, budget=12)
    assert not services.extend(search, budget=12)  # pressed twice
    search.refresh_from_db()
    assert (search.state, search.budget) == ("going", 12)
    with pytest.raises(RefusedError, match="at most"):
        services.extend(search, budget=10_000)


@pytest.mark.django_db
def test_it_waits_when_its_owner_may_no_longer_start_runs(editor: User) -> None:
    search = begun(editor)
    User.objects.filter(pk=editor.pk).update(role="viewer")
    assert step(search) == []
    assert (search.state, search.reason) == ("paused", f"{editor} may no longer start runs.")


@pytest.mark.django_db
def test_importance_is_said_when_enough_is_known(editor: User) -> None:
    search = begun(editor, pruner="none")
    finish_some(search, [0.5, 0.9, 0.7])
    step(search)
    assert search.importance == {}
    finish_some(search, [1.0, 0.8])
    step(search)
    assert search.importance["of"] == 5
    shares = search.importance["shares"]
    assert set(shares) == {"optim.learning_rate", "network.fusion"}
    assert sum(shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "given", "problem"),
    [
        ("optim.learning_rate", {"low": 1e-2, "high": 1e-4}, "end above"),
        ("optim.learning_rate", {"low": 1e-4}, "from where to where"),
        ("optim.learning_rate", {"low": 1e-4, "high": 99.0}, "99"),
        ("optim.weight_decay", {"low": 0.0, "high": 0.1, "log": True}, "above 0"),
        ("optim.batch_size", {"low": 16.5, "high": 64.0}, "whole numbers"),
        ("optim.batch_size", {"words": ["32"]}, "at least two"),
        ("network.fusion", {"low": 0.0, "high": 1.0}, "not both"),
        ("runtime.seed", {"low": 0.0, "high": 9.0}, "cannot be searched"),
        ("data.max_eval", {"low": 0.0, "high": 9.0}, "cannot be searched"),
        ("network.landmark_weights", {"words": ["a", "b"]}, "cannot be searched"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused_in_words(
    name: str, given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        space.dimension_of(CONFIG, name, **given)


FORM = {
    "preset": "small", "name": "Rates", "epochs": "4", "objective": "accuracy", "trials": "8",
    "parallel": "2", "pruner": "median", "grace_epochs": "1", "chooser": "tpe", "seed": "0",
    "setting_0": "optim.learning_rate", "low_0": "1e-4", "high_0": "1e-2", "log_0": "on",
    "setting_1": "optim.batch_size", "words_1": "32, 64", "setting_2": "augment.flip",
    "request_key": "5f0c3f7e-5a0d-4a66-a0a5-000000000001",
}  # fmt: skip


@pytest.mark.django_db
def test_the_form_begins_one_search_and_its_page_sorts_and_steers(
    editor: User, viewer: User, client_of: Callable[[User], Client]
) -> None:
    from tests.synthetic_runs import ready_version

    client, data = client_of(editor), FORM | {"version": str(ready_version(editor).pk)}
    assert "8</dd>" in client.post("/searches/plan/", data).content.decode()
    first, again = client.post("/searches/new/", data), client.post("/searches/new/", data)
    search = Search.objects.get()
    assert first["Location"] == again["Location"] == f"/searches/{search.pk}/"
    assert [row["kind"] for row in search.space] == ["float", "choice", "choice"]
    assert search.config["optim"]["epochs"] == 4
    assert "The next trial is being chosen" in client.get(f"/searches/{search.pk}/").content.decode()
    for trial in (step(search) + step(search))[:2]:
        train(trial, skill=0.6 + 0.3 * trial.number)
    step(search)
    page = client.get(f"/searches/{search.pk}/results/?sort=-value")
    assert [row.trial.number for row in page.context["rows"]] == [1, 0, 2, 3]
    by_rate = client.get(f"/searches/{search.pk}/?sort=optim.learning_rate").context["rows"]
    rates = [row.params[0] for row in by_rate]
    assert rates == sorted(rates)
    points = client.get(f"/searches/{search.pk}/points/").json()
    assert points["outcome"] == ["complete", "complete", "open", "open"]
    assert [setting["is_log"] for setting in points["settings"]] == [True, False, False]
    assert points["settings"][2]["choices"] == ["yes", "no"]
    assert "test" not in points
    experiment = client.get(f"/experiments/{search.experiment_id}/").content.decode()
    assert f"/searches/{search.pk}/" in experiment
    assert (
        f"/searches/{search.pk}/"
        in client.get(f"/experiments/runs/{trials(search)[0].run_id}/").content.decode()
    )
    assert client_of(viewer).post(f"/searches/{search.pk}/stop/").status_code == 403
    assert (
        client.post(f"/searches/{search.pk}/confirm/")["Location"] == f"/experiments/{search.experiment_id}/"
    )
    assert Run.objects.filter(trial=None).count() == 3
    client.post(f"/searches/{search.pk}/stop/")
    search.refresh_from_db()
    assert search.state == "stopped"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"setting_1": "optim.learning_rate"}, "already varies above"),
        ({"setting_0": ""}, "Choose the setting that varies so."),
        ({"low_0": "1"}, "end above where it begins"),
        ({"words_1": "32, many"}, "is not a whole number"),
        ({"trials": "0"}, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_with_the_form_is_said_and_begins_nothing(
    editor: User, client_of: Callable[[User], Client], changes: dict[str, str], said: str
) -> None:
    from tests.synthetic_runs import ready_version

    data = FORM | {"version": str(ready_version(editor).pk)} | changes
    answer = client_of(editor).post("/searches/new/", data)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not Search.objects.exists()


@pytest.mark.django_db
def test_charts_are_shown_from_the_first_figure_on(editor: User, client_of: Callable[[User], Client]) -> None:
    search, client = begun(editor), client_of(editor)
    charts = re.compile(r'<div id="search-charts"[^>]* hidden>')
    [trial] = step(search)
    assert charts.search(client.get(f"/searches/{search.pk}/").content.decode()), (
        "a trial, but no figure of it"
    )
    train(trial, skill=0.6)
    assert not charts.search(client.get(f"/searches/{search.pk}/").content.decode())


@pytest.mark.django_db
def test_a_trial_that_others_may_not_see_is_not_in_their_table(
    editor: User, viewer: User, client_of: Callable[[User], Client]
) -> None:
    search = begun(editor, parallel=2)
    hidden = step(search)[0]
    Run.objects.filter(pk=hidden.run_id).update(private=True)
    rows = client_of(viewer).get(f"/searches/{search.pk}/").context["rows"]
    assert [row.trial.number for row in rows] == [1]


def test_the_web_process_does_not_pay_for_optuna() -> None:
    code = (
        "import sys, django; django.setup(); import webapp.asgi, webapp.urls, webapp.searches.views; "
        "import workers.tasks, workers.reaper; assert 'optuna' not in sys.modules"
    )
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, cwd=Path(__file__).parents[2])


def _told(trial: Trial, skill: float, start: int, stop: int) -> list[Any]:
    from tests.synthetic_runs import Story

    story = Story(epochs=EPOCHS, steps=12, skill=skill, seed=trial.number)
    return [event for event in story.told(range(start, stop)) if event.kind == "epoch"]
