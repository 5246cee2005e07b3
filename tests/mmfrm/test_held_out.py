"""A model is judged on faces that its own training held out, or the doubt is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmfrm import compare, evaluate, export
from mmfrm.checkpoint import save_model
from mmfrm.config import DataConfig
from mmfrm.control import Control
from mmfrm.data import Faces, open_faces
from mmfrm.events import Event, Notice, Progress
from mmfrm.held_out import carving_of
from mmfrm.jobs import CompareJob, EvaluateJob, ExportJob
from mmfrm.nn import build_network
from tests.mmfrm.sources import png, write_zip
from tests.mmfrm.training import smallest

CLASSES = ("anger", "happiness")
OWN: dict[str, Any] = {"val_fraction": 0.2, "split_seed": 7}  # how the training drew its splits


@pytest.fixture(scope="module")
def unsplit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures that nobody put into splits."""
    files = {f"{CLASSES[i % 2]}/{i}.png": png(i) for i in range(60)}
    return write_zip(tmp_path_factory.mktemp("unsplit") / "faces.zip", files)


def model(folder: Path, card: dict[str, Any]) -> Path:
    config = smallest().network
    torch.manual_seed(0)
    save_model(folder, build_network(config, len(CLASSES)), classes=CLASSES, config=config, card=card)
    return folder


def card_of(data: Path, **carving: Any) -> dict[str, Any]:
    fingerprint = open_faces(data, DataConfig()).fingerprint
    return {"training": {"data": {**OWN, **carving}}, "data_fingerprint": fingerprint}


def warnings(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and event.level == "warning"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What every open_faces gave as test faces, by name."""
    seen: list[list[str]] = []

    def spying(source: str | Path, config: DataConfig, **more: Any) -> Faces:
        faces = open_faces(source, config, **more)
        seen.append(faces.splits["test"].names)
        return faces

    for module in (evaluate, compare, export):
        monkeypatch.setattr(module, "open_faces", spying)
    return seen


def test_the_test_faces_are_those_of_the_models_own_training(
    tmp_path: Path, unsplit: Path, opened: list[list[str]]
) -> None:
    own = model(tmp_path / "own", card_of(unsplit))
    held_out = open_faces(unsplit, DataConfig(**OWN)).splits["test"].names
    assert held_out != open_faces(unsplit, DataConfig()).splits["test"].names
    for name in ("evaluated", "compared", "exported"):
        (tmp_path / name).mkdir()
    job = EvaluateJob(model=str(own), data=str(unsplit))
    told = list(evaluate.evaluate(tmp_path / "evaluated", job, Control()))
    pair = CompareJob(before=str(own), after=str(own), data=str(unsplit))
    told += compare.compare(tmp_path / "compared", pair, Control())
    exporting = ExportJob(model=str(own), data=str(unsplit))
    for event in export.export(tmp_path / "exported", exporting, Control()):
        told.append(event)
        if isinstance(event, Progress) and event.phase == "proving ONNX":
            break  # what comes takes long, and reads no more faces
    assert opened == [held_out] * 3
    assert not [text for text in warnings(told) if "knows" in text or "may know" in text]


def test_a_model_that_may_know_the_faces_is_told_of(tmp_path: Path, unsplit: Path) -> None:
    strange = model(tmp_path / "strange", card_of(unsplit) | {"data_fingerprint": "of other data"})
    (tmp_path / "evaluated").mkdir()
    job = EvaluateJob(model=str(strange), data=str(unsplit))
    [text] = warnings(list(evaluate.evaluate(tmp_path / "evaluated", job, Control())))
    assert "may know some of them" in text


def test_an_earlier_model_that_learnt_from_the_test_faces_is_told_of(tmp_path: Path, unsplit: Path) -> None:
    before = model(tmp_path / "before", card_of(unsplit, split_seed=1))
    after = model(tmp_path / "after", card_of(unsplit))
    (tmp_path / "compared").mkdir()
    job = CompareJob(before=str(before), after=str(after), data=str(unsplit))
    [text] = warnings(list(compare.compare(tmp_path / "compared", job, Control())))
    assert "drew another" in text


@pytest.mark.parametrize("card", [{}, {"training": None}, {"training": {"data": 3}}, {"training": {}}])
def test_a_card_that_says_nothing_leaves_the_settings_as_they_are(card: dict[str, Any]) -> None:
    assert carving_of(card) == {}
