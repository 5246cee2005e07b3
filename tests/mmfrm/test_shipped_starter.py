"""The models that ship: whole, small, and as good as their cards say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmfrm.card import temperature_of
from mmfrm.checkpoint import load_model
from mmfrm.config import DataConfig
from mmfrm.data import open_faces
from mmfrm.engines import choice
from mmfrm.engines.check import softmax
from mmfrm.engines.model_files import ModelFiles
from mmfrm.shipped import QUICK, STARTER

FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
SOURCE = Path(__file__).resolve().parents[3] / "shared/data/ferplus.zip"
MOST_BYTES = 20e6  # of all weights that ship: a package that is fetched in seconds


both = pytest.mark.parametrize("shipped", [STARTER, QUICK], ids=["starter", "quick"])


@both
def test_it_labels_eight_expressions_and_its_card_says_how_well(shipped: Path) -> None:
    loaded = load_model(shipped)
    assert loaded.classes == FERPLUS
    card = json.loads((shipped / "model.json").read_text())["card"]
    assert temperature_of(card) is not None
    assert card["data"]["name"] == "FERPlus"
    test = card["figures"]["test"]
    assert test["count"] > 3000
    assert test["accuracy_low"] < test["accuracy"] < test["accuracy_high"]
    assert [one["name"] for one in test["classes"]] == list(FERPLUS)
    assert "/" not in json.dumps(card["recipe"]), "no place is named"


def test_what_ships_is_small() -> None:
    weights = [path for path in STARTER.parent.rglob("*.safetensors") if "engines" not in path.parts]
    assert len(weights) == 4  # landmarks, face detector, starter, quick
    assert sum(path.stat().st_size for path in weights) <= MOST_BYTES
    int8 = list(QUICK.glob("engines/*/openvino-int8/*"))  # the same weights again, in a quarter of the bits
    assert {path.name for path in int8} == {"model.xml", "model.bin"}
    assert sum(path.stat().st_size for path in int8) < (QUICK / "model.safetensors").stat().st_size


@both
def test_a_reduced_precision_that_ships_was_checked_on_held_out_faces(shipped: Path) -> None:
    checks = ModelFiles(shipped).checks
    assert checks["openvino-bf16"]["is_accurate"]
    assert all(check["faces"] > 3000 for check in checks.values())


def test_the_int8_version_of_the_quick_one_answers_as_full_precision_does() -> None:
    files, faces = ModelFiles(QUICK), choice.noise(64)
    faces[:32] = np.linspace(0, 255, 112, dtype=np.uint8)[None, :, None, None]  # half noise, half a ramp
    answers = []
    for name in ("openvino-fp32", "openvino-int8"):
        engine = choice.make_engine(files, name, threads=1, batch_size=32)
        answers.append(softmax(engine.logits(faces)))
        engine.close()
    assert files.is_accurate("openvino-int8")
    assert np.abs(answers[0] - answers[1]).max() < 0.25


@pytest.mark.slow
@pytest.mark.skipif(not SOURCE.exists(), reason="real faces are absent (../shared)")
@both
def test_it_is_as_good_as_its_card_says_on_held_out_faces(shipped: Path) -> None:
    said = json.loads((shipped / "model.json").read_text())["card"]["figures"]["test"]
    split = open_faces(str(SOURCE), DataConfig(max_eval=500)).splits["test"]
    engine = choice.make_engine(ModelFiles(shipped), "torch-fp32", threads=1, batch_size=50)
    right = 0
    for first in range(0, len(split), 50):
        images, labels = split.batch(range(first, min(first + 50, len(split))))
        logits = engine.logits(images.permute(0, 2, 3, 1).contiguous().numpy())
        right += int((logits.argmax(1) == labels.numpy()).sum())
    # 500 of 3,153 faces: three standard errors of a share are 5 to 6 points.
    assert right / len(split) == pytest.approx(said["accuracy"], abs=0.06)
