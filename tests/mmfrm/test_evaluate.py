"""Models measured on any data set: mappings between vocabularies, flip averaging, figures on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmfrm.checkpoint import load_model, save_model
from mmfrm.config import DataConfig, RuntimeConfig
from mmfrm.control import Control
from mmfrm.data import FaceSplit, open_faces
from mmfrm.evaluate import answer, evaluate, mapped
from mmfrm.events import Evaluated, Event, Finished, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.jobs import EvaluateJob
from mmfrm.nn import build_network
from mmfrm.runtime import prepare
from mmfrm.schema import ConfigError
from tests.mmfrm.training import drawn_faces, smallest

__all__ = ["drawn_faces"]  # a fixture

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # another order


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network in the order of FER2013's classes."""
    folder = tmp_path_factory.mktemp("model") / "model"
    config = smallest().network
    torch.manual_seed(0)
    save_model(folder, build_network(config, 7), classes=CLASSES, config=config, card={})
    return folder


def done(folder: Path, job: EvaluateJob, control: Control | None = None) -> list[Event]:
    folder.mkdir(parents=True, exist_ok=True)
    return list(evaluate(folder, job, control or Control()))


def test_figures_are_written_and_are_those_of_the_models_answers(
    tmp_path: Path, drawn_faces: Path, model: Path
) -> None:
    events = done(tmp_path, EvaluateJob(model=str(model), data=str(drawn_faces), batch_size=5))
    evaluated, finished = events[-2:]
    assert isinstance(events[0], Started)
    assert isinstance(evaluated, Evaluated)
    assert isinstance(finished, Finished)
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written["figures"] == evaluated.payload()["figures"]
    assert len(written["data_fingerprint"]) == 64
    split = open_faces(drawn_faces, DataConfig()).splits["test"]
    names = open_faces(drawn_faces, DataConfig()).classes
    with torch.no_grad():
        _, logits = load_model(model).network(split.batch(range(len(split)))[0])
    truth = torch.tensor([CLASSES.index(names[k]) for k in split.labels])
    expected = (logits.argmax(1) == truth).float().mean().item()
    # Reduced precision may turn a close answer of an untrained network, but not several.
    assert evaluated.figures["accuracy"] == pytest.approx(expected, abs=1.5 / len(split))
    assert finished.result["count"] == len(split)


def test_all_splits_together_count_every_labelled_face(
    tmp_path: Path, drawn_faces: Path, model: Path
) -> None:
    events = done(tmp_path, EvaluateJob(model=str(model), data=str(drawn_faces), split="all"))
    assert events[-2].payload()["figures"]["count"] == 140


def test_a_class_mapped_to_nothing_is_left_out_and_counted(
    tmp_path: Path, drawn_faces: Path, model: Path
) -> None:
    job = EvaluateJob(model=str(model), data=str(drawn_faces), mapping={"fear": ""})
    started, *_, evaluated, _ = done(tmp_path, job)
    assert isinstance(started, Started)
    rows = {row["name"]: row["count"] for row in evaluated.payload()["figures"]["classes"]}
    assert rows["fear"] == 0
    assert started.facts["left_out"] > 0
    assert started.facts["left_out"] + started.facts["images"] == 140 - sum(
        len(s) for name, s in open_faces(drawn_faces, DataConfig()).splits.items() if name != "test"
    )


def test_classes_can_be_merged_by_the_mapping(tmp_path: Path, drawn_faces: Path, model: Path) -> None:
    def counts(name: str, mapping: dict[str, str]) -> dict[str, int]:
        job = EvaluateJob(model=str(model), data=str(drawn_faces), split="all", mapping=mapping)
        rows = done(tmp_path / name, job)[-2].payload()["figures"]["classes"]
        return {row["name"]: row["count"] for row in rows}

    apart, merged = counts("apart", {}), counts("merged", {"disgust": "anger"})
    assert apart["disgust"] > 0
    assert merged["disgust"] == 0
    assert merged["anger"] == apart["anger"] + apart["disgust"]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"mapping": {"joy": "happiness"}}, "mapping: 'joy' is not a class of the data"),
        ({"mapping": {"fear": "dread"}}, "mapping: 'dread' is not a class of the target"),
        ({"split": "dev"}, "split: the data set has no dev; it has train, val, test, all"),
    ],
)
def test_a_wrong_mapping_or_split_is_named(
    tmp_path: Path, drawn_faces: Path, model: Path, job: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        done(tmp_path, EvaluateJob(model=str(model), data=str(drawn_faces), **job))  # type: ignore[arg-type]


def test_data_without_a_class_of_the_model_are_refused(
    tmp_path: Path, drawn_faces: Path, model: Path
) -> None:
    nothing = dict.fromkeys(CLASSES, "")
    with pytest.raises(JobError, match="share no class"):
        done(tmp_path, EvaluateJob(model=str(model), data=str(drawn_faces), mapping=nothing))


def test_an_evaluation_can_be_stopped(tmp_path: Path, drawn_faces: Path, model: Path) -> None:
    control = Control()
    control.request_stop("somebody pressed stop")
    events = done(tmp_path, EvaluateJob(model=str(model), data=str(drawn_faces)), control)
    assert events[-1] == Stopped(reason="somebody pressed stop")
    assert not (tmp_path / "figures.json").exists()


class Brightness(nn.Module):
    """Answers with the brightness of the left and of the right half."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        halves = images.float().mean((1, 2)).view(-1, 2, 56).mean(2) / 50
        return halves[:, :1], halves


def test_flip_averaging_answers_a_face_and_its_mirror_image_alike() -> None:
    runtime = prepare(RuntimeConfig(precision="fp32"))
    images = torch.zeros(2, 3, 112, 112, dtype=torch.uint8)
    images[0, :, :, :56] = 200
    images[1] = images[0].flip(-1)
    _, plain = answer(Brightness(), images, runtime)
    assert plain.argmax(1).tolist() == [0, 1]
    alpha, logits = answer(Brightness(), images, runtime, flip_average=True)
    torch.testing.assert_close(logits[0], logits[1])
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(2))
    torch.testing.assert_close(alpha[0], alpha[1])


def test_distributions_are_mapped_and_scaled_to_one() -> None:
    targets = torch.tensor([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]])
    images = np.zeros((2, 1, 112, 112), np.uint8)
    split = FaceSplit(images, np.arange(2), targets, np.array([0, 2]), ["a", "b"])
    view = mapped(split, [1, 1, None], 2)
    assert view.positions.tolist() == [0]  # all of the second falls on the class left out
    torch.testing.assert_close(view.targets, torch.tensor([[0.0, 1.0]]))


def test_flipped_answers_are_averaged_as_predict_averages_them(drawn_faces: Path, model: Path) -> None:
    network, temperature = load_model(model).network, 0.6
    images, _ = open_faces(drawn_faces, DataConfig()).splits["test"].batch(range(4))
    runtime = prepare(RuntimeConfig(precision="fp32"))
    alone = [answer(network, x, runtime)[1] for x in (images, images.flip(-1))]
    said = answer(network, images, runtime, True, temperature)[1]
    mean = sum((logits / temperature).softmax(1) for logits in alone) / 2
    assert torch.allclose((said / temperature).softmax(1), torch.as_tensor(mean), atol=1e-5)
