"""Exports answer as the model does, and say what reduced precision costs."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mmfrm.checkpoint import load_model, save_model
from mmfrm.control import Control
from mmfrm.data.drawn import draw
from mmfrm.engines import open_engine
from mmfrm.engines.model_files import ModelFiles
from mmfrm.events import Event, Finished, Notice, Stopped
from mmfrm.export import export
from mmfrm.failures import JobError
from mmfrm.jobs import DrawJob, ExportJob
from tests.mmfrm.models import CLASSES, faces, tiny_model

pytestmark = pytest.mark.xdist_group("export")  # one process: what they share takes half a minute
DRAWN = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")


def exported(folder: Path, model: Path, **job: Any) -> list[Event]:
    folder.mkdir(parents=True, exist_ok=True)
    return list(export(folder, ExportJob(model=str(model), **job), Control()))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "faces"
    list(draw(folder, DrawJob(out=str(folder), count=200, seed=2), Control()))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with everything in it, and its export."""
    folder = tmp_path_factory.mktemp("whole")
    model = tiny_model(folder / "model", fusion="tcffm", half_side=True)
    events = exported(folder / "out", model)
    assert isinstance(events[-1], Finished)
    return model, folder / "out"


def test_onnx_answers_as_torch_does_for_any_batch(whole: tuple[Path, Path]) -> None:
    model, out = whole
    report = json.loads((out / "report.json").read_text())
    assert 0 <= report["onnx"]["largest_difference"] <= 1e-4
    assert report["onnx"]["faces"] == 128
    session = onnxruntime.InferenceSession(out / "model.onnx")
    assert [i.name for i in session.get_inputs()] == ["rgb"]
    assert session.get_inputs()[0].shape[1:] == [3, 112, 112]
    for count in (1, 3):
        rgb = np.ascontiguousarray(faces(count, seed=5).transpose(0, 3, 1, 2))
        probabilities, logits, alpha = session.run(None, {"rgb": rgb})
        with torch.inference_mode():
            expected_alpha, expected = load_model(model).network(torch.from_numpy(rgb))
        assert np.abs(logits - expected.numpy()).max() < 1e-3
        assert np.abs(alpha - expected_alpha.numpy()).max() < 1e-4
        assert np.abs(probabilities - expected.softmax(1).numpy()).max() < 1e-4
    metadata = {p.key: p.value for p in onnx.load(out / "model.onnx").metadata_props}
    assert json.loads(metadata["classes"]) == list(CLASSES)


def test_the_export_is_a_model_folder_too(whole: tuple[Path, Path]) -> None:
    model, out = whole
    again = load_model(out)
    assert again.classes == CLASSES
    expected = load_model(model).network.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in again.network.state_dict().items())


@pytest.fixture
def written_before(whole: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever model is exported, its ONNX file is that of `whole`; writing one takes ten seconds."""
    monkeypatch.setattr("mmfrm.export.write_onnx", lambda _, path: copyfile(whole[1] / "model.onnx", path))


@pytest.mark.usefixtures("written_before")
def test_a_file_that_answers_differently_is_refused(tmp_path: Path, whole: tuple[Path, Path]) -> None:
    loaded = load_model(whole[0])
    with torch.no_grad():
        loaded.network.expression.fc.bias.add_(torch.arange(len(CLASSES)))
    save_model(tmp_path / "other", loaded.network, classes=CLASSES, config=loaded.config, card={})
    with pytest.raises(JobError, match="answers differently"):
        exported(tmp_path / "out", tmp_path / "other")
    assert not (tmp_path / "out" / "model.onnx").exists()


def test_with_faces_precision_is_checked_and_int8_is_made(tmp_path: Path, drawn: Path) -> None:
    model = tiny_model(tmp_path / "model", classes=DRAWN)
    events = exported(tmp_path / "out", model, data=str(drawn))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["onnx"]["real_faces"]
    assert report["data"]["faces"] > 10
    checks = report["engines"]
    assert "openvino-int8" in checks
    for figures in checks.values():
        change = 100 * (figures["accuracy"] - figures["accuracy_fp32"])
        assert figures["change_points"] == pytest.approx(change, abs=1e-3)
        assert figures["is_accurate"] == (abs(change) <= 0.2)
        assert figures["agreement"] > 2 / len(DRAWN)  # by chance 1: an untrained network loses much to int8
        assert 0 < figures["largest_difference"] < 1
    assert ModelFiles(model).checks == checks  # where predict looks
    assert json.loads((tmp_path / "out" / "model.json").read_text())["engines"] == checks
    allowed = {"openvino-fp32"} | {name for name, f in checks.items() if f["is_accurate"]}
    assert set(report["images_per_second"]) <= allowed
    assert open_engine(model).name in allowed
    assert any("openvino-int8" in e.text for e in events if isinstance(e, Notice))


def test_classes_unlike_the_data_are_checked_by_agreement(tmp_path: Path, drawn: Path) -> None:
    model = tiny_model(tmp_path / "model", classes=("calm?", "startled?"))
    exported(tmp_path / "out", model, data=str(drawn))
    checks = json.loads((tmp_path / "out" / "report.json").read_text())["engines"]
    assert checks
    assert all("accuracy" not in figures for figures in checks.values())


@pytest.mark.usefixtures("written_before")
def test_a_stop_between_steps_ends_the_export(tmp_path: Path, whole: tuple[Path, Path]) -> None:
    control = Control()
    control.request_stop("enough")
    events = list(export(tmp_path, ExportJob(model=str(whole[0])), control))
    assert isinstance(events[-1], Stopped)
    assert not (tmp_path / "report.json").exists()
