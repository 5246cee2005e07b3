"""A form that arrives from two windows in the same moment: both get what was made, which is one thing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test import Client

from tests.synthetic_runs import ready_version
from tests.webapp import test_run_form, test_sweeps
from webapp import once
from webapp.accounts.models import User
from webapp.experiments import services
from webapp.experiments.models import Experiment, Run
from webapp.jobs.models import Job


def both_find_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither may write before both have looked: the moment in which two requests cross."""
    looked, found_at_first = threading.Barrier(2, timeout=60), services._made_with
    seen = threading.local()

    def find(*arguments: Any) -> Run | None:
        found = found_at_first(*arguments)
        if not getattr(seen, "once", False):
            seen.once = True
            assert found is None
            looked.wait()
        return found

    monkeypatch.setattr(services, "_made_with", find)


def at_once(post: Callable[[], Any]) -> list[Any]:
    answers: list[Any] = []

    def send() -> None:
        answers.append(post())
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return answers


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["runs", "sweeps"])
def test_the_loser_is_led_to_what_the_winner_made(
    what: str, editor: User, client_of: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = ready_version(editor)
    sent: dict[str, Callable[..., dict[str, Any]]] = {"runs": test_run_form.sent, "sweeps": test_sweeps.sent}
    form = sent[what](version=version.pk, name="crossed")
    clients = iter([client_of(editor), client_of(editor)])
    both_find_nothing(monkeypatch)
    answers = at_once(lambda: next(clients).post(f"/experiments/{what}/new/", form))
    assert [answer.status_code for answer in answers] == [302, 302]
    assert len({answer["Location"] for answer in answers}) == 1
    assert Experiment.objects.count() == 1
    assert Run.objects.count() == Job.objects.count() == (1 if what == "runs" else 6)


def test_another_fault_is_not_taken_for_a_race(db: None) -> None:
    def broken() -> None:
        raise IntegrityError("something else")

    with pytest.raises(IntegrityError, match="something else"):
        once.made_once(lambda: None, broken)
