"""Labelling: one row a picture, in order, whatever happens to the process."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmfrm import images
from mmfrm.checkpoint import load_model
from mmfrm.control import Control
from mmfrm.events import Event, Finished, Notice, Predicted, Progress, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.jobs import PredictJob, write_job
from mmfrm.predict import predict
from tests.mmfrm.models import CLASSES, jpegs, tiny_model

PICTURES = 1000  # of the test that kills; a fraction of a second for the tiny network


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "model")


def label(folder: Path, model: Path, source: Path, **job: Any) -> list[Event]:
    folder.mkdir(parents=True, exist_ok=True)
    return list(predict(folder, PredictJob(model=str(model), source=str(source), **job), Control()))


def rows_of(events: list[Event]) -> list[dict[str, Any]]:
    return [row for e in events if isinstance(e, Predicted) for row in e.rows]


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def expected_probabilities(model: Path, source: Path, name: str, temperature: float = 1.0) -> list[float]:
    """What the network itself answers, one image at a time in fp32."""
    face = torch.from_numpy(images.face((source / name).read_bytes()).copy())
    with torch.inference_mode():
        _, logits = load_model(model).network(face.permute(2, 0, 1)[None])
    found: list[float] = (logits[0] / temperature).softmax(0).tolist()
    return found


def test_a_folder_becomes_a_table_with_every_probability(tmp_path: Path, model: Path) -> None:
    source = jpegs(tmp_path / "photos", 70)
    (source / "00003.jpg").write_bytes(b"no picture")
    (source / "=SUM(A1).jpg").write_bytes((source / "00000.jpg").read_bytes())
    events = label(tmp_path / "job", model, source)
    rows = rows_of(events)
    assert [r["index"] for r in rows] == list(range(71))
    assert [r["file"] for r in rows] == sorted(p.name for p in source.iterdir())
    assert rows[3]["probabilities"] is None
    assert "not an image" in rows[3]["error"]
    table = table_of(tmp_path / "job")
    assert [t["file"] for t in table][-1] == "'=SUM(A1).jpg"
    assert {t["class"] for t in table} <= {"neutral", "happiness", "surprise", "'=anger", ""}
    for row, line in zip(rows, table, strict=True):
        if row["error"] is None:
            figures = [float(line[f"p_{name}"]) for name in CLASSES]
            assert figures == row["probabilities"]
            assert sum(figures) == pytest.approx(1, abs=1e-5)
            assert float(line["confidence"]) == max(figures)
            assert line["class"].lstrip("'") == CLASSES[int(np.argmax(figures))]
    assert isinstance(events[-1], Finished)
    result = events[-1].result
    assert result["csv"] == "predictions.csv"
    assert result["rows"] == 71
    assert result["errors"] == 1
    assert sum(result["counts"].values()) == 70
    assert len(set(result["counts"].values())) > 1 or max(result["counts"].values()) < 70


def test_the_rows_hold_what_the_network_answers(tmp_path: Path, model: Path) -> None:
    source = jpegs(tmp_path / "photos", 5)
    rows = rows_of(label(tmp_path / "job", model, source, temperature=2.0))
    for row in rows:
        expected = expected_probabilities(model, source, row["file"], 2.0)
        assert row["probabilities"] == pytest.approx(expected, abs=1e-4)


def test_a_model_is_as_sure_as_its_card_says(tmp_path: Path, model: Path) -> None:
    source, sure = jpegs(tmp_path / "photos", 3), tmp_path / "sure"
    shutil.copytree(model, sure)
    description = json.loads((sure / "model.json").read_text()) | {"card": {"temperature": 0.5}}
    (sure / "model.json").write_text(json.dumps(description))
    for row in rows_of(label(tmp_path / "job", sure, source)):
        expected = expected_probabilities(sure, source, row["file"], 0.5)
        assert row["probabilities"] == pytest.approx(expected, abs=1e-4)


def test_flip_averaging_gives_a_mirrored_picture_the_same_answer(tmp_path: Path, model: Path) -> None:
    picture = images.decode((jpegs(tmp_path / "one", 1, side=112) / "00000.jpg").read_bytes())
    source = tmp_path / "photos"
    source.mkdir()
    from PIL import Image

    Image.fromarray(picture).save(source / "a.png")
    Image.fromarray(picture[:, ::-1]).save(source / "b.png")
    plain = rows_of(label(tmp_path / "plain", model, source))
    averaged = rows_of(label(tmp_path / "averaged", model, source, flip_average=True))
    assert plain[0]["probabilities"] != pytest.approx(plain[1]["probabilities"], abs=1e-3)
    assert averaged[0]["probabilities"] == pytest.approx(averaged[1]["probabilities"], abs=1e-5)
    mean = (np.array(plain[0]["probabilities"]) + plain[1]["probabilities"]) / 2
    assert averaged[0]["probabilities"] == pytest.approx(mean.tolist(), abs=1e-4)


def test_a_zip_gives_the_rows_of_the_folder_it_was_made_of(tmp_path: Path, model: Path) -> None:
    source = jpegs(tmp_path / "photos", 40)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(source.iterdir(), reverse=True):
            archive.write(file, file.name)
    label(tmp_path / "a", model, source)
    label(tmp_path / "b", model, tmp_path / "photos.zip")
    table = (tmp_path / "a" / "predictions.csv").read_bytes()
    assert (tmp_path / "b" / "predictions.csv").read_bytes() == table


def test_saved_faces_are_what_the_rows_point_at(tmp_path: Path, model: Path) -> None:
    source = jpegs(tmp_path / "photos", 3)
    from PIL import Image

    Image.fromarray(np.zeros((600, 900, 3), np.uint8)).save(source / "large.bmp")
    (source / "zz.jpg").write_bytes(b"")
    rows = rows_of(label(tmp_path / "job", model, source, save_faces=True))
    pack = (tmp_path / "job" / "faces.pack").read_bytes()
    stored = [pack[r["offset"] : r["offset"] + r["length"]] for r in rows[:4]]
    assert stored[0] == (source / "00000.jpg").read_bytes()  # clean, so kept to the byte
    assert max(images.decode(stored[3]).shape) == 512
    assert "offset" not in rows[4]
    assert rows[4]["error"] == "empty file"


def test_rows_come_in_messages_of_at_most_256_and_progress_ends_at_the_total(
    tmp_path: Path, model: Path
) -> None:
    source = jpegs(tmp_path / "photos", 600)
    events = label(tmp_path / "job", model, source)
    assert all(0 < len(e.rows) <= 256 for e in events if isinstance(e, Predicted))
    progress = [e for e in events if isinstance(e, Progress)]
    assert (progress[-1].done, progress[-1].total) == (600, 600)
    assert progress[-1].rate > 0


class StopAfter(Control):
    """Asks to stop once it has been polled so often."""

    def __init__(self, polls: int) -> None:
        super().__init__()
        self.polls = polls

    def stop_requested(self) -> bool:
        self.polls -= 1
        if self.polls < 0:
            self.request_stop("a stop was asked for")
        return super().stop_requested()


def test_a_stopped_job_goes_on_and_tells_its_rows_again(tmp_path: Path, model: Path) -> None:
    source = jpegs(tmp_path / "photos", 200)
    label(tmp_path / "whole", model, source)
    folder = tmp_path / "job"
    folder.mkdir()
    job = PredictJob(model=str(model), source=str(source))
    first = list(predict(folder, job, StopAfter(2)))
    assert isinstance(first[-1], Stopped)
    assert first[-1].reason == "a stop was asked for"
    done = len(rows_of(first))
    assert 0 < done < 200
    assert len(table_of(folder)) == done
    second = list(predict(folder, job, Control()))
    assert isinstance(second[0], Started)
    assert second[0].resumed
    assert second[0].facts["done"] == done
    assert [r["index"] for r in rows_of(second)] == list(range(200))
    assert (folder / "predictions.csv").read_bytes() == (tmp_path / "whole" / "predictions.csv").read_bytes()


def test_a_source_that_changed_is_not_mixed_up(tmp_path: Path, model: Path) -> None:
    source = jpegs(tmp_path / "photos", 3)
    path = tmp_path / "photos.zip"
    for count in (3, 2):
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(source.iterdir())[:count]:
                archive.write(file, file.name)
        if count == 3:
            label(tmp_path / "job", model, path)
    with pytest.raises(JobError, match="changed since this job began"):
        label(tmp_path / "job", model, path)


def test_a_model_that_changed_is_not_mixed_up(tmp_path: Path, model: Path) -> None:
    source, own = jpegs(tmp_path / "photos", 3), tmp_path / "model"
    shutil.copytree(model, own)
    label(tmp_path / "job", own, source)
    with pytest.raises(JobError, match="model has changed since this job began"):
        label(tmp_path / "job", own, source, temperature=2.0)
    shutil.rmtree(own)
    tiny_model(own, fusion="concat")  # as a training that goes on replaces its best weights
    with pytest.raises(JobError, match="model has changed since this job began"):
        label(tmp_path / "job", own, source)


@pytest.mark.parametrize("name", ["source.json", "engine.json"])
def test_a_file_that_a_power_cut_emptied_ends_no_labelling(tmp_path: Path, model: Path, name: str) -> None:
    source = jpegs(tmp_path / "photos", 3)
    label(tmp_path / "job", model, source)
    (tmp_path / "job" / name).write_text("")
    events = label(tmp_path / "job", model, source)
    assert isinstance(events[-1], Finished)
    assert json.loads((tmp_path / "job" / name).read_text())


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    source = jpegs(tmp_path / "photos", 1)
    with pytest.raises(JobError, match="not a model folder"):
        label(tmp_path / "job", tmp_path, source)


def test_who_labels_whole_photos_is_told_so_early(tmp_path: Path, model: Path) -> None:
    source = jpegs(tmp_path / "photos", 5)
    for name in ("00001.jpg", "00003.jpg"):
        Image.new("RGB", (160, 100)).save(source / name)
    assert not [e for e in label(tmp_path / "few", model, source) if isinstance(e, Notice)]
    Image.new("RGB", (100, 160)).save(source / "00002.jpg")
    events = label(tmp_path / "most", model, source)
    assert ["let faces be found" in e.text for e in events if isinstance(e, Notice)] == [True]


# --- killed -------------------------------------------------------------------------------------------


def start_process(folder: Path, output: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mmfrm", "run", str(folder), "--events", "json"]
    environment = os.environ | {"MMFRM_THREADS": "1"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, env=environment)


def finish(process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    assert process.stdin is not None
    assert process.stdout is not None
    events = [json.loads(line) for line in process.stdout]
    process.stdin.close()
    assert process.wait() == 0
    return events


def rows_on_disk(folder: Path) -> int:
    path = folder / "predictions.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_ten_times_the_table_is_that_of_an_undisturbed_run(tmp_path: Path, model: Path) -> None:
    source = jpegs(tmp_path / "photos", PICTURES, side=32)
    (source / "00500.jpg").write_bytes(b"no picture")
    job = PredictJob(model=str(model), source=str(source), save_faces=True)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    write_job(undisturbed, job)
    finish(start_process(undisturbed))
    write_job(killed, job)
    kills = 0
    for attempt in range(10):
        goal = (attempt + 1) * PICTURES // 16  # so that much is left when the last kill comes late
        process = start_process(killed, subprocess.DEVNULL)
        while rows_on_disk(killed) < goal and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        assert process.stdin is not None
        process.stdin.close()
    assert kills == 10
    before = rows_on_disk(killed)
    assert before < PICTURES
    events = finish(start_process(killed))
    assert events[0]["facts"]["done"] >= before - 1  # all but a torn line: no work was done twice
    told = [(row["index"], e["again"]) for e in events if e["kind"] == "predicted" for row in e["rows"]]
    done = events[0]["facts"]["done"]
    assert told == [(index, index < done) for index in range(PICTURES)]  # what is no new work says so
    for name in ("predictions.csv", "predictions.jsonl", "faces.pack"):
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes(), name
