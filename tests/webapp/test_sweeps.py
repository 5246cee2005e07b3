"""Many runs out of one form: planned, limited, started all or none, compared over their seeds."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from mmfrm.presets import presets
from mmfrm.schema import ConfigError
from tests.synthetic_runs import Story, keep_a_model, play, queued_run, ready_version
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.experiments import services, steering, sweeps, training
from webapp.experiments.comparison import compare, mean_of
from webapp.experiments.forecast import _dealt
from webapp.experiments.models import Experiment, Run, Steering
from webapp.jobs import roster
from webapp.jobs.models import Job

NEW = "/experiments/sweeps/new/"
PLAN = "/experiments/sweeps/plan/"
SMALL = presets()["small"]


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def sent(**changes: Any) -> dict[str, Any]:
    """An ablation of six runs: three seeds, with and without RFLoss."""
    values = {"preset": "small", "request_key": str(uuid.uuid4()), "name": "Does RFLoss help?", "epochs": 2}
    values |= {"loss.rfloss": ["off", "intended"], "seeds": "0-2"}
    return values | {name.replace("__", "."): value for name, value in changes.items()}


def test_words_become_values_and_ranges_count_both_ends() -> None:
    assert sweeps.split_values("0-3") == ["0", "1", "2", "3"]
    assert sweeps.split_values("1e-3, 3e-4; 1") == ["1e-3", "3e-4", "1"]
    with pytest.raises(ConfigError, match="more than 100"):
        sweeps.split_values("0-100")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("optim.epochs", "two", "'two' is not a whole number"),
        ("augment.flip", "perhaps", "neither yes nor no"),
        ("data.val_fraction", "0.9", "0.9"),
        ("network.fusion", "sum", "sum"),
        ("network.landmark_weights", "/etc/passwd", "no such setting"),
        ("optim.epochs", "", "at least one"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_words(name: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        sweeps.axis_of(SMALL, name, text.split())


def test_the_plan_is_every_combination_with_seeds_as_neighbours() -> None:
    axes = [
        sweeps.axis_of(SMALL, "network.fusion", ["tcffm", "none"]),
        sweeps.axis_of(SMALL, "runtime.seed", ["0", "1", "1"]),
    ]
    planned = sweeps.plan(SMALL, axes)
    assert [one.label for one in planned] == [
        "tcffm, seed 0",
        "tcffm, seed 1",
        "none, seed 0",
        "none, seed 1",
    ]
    assert [(p.config.network.fusion, p.config.runtime.seed) for p in planned][2] == ("none", 0)


@pytest.mark.django_db
def test_one_form_starts_six_runs_in_one_experiment_and_twice_sent_no_more(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    client, data = client_of(editor), sent(version=ready_version(editor).pk)
    first, again = client.post(NEW, data), client.post(NEW, data)
    experiment = Experiment.objects.get()
    assert first["Location"] == again["Location"] == f"/experiments/{experiment.pk}/"
    assert experiment.name == "Does RFLoss help?"
    runs = list(experiment.runs.order_by("job__position"))
    assert [(r.train_config.loss.rfloss, r.train_config.runtime.seed) for r in runs] == [
        (mode, seed) for mode in ("off", "intended") for seed in range(3)
    ]
    assert {run.train_config.optim.epochs for run in runs} == {2}
    assert Job.objects.filter(state=Job.State.QUEUED, queue="gpu").count() == 6


@pytest.mark.django_db
def test_a_grid_varies_any_setting_beside_the_ablation(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    data = sent(version=ready_version(editor).pk, seeds="4", axis_0="augment.flip", values_0="yes no")
    assert client_of(editor).post(NEW, data).status_code == 302
    assert sorted((r.train_config.augment.flip, r.train_config.loss.rfloss) for r in Run.objects.all()) == [
        (False, "intended"),
        (False, "off"),
        (True, "intended"),
        (True, "off"),
    ]


@pytest.mark.django_db
def test_all_may_begin_with_the_best_weights_of_an_earlier_run(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    version = ready_version(editor)
    earlier = queued_run(editor, version, name="pretrained")
    play(earlier, Story(epochs=2, steps=12), range(2), end=True)
    keep_a_model(earlier)
    client_of(editor).post(NEW, sent(version=version.pk, start_from=f"run:{earlier.pk}"))
    made = list(Run.objects.exclude(pk=earlier.pk))
    assert len(made) == 6
    assert {training.prepare(run.job).start_from for run in made} == {str(earlier.folder / "model")}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": "0-99"}, "These are 200 runs; at most 100 are started at once."),
        ({"seeds": "zero"}, "&#x27;zero&#x27; is not a whole number."),
        ({"values_1": "1, 2"}, "Choose the setting that takes these values."),
        ({"axis_0": "optim.epochs"}, "Name at least one value."),
        ({"axis_0": "optim.gamma", "values_0": "0.9", "axis_1": "optim.gamma", "values_1": "0.8"}, "already"),
    ],
)
def test_what_cannot_be_planned_starts_nothing_and_says_why(
    editor: User, client_of: Callable[[User], Client], changes: dict[str, str], said: str
) -> None:
    data = sent(version=ready_version(editor).pk) | changes
    answer = client_of(editor).post(NEW, data)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not Experiment.objects.exists()


@pytest.mark.django_db
def test_all_start_or_none_does(editor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = sweeps.plan(SMALL, [sweeps.axis_of(SMALL, "runtime.seed", ["0", "1", "2"])])
    start = services._make_run
    started: list[Run] = []

    def refuse_the_third(*args: Any, **values: Any) -> Run:
        if len(started) == 2:
            raise RefusedError("The disk is full.")
        started.append(start(*args, **values))
        return started[-1]

    monkeypatch.setattr(services, "_make_run", refuse_the_third)
    with pytest.raises(RefusedError):
        services.start_sweep(
            editor, version=ready_version(editor), preset="small", planned=planned, name="n",
            request_key=uuid.uuid4(),
        )  # fmt: skip
    assert len(started) == 2
    assert not Run.objects.exists()
    assert not Experiment.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_the_plan_counts_estimates_and_starts_nothing(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    version = ready_version(editor)
    client = client_of(editor)
    page = client.post(PLAN, sent(version=version.pk)).content.decode()
    assert "The 6 runs" in page
    assert "Not known yet: first run of this size on this machine." in page
    earlier = queued_run(editor, version)  # preset small, 345 s an epoch
    play(earlier, Story(epochs=2, steps=12), range(2), end=True)
    answer = client.post(PLAN, sent(version=version.pk))
    total = answer.context["total"]
    assert (total.runs, total.seconds, total.memory_bytes) == (6, 6 * 2 * 345.0, 1_480_000_000)
    assert "Not known yet" not in answer.content.decode()
    other = client.post(PLAN, sent(version=version.pk, axis_0="network.width", values_0="0.5"))
    assert other.context["total"].seconds is None
    assert Run.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("host", "is_known"), [("lab", True), ("other", False)])
def test_a_cost_is_learned_from_the_machine_whose_worker_lives(
    editor: User, client_of: Callable[[User], Client], host: str, is_known: bool
) -> None:
    version = ready_version(editor)
    play(queued_run(editor, version), Story(epochs=2, steps=12), range(2), end=True)  # by gpu-1@lab
    for pid in (7, 8):  # started anew since
        roster.seen(name=f"gpu-{pid}@{host}", queue="gpu", host=host, pid=pid, facts={})
    total = client_of(editor).post(PLAN, sent(version=version.pk)).context["total"]
    assert total.workers == 2
    assert total.seconds == (6 * 2 * 345.0 / 2 if is_known else None)


def seconds(count: int, *, workers: int, **more: Any) -> tuple[float | None, float | None]:
    """When runs of 100 s start and end. `left` are of running ones, `waiting` of those before them."""
    free = [*more.get("left", ()), *[0.0] * workers][:workers]
    return _dealt(free, more.get("waiting", ()), [100.0] * count)


def test_runs_are_dealt_out_to_workers_behind_what_waits() -> None:
    assert seconds(1, workers=1) == (0.0, 100.0)
    assert seconds(3, workers=2) == (0.0, 200.0)
    assert seconds(1, workers=1, left=[30.0], waiting=[50.0, 20.0]) == (100.0, 200.0)
    assert seconds(2, workers=2, left=[30.0, 80.0], waiting=[10.0]) == (40.0, 180.0)
    assert seconds(1, workers=2, left=[float("inf")]) == (0.0, 100.0)  # the other one is free
    assert seconds(1, workers=1, waiting=[None]) == (None, None)
    assert _dealt([0.0], [], [None]) == (0.0, None)


@pytest.mark.django_db
def test_the_plan_says_when_it_would_start_and_be_done_behind_the_queue(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    version = ready_version(editor)
    client = client_of(editor)
    play(queued_run(editor, version), Story(epochs=2, steps=12), range(2), end=True)  # 345 s an epoch
    going = play(queued_run(editor, version), Story(epochs=2, steps=12), range(1))
    Job.objects.filter(pk=going.pk).update(seconds_left=40.0)
    queued_run(editor, version, changes={"optim.epochs": 1})
    nobody = client.post(PLAN, sent(version=version.pk)).context["total"].forecast
    assert (nobody.ahead, nobody.starts_in) == (1, None)  # without a worker nothing goes on
    roster.seen(name="gpu-1@lab", queue="gpu", host="lab", pid=1, facts={})
    answer = client.post(PLAN, sent(version=version.pk))
    when = answer.context["total"].forecast
    assert (when.ahead, when.unknown, when.starts_in) == (2, 0, 40.0 + 345.0)
    assert when.ends_in == when.starts_in + 6 * 2 * 345.0
    assert "in about 6 min 25 s" in answer.content.decode()
    queued_run(editor, version, changes={"network.width": 0.5})
    answer = client.post(PLAN, sent(version=version.pk))
    assert answer.context["total"].forecast.starts_in is None
    assert "of which 1 of a size that has not run here yet" in answer.content.decode()


@pytest.mark.django_db
def test_the_plan_says_what_is_read_from_the_data_set(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    version = ready_version(editor)
    version.counts = {"train": {"a": 900, "b": 130, "": 50}, "test": {"a": 40}}
    version.report = {"duplicates": {"leaking_exact": 20, "leaking_near": 10}}
    version.save()
    client = client_of(editor)
    reading = client.post(PLAN, sent(version=version.pk)).context["reading"]
    assert dict(reading.counts) == {"train": 900, "val": 100, "test": 40}
    assert reading.leaks == 30
    kept = sent(version=version.pk, axis_0="data.leave_out_leaks", values_0="no")
    assert "are trained on" in client.post(PLAN, kept).content.decode()


def test_the_interval_of_a_mean_is_students() -> None:
    mean = mean_of([0.80, 0.82, 0.84])
    assert mean is not None
    assert mean.value == pytest.approx(0.82)
    assert mean.half == pytest.approx(4.303 * 0.02 / 3**0.5)
    alone = mean_of([0.5])
    assert alone is not None
    assert alone.half is None
    assert mean_of([]) is None


@pytest.mark.django_db
def test_runs_are_compared_by_cell_over_their_seeds(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    data = sent(version=ready_version(editor).pk)
    client_of(editor).post(NEW, data)
    experiment = Experiment.objects.get()
    for run in experiment.runs.all():
        config = run.train_config
        if (config.loss.rfloss, config.runtime.seed) == ("off", 2):
            continue  # still waits
        skill = 1.0 if config.loss.rfloss == "intended" else 0.8
        play(run, Story(epochs=2, steps=12, seed=config.runtime.seed, skill=skill), range(2), end=True)
    found = compare(list(experiment.runs.select_related("job", "version__dataset")))
    assert (found.titles, found.split) == (("RFLoss",), "test")
    assert [(cell.values, cell.finished, cell.runs) for cell in found.cells] == [
        (("intended",), 3, 3),
        (("off",), 2, 3),
    ]
    best = found.cells[0].means[0]
    tests = [r.test["accuracy"] for r in experiment.runs.all() if r.config["loss"]["rfloss"] == "intended"]
    assert best == mean_of(tests)
    page = client_of(editor).get(f"/experiments/{experiment.pk}/").content.decode()
    assert "Compared" in page


@pytest.mark.django_db
def test_a_run_that_was_steered_is_no_longer_a_seed_of_its_cell(editor: User) -> None:
    version, experiment = ready_version(editor), Experiment.objects.create(owner=editor, name="Three seeds")
    longer, slower, _ = (
        queued_run(editor, version, experiment=experiment, changes={"runtime.seed": seed})
        for seed in range(3)
    )
    Run.objects.filter(pk=longer.pk).update(extended=20)
    order = steering.steer(slower, editor, do="scale_rate", value=0.5, request_key=uuid.uuid4())
    found = compare(list(experiment.runs.select_related("job", "version__dataset")))
    assert found.titles == ("Epochs",), "an order that nobody has obeyed yet changes nothing"
    Steering.objects.filter(pk=order.pk).update(step=11, obeyed_at=timezone.now())
    found = compare(list(experiment.runs.select_related("job", "version__dataset")))
    assert found.titles == ("Epochs", "Learning rate as ordered")
    assert {(c.values[1], c.runs) for c in found.cells} == {
        ("as planned", 1),
        (f"{order} from step 12 on", 1),
    }
