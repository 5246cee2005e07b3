"""Engines answer what the network answers; the fastest accurate one is taken, and replaced if it fails."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mmfrm.checkpoint import load_model, save_model
from mmfrm.engines import Engine, EngineError, Faces, Logits, choice, open_engine
from mmfrm.engines.check import check_precision, figures_of, softmax
from mmfrm.engines.int8 import quantise
from mmfrm.engines.model_files import ModelFiles
from mmfrm.failures import JobError
from mmfrm.images import SIDE
from tests.mmfrm.models import CLASSES, faces, tiny_model

ENGINES = ("openvino-fp32", "openvino-bf16", "torch-fp32", "torch-bf16")


@pytest.fixture(scope="module")
def whole_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With landmark network and fusion; seconds to convert, so few tests use it."""
    return tiny_model(tmp_path_factory.mktemp("model") / "model", fusion="tcffm")


@pytest.fixture(scope="module")
def converted_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose conversion, which takes seconds, is done."""
    folder = tiny_model(tmp_path_factory.mktemp("model") / "model")
    make(folder, "openvino-fp32")
    return folder


@pytest.fixture
def model(tmp_path: Path, converted_model: Path) -> Path:
    """One to change."""
    return shutil.copytree(converted_model, tmp_path / "model")


def answers(folder: Path, pixels: Faces) -> Logits:
    """Logits of the network itself."""
    with torch.inference_mode():
        _, logits = load_model(folder).network(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    found: Logits = logits.numpy()
    return found


def make(folder: Path, name: str, *, batch_size: int = 8) -> Engine:
    return choice.make_engine(ModelFiles(folder), name, threads=1, batch_size=batch_size)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_answers_what_the_network_answers(model: Path, name: str) -> None:
    if name not in choice.available(ModelFiles(model), name.partition("-")[0]):
        pytest.skip(f"this processor computes no {name}")
    pixels = faces(21)
    expected, found = answers(model, pixels), make(model, name).logits(pixels)
    assert found.shape == (21, len(CLASSES))
    assert found.dtype == np.float32
    assert np.ptp(expected, axis=0).min() > 1  # answers differ from face to face
    tolerance = 1e-5 if name.endswith("fp32") else 0.05
    assert np.abs(softmax(found) - softmax(expected)).max() < tolerance


@pytest.mark.parametrize("name", ["openvino-fp32", "torch-fp32"])
def test_the_whole_network_with_its_landmarks_answers_the_same(whole_model: Path, name: str) -> None:
    pixels = faces(9)
    expected, found = answers(whole_model, pixels), make(whole_model, name).logits(pixels)
    assert np.ptp(expected, axis=0).min() > 0.5
    assert np.abs(softmax(found) - softmax(expected)).max() < 1e-4


@pytest.mark.parametrize("name", ["openvino-fp32", "torch-fp32"])
def test_an_answer_does_not_depend_on_who_came_along(model: Path, name: str) -> None:
    pixels, engine = faces(8), make(model, name)
    alone = np.concatenate([engine.logits(pixels[i : i + 1]) for i in range(8)])
    assert np.abs(alone - engine.logits(pixels)).max() < 1e-4


@pytest.mark.parametrize("name", ["openvino-fp32", "torch-fp32"])
def test_batches_are_answered_in_order_also_mirrored_views(model: Path, name: str) -> None:
    pixels, engine = faces(20), make(model, name)
    whole = engine.logits(pixels)
    batches = [pixels[:8], pixels[8:11], pixels[11:19, :, ::-1][:, :, ::-1], pixels[19:]]
    found = list(engine.stream(iter(batches)))
    assert [len(f) for f in found] == [8, 3, 8, 1]
    assert np.abs(np.concatenate(found) - whole).max() < 1e-4


def test_dropping_a_stream_halfway_leaves_the_engine_usable(model: Path) -> None:
    engine = make(model, "openvino-fp32")
    pixels = faces(24)
    stream = engine.stream(pixels[i : i + 8] for i in range(0, 24, 8))
    first = next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert np.array_equal(engine.logits(pixels[:8]), first)


def test_no_faces_give_no_answers(model: Path) -> None:
    none = np.zeros((0, SIDE, SIDE, 3), np.uint8)
    assert make(model, "openvino-fp32").logits(none).shape == (0, len(CLASSES))


def test_unchecked_reduced_precision_is_not_used(model: Path) -> None:
    assert open_engine(model).name.endswith("-fp32")
    assert open_engine(model, "torch").name == "torch-fp32"


def test_checked_precision_is_used_and_bad_precision_is_not(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = faces(64)
    targets = answers(model, pixels).argmax(1)
    checks = check_precision(model, pixels, targets)
    if not checks:  # a processor without bf16 and fp16; every one computes int8, once it is made
        quantise(ModelFiles(model), pixels)
        checks = check_precision(model, pixels, targets)
    assert checks
    for figures in checks.values():
        assert figures["faces"] == 64
        assert figures["accuracy_fp32"] == 1.0
        assert figures["is_accurate"] == (figures["accuracy"] >= 0.998)
    assert json.loads((model / "model.json").read_text())["engines"] == checks
    load_model(model)  # model.json is still one
    # Whatever this tiny network's figures were, a good verdict is obeyed, and so is a bad one.
    speeds = {"fp32": 1.0, "bf16": 2.0, "fp16": 2.0, "int8": 2.0}
    monkeypatch.setattr(choice, "measure", lambda engine: speeds[engine.name.partition("-")[2]])
    for verdict in (True, False):
        ModelFiles(model).write_checks({name: {"is_accurate": verdict} for name in checks})
        assert open_engine(model).name.endswith("-fp32") is not verdict


def test_the_figures_of_a_check_are_counted_right() -> None:
    reference = np.eye(4, dtype=np.float32)[[0, 1, 2, 3] * 250]
    changed = reference.copy()
    changed[:3] = np.roll(changed[:3], 1, axis=1)
    targets = reference.argmax(1)
    assert figures_of(changed, reference, targets)["change_points"] == -0.3
    assert not figures_of(changed, reference, targets)["is_accurate"]
    assert not figures_of(changed, reference, None)["is_accurate"]
    changed[0] = reference[0]
    assert figures_of(changed, reference, targets)["is_accurate"]
    assert figures_of(changed, reference, None)["agreement"] == 0.998
    assert figures_of(changed, reference, None)["is_accurate"]


def test_a_stopped_check_writes_no_verdict(model: Path) -> None:
    assert check_precision(model, faces(40), stop_requested=lambda: True) == {}
    assert json.loads((model / "model.json").read_text())["engines"] == {}


def test_the_speed_is_measured_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_engine(model).name
    (speeds,) = (model / "engines").glob("speed-*.json")
    assert json.loads(speeds.read_text())["figures"][first] > 0

    def measure_again(engine: Engine) -> float:
        raise AssertionError("measured again")

    monkeypatch.setattr(choice, "measure", measure_again)
    assert open_engine(model).name == first


def test_without_openvino_torch_takes_over(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed
    engine = open_engine(model)
    assert engine.name.startswith("torch-")
    pixels = faces(3)
    assert np.abs(engine.logits(pixels) - answers(model, pixels)).max() < 1e-3
    with pytest.raises(JobError, match="choose auto"):
        open_engine(model, "openvino")


def test_where_openvino_cannot_convert_torch_takes_over(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    shutil.rmtree(model / "engines")

    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError("an operator nobody knows")

    monkeypatch.setattr(openvino, "convert_model", refuse)
    assert open_engine(model).name.startswith("torch-")


def test_a_resumed_job_keeps_its_engine(model: Path, tmp_path: Path) -> None:
    note = tmp_path / "engine.json"
    assert open_engine(model, "torch", remembered=note).name == "torch-fp32"
    assert open_engine(model, "auto", remembered=note).name == "torch-fp32"
    note.write_text(json.dumps({"engine": "abacus-fp32"}))
    assert open_engine(model, "auto", remembered=note).name != "abacus-fp32"
    assert json.loads(note.read_text())["engine"] != "abacus-fp32"


def test_an_unknown_engine_is_an_error(model: Path) -> None:
    with pytest.raises(EngineError, match="no engine"):
        make(model, "abacus-fp32")
    with pytest.raises(EngineError, match="export"):
        make(model, "openvino-int8")
    with pytest.raises(JobError):
        open_engine(model, "torch-fp7")


def test_a_model_folder_that_may_not_be_written_uses_the_cache(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(model / "engines")
    (model / "engines").write_text("a file where the folder would be: mkdir fails, as on a read-only disk")
    monkeypatch.setenv("MMFRM_CACHE", str(tmp_path / "cache"))
    assert open_engine(model, "openvino").name == "openvino-fp32"
    assert len(list((tmp_path / "cache" / "engines").rglob("model.xml"))) == 1


def test_new_weights_replace_what_was_made_of_the_old_ones(model: Path) -> None:
    pixels = faces(4)
    before = open_engine(model, "openvino").logits(pixels)
    loaded = load_model(model)
    with torch.no_grad():
        loaded.network.expression.fc.bias.add_(torch.arange(len(CLASSES)))
    save_model(model, loaded.network, classes=CLASSES, config=loaded.config, card={})
    after = open_engine(model, "openvino").logits(pixels)
    assert np.abs(after - before).max() > 0.1
    assert np.abs(after - answers(model, pixels)).max() < 1e-3
    assert len(list((model / "engines").glob("*/"))) == 1


@pytest.mark.parametrize("damage", ["weights", "description", "classes", "missing"])
def test_a_damaged_model_folder_is_named(model: Path, damage: str) -> None:
    if damage == "weights":
        path = model / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "missing":
        (model / "model.safetensors").unlink()
    else:
        (model / "model.json").write_text("{" if damage == "description" else "{}")
    with pytest.raises(JobError, match=r"model\.(json|safetensors)"):
        open_engine(model)


def test_threads_follow_what_the_worker_allows(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFRM_THREADS", "3")
    assert open_engine(model, "openvino").threads == 3


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Engines set torch's threads for their whole process; other tests want them back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
