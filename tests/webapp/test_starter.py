"""The models that ship with the program."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.urls import reverse

from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.registry import services, starter
from webapp.registry.models import Model

pytestmark = pytest.mark.django_db
CARD: dict[str, Any] = {
    "temperature": 1.2,
    "data": {"name": "FERPlus", "images": 10, "counts": {"train": 8, "test": 2}, "fingerprint": "f" * 64},
    "recipe": {"preset": "small", "size": "small", "fusion": "tcffm", "epochs": 1, "seed": 0, "changes": []},
    "versions": {"torch": "2.13.0"},
    "figures": {
        "val": {"accuracy": 0.8, "epoch": 0},
        "test": {
            "count": 2,
            "accuracy": 0.5,
            "mean_class_accuracy": 0.5,
            "classes": [
                {"name": "neutral", "count": 1, "recall": 1.0},
                {"name": "contempt", "count": 8, "recall": 0.125},
            ],
        },
    },
}


def describe(folder: Path) -> None:
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    said = {"classes": ["neutral", "contempt"], "card": CARD, "weights_sha256": digest}
    (folder / "model.json").write_text(json.dumps(said))


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "starter"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    describe(folder)
    monkeypatch.setattr(starter, "STARTER", folder)
    monkeypatch.setattr(starter, "QUICK", tmp_path / "no quick one")
    return folder


def ship_quick(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = beside.with_name("quick")
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"few weights")
    describe(folder)
    monkeypatch.setattr(starter, "QUICK", folder)


def test_one_click_on_the_labelling_page_brings_it_and_goes_on_to_label(
    editor: User, client_of: Callable[[User], Client]
) -> None:
    client = client_of(editor)
    assert "Use the starter model" in client.get(reverse("labeling:new")).text
    answer = client.post(reverse("registry:starter"), {"then": "label"}, follow=True)
    model = Model.objects.get()
    assert answer.redirect_chain[-1][0] == f"{reverse('labeling:new')}?model=model:{model.pk}"
    assert f'value="model:{model.pk}" selected' in answer.text
    assert "Use the starter model" not in answer.text
    assert (model.folder / "model.safetensors").read_bytes() == b"weights"
    page = client.get(reverse("registry:model", args=[model.pk])).text
    assert "It misses most faces that show contempt (12% of 8 test faces)." in page


def test_asked_twice_it_is_there_once_and_after_a_deletion_it_is_offered_again(editor: User) -> None:
    model = starter.adopt(editor)
    assert starter.adopt(editor) == model
    assert starter.offered() == []
    services.delete(model, editor)
    assert [offer.kind.key for offer in starter.offered()] == ["starter"]
    assert starter.adopt(editor).pk != model.pk


def test_a_newer_one_is_offered_beside_the_earlier_which_stays(
    editor: User, client_of: Callable[[User], Client], shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = starter.adopt(editor)
    newer = shipped.with_name("newer")
    shutil.copytree(shipped, newer)
    (newer / "model.safetensors").write_bytes(b"better weights")
    describe(newer)
    monkeypatch.setattr(starter, "STARTER", newer)
    client = client_of(editor)
    assert "Use the newer starter model" in client.get(reverse("registry:index")).text
    client.post(reverse("registry:starter"))
    second = Model.objects.exclude(pk=first.pk).get()
    assert (second.name, first.name) == ("Starter model 2", "Starter model")
    assert (first.folder / "model.safetensors").read_bytes() == b"weights"
    assert (second.folder / "model.safetensors").read_bytes() == b"better weights"
    assert starter.offered() == []


def test_the_quick_one_comes_with_the_starter_which_is_chosen_first(
    editor: User, client_of: Callable[[User], Client], shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_quick(shipped, monkeypatch)
    client = client_of(editor)
    assert "Use these models" in client.get(reverse("labeling:new")).text
    answer = client.post(reverse("registry:starter"), {"then": "label"}, follow=True)
    names = {model.name: model for model in Model.objects.all()}
    assert set(names) == {"Starter model", "Quick model"}
    assert f'value="model:{names["Starter model"].pk}" selected' in answer.text
    assert (names["Quick model"].folder / "model.safetensors").read_bytes() == b"few weights"
    plain = client.get(reverse("labeling:new")).text
    assert plain.index("Starter model") < plain.index("Quick model")
    assert "starter-offer" not in plain


def test_a_lab_that_has_the_starter_only_is_offered_the_quick_one_which_is_no_newer_starter(
    editor: User, client_of: Callable[[User], Client], shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter.adopt(editor)
    ship_quick(shipped, monkeypatch)
    assert [(offer.kind.key, offer.is_newer) for offer in starter.offered()] == [("quick", False)]
    client = client_of(editor)
    assert "Use the quick model" in client.get(reverse("registry:index")).text
    client.post(reverse("registry:starter"))
    assert sorted(Model.objects.values_list("name", flat=True)) == ["Quick model", "Starter model"]


@pytest.mark.django_db(transaction=True)
def test_a_lab_that_has_the_first_one_is_offered_the_next() -> None:
    before = [("registry", "0006_scores_with_what_filters_ask")]
    after = [("registry", "0009_shipped_as")]
    executor = MigrationExecutor(connection)
    executor.migrate(before)
    try:
        old = executor.loader.project_state(before).apps
        owner = old.get_model("accounts", "User").objects.create(username="ada")
        for name, is_shipped in (("Starter model", True), ("Mine", False), ("Hers", False)):
            old.get_model("registry", "Model").objects.create(
                name=name, shipped=is_shipped, owner=owner, classes=["neutral"]
            )
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(after)
    assert dict(Model.objects.values_list("name", "shipped")) == {
        "Starter model": "earlier",
        "Mine": "",
        "Hers": "",
    }
    assert starter.offered()[0].is_newer


def test_where_none_ships_nothing_is_offered(
    editor: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "STARTER", tmp_path / "nothing")
    assert starter.offered() == []
    with pytest.raises(RefusedError, match="No starter model"):
        starter.adopt(editor)


def test_an_adoption_leaves_nothing_half_done(editor: User) -> None:
    model = starter.adopt(editor)
    starter.adopt(editor)
    assert list(model.folder.parent.glob(".*")) == []
