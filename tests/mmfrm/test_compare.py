"""Two models on the same images: figures of both, differences with intervals, and whether it was chance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmfrm.checkpoint import load_model, save_model
from mmfrm.compare import compare
from mmfrm.config import DataConfig
from mmfrm.control import Control
from mmfrm.data import open_faces
from mmfrm.events import Finished, Stopped
from mmfrm.jobs import CompareJob
from mmfrm.nn import build_network
from mmfrm.paired import before_and_after
from tests.mmfrm.training import drawn_faces, smallest

__all__ = ["drawn_faces"]  # a fixture

SEVEN = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
EIGHT = ("Happy", "contempt", "neutral", "sad", "angry", "surprise", "fear", "disgust")


def test_figures_and_their_differences_are_those_counted_by_hand() -> None:
    labels = np.array([0] * 10 + [1] * 10 + [2] * 4)
    before = np.array([0] * 6 + [1] * 4 + [1] * 5 + [0] * 5 + [0] * 3 + [3])
    after = np.array([0] * 9 + [1] * 1 + [1] * 5 + [0] * 5 + [2] * 4)
    found = before_and_after(labels, before, after, ("a", "b", "c", "d"))
    overall, (a, b, c, d) = found["overall"], found["classes"]
    assert (overall["accuracy"]["before"], overall["accuracy"]["after"]) == (11 / 24, 18 / 24)
    assert (a["recall"]["before"], a["recall"]["after"]) == (0.6, 0.9)
    assert (a["recall"]["gained"], a["recall"]["lost"], a["recall"]["p"]) == (3, 0, pytest.approx(0.25))
    assert (b["recall"]["difference"], b["recall"]["p"]) == (0.0, 1.0)
    assert (b["recall"]["low"], b["recall"]["high"]) == (0.0, 0.0), "the same answers differ by nothing"
    assert (a["precision"]["before"], a["precision"]["after"]) == (6 / 14, 9 / 14)
    assert a["f1"]["after"] == pytest.approx(2 * 9 / (10 + 14))
    assert c["recall"]["difference"] == 1.0
    assert d["count"] == 0
    assert d["recall"]["before"] is None, "no image, no recall"
    assert overall["mean_class_accuracy"]["after"] == pytest.approx((0.9 + 0.5 + 1.0) / 3)
    assert found["confusion"]["before"][2] == [3, 0, 0, 1]
    for row in (a, c):
        assert row["recall"]["low"] <= row["recall"]["difference"] <= row["recall"]["high"]


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(5)
    hits = 0
    for seed in range(200):
        labels = np.zeros(150, np.int64)
        hard = draw.random(150) < 0.4
        before = np.where(hard & (draw.random(150) < 0.9), 1, 0)
        after = np.where(hard & (draw.random(150) < 0.6), 1, 0)
        recall = before_and_after(labels, before, after, ("a", "b"), seed=seed)["classes"][0]["recall"]
        hits += recall["low"] <= 0.4 * 0.3 <= recall["high"]
    assert 181 <= hits <= 199


def test_both_models_answer_the_same_images_in_the_vocabulary_of_the_later(
    tmp_path: Path, drawn_faces: Path
) -> None:
    config = smallest().network
    folders = {}
    for seed, (name, classes) in enumerate((("before", EIGHT), ("after", SEVEN))):
        torch.manual_seed(seed)
        folders[name] = str(tmp_path / name)
        network = build_network(config, len(classes))
        save_model(tmp_path / name, network, classes=classes, config=config, card={})
    job = CompareJob(before=folders["before"], after=folders["after"], data=str(drawn_faces), batch_size=7)
    (tmp_path / "job").mkdir()
    assert isinstance(list(compare(tmp_path / "job", job, Control()))[-1], Finished)
    written = json.loads((tmp_path / "job" / "comparison.json").read_text())
    faces = open_faces(drawn_faces, DataConfig())
    split = faces.splits["test"]
    assert written["count"] == len(split)
    assert [row["name"] for row in written["classes"]] == list(SEVEN)
    assert sum(map(sum, written["confusion"]["before"])) == len(split)
    truth = [faces.classes[k] for k in split.labels]
    for name, classes in (("before", EIGHT), ("after", SEVEN)):
        with torch.no_grad():
            _, logits = load_model(tmp_path / name).network(split.batch(range(len(split)))[0])
        said = ["".join(w[:3]) for w in (classes[k].lower() for k in logits.argmax(1).tolist())]
        right = sum(s == t[:3] for s, t in zip(said, truth, strict=True)) / len(split)
        assert written["overall"]["accuracy"][name] == pytest.approx(right, abs=1.5 / len(split))

    control = Control()
    control.request_stop("enough")
    (tmp_path / "stopped").mkdir()
    assert isinstance(list(compare(tmp_path / "stopped", job, control))[-1], Stopped)
