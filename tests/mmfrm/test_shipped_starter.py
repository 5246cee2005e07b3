"""The starter model that ships: whole, small, and as good as its card says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmfrm.card import temperature_of
from mmfrm.checkpoint import load_model
from mmfrm.config import DataConfig
from mmfrm.data import open_faces
from mmfrm.engines import choice
from mmfrm.engines.model_files import ModelFiles
from mmfrm.shipped import STARTER

FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
SOURCE = Path(__file__).resolve().parents[3] / "shared/data/ferplus.zip"
MOST_BYTES = 20e6  # of all weights that ship: a package that is fetched in seconds


def test_it_labels_eight_expressions_and_its_card_says_how_well() -> None:
    loaded = load_model(STARTER)
    assert loaded.classes == FERPLUS
    card = json.loads((STARTER / "model.json").read_text())["card"]
    assert temperature_of(card) is not None
    assert card["data"]["name"] == "FERPlus"
    test = card["figures"]["test"]
    assert test["count"] > 3000
    assert test["accuracy_low"] < test["accuracy"] < test["accuracy_high"]
    assert [one["name"] for one in test["classes"]] == list(FERPLUS)


def test_what_ships_is_small_and_names_no_place() -> None:
    weights = [path for path in STARTER.parent.rglob("*.safetensors") if "engines" not in path.parts]
    assert len(weights) == 3
    assert sum(path.stat().st_size for path in weights) <= MOST_BYTES
    assert "/" not in json.dumps(json.loads((STARTER / "model.json").read_text())["card"]["recipe"])


@pytest.mark.slow
@pytest.mark.skipif(not SOURCE.exists(), reason="real faces are absent (../shared)")
def test_it_is_as_good_as_its_card_says_on_held_out_faces() -> None:
    said = json.loads((STARTER / "model.json").read_text())["card"]["figures"]["test"]
    split = open_faces(str(SOURCE), DataConfig(max_eval=500)).splits["test"]
    engine = choice.make_engine(ModelFiles(STARTER), "torch-fp32", threads=1, batch_size=50)
    right = 0
    for first in range(0, len(split), 50):
        images, labels = split.batch(range(first, min(first + 50, len(split))))
        logits = engine.logits(images.permute(0, 2, 3, 1).contiguous().numpy())
        right += int((logits.argmax(1) == labels.numpy()).sum())
    # 500 of 3,153 faces: three standard errors of a share are 5 to 6 points.
    assert right / len(split) == pytest.approx(said["accuracy"], abs=0.06)
