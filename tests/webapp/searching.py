"""Searches for tests: made, taken further, and their trials played by made-up workers."""

from __future__ import annotations

import uuid
from typing import Any

from mmfrm.presets import presets
from mmfrm.settings import replace
from tests.synthetic_runs import Story, play, ready_version
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job
from webapp.searches import services, space, sweeping
from webapp.searches.models import Search, Trial

EPOCHS = 6
CONFIG = replace(presets()["small"], {"optim.epochs": EPOCHS})
RATE = space.dimension_of(CONFIG, "optim.learning_rate", low=1e-4, high=1e-2, log=True)
FUSION = space.dimension_of(CONFIG, "network.fusion")


def begun(owner: User, **changes: Any) -> Search:
    """A search over the learning rate and the fusion, before its first trial."""
    values: dict[str, Any] = {
        "space": [RATE, FUSION],
        "objective": "accuracy",
        "budget": 10,
        "config": CONFIG,
    }
    values |= {"name": "Which rate?", "preset": "small", "request_key": uuid.uuid4()} | changes
    version = values.pop("version", None) or DatasetVersion.objects.first() or ready_version(owner)
    return services.start_search(owner, version=version, **values)


def step(search: Search) -> list[Trial]:
    """One sweep; then its trials."""
    sweeping.sweep()
    search.refresh_from_db()
    return trials(search)


def trials(search: Search) -> list[Trial]:
    return list(Trial.objects.filter(search=search).select_related("run__job", "search").order_by("number"))


def train(trial: Trial, *, skill: float = 1.0, epochs: int = EPOCHS, end: bool = True) -> Job:
    """Let a made-up worker train a trial; `skill` decides how well it goes."""
    story = Story(epochs=EPOCHS, steps=12, skill=skill, seed=trial.number)
    return play(trial.run, story, range(epochs), end=end)


def finish_some(search: Search, skills: list[float]) -> list[Trial]:
    """Trials one after the other, each to its end."""
    for skill in skills:
        train(step(search)[-1], skill=skill)
    return trials(search)
