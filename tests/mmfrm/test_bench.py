"""`bench` measures training and every engine of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from mmfrm.bench import Figure, bench, table
from mmfrm.control import Control
from mmfrm.engines.choice import available
from mmfrm.engines.model_files import ModelFiles
from mmfrm.events import Finished, Notice, Stopped
from mmfrm.jobs import BenchJob
from tests.mmfrm.models import tiny_model


def test_every_engine_has_its_figure(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model")
    threads = torch.get_num_threads()
    events = list(bench(tmp_path, BenchJob(model=str(model), seconds=0.1), Control()))
    torch.set_num_threads(threads)
    content = json.loads((tmp_path / "bench.json").read_text())
    figures = [Figure(**f) for f in content["figures"]]
    assert all(f.images_per_second > 0 for f in figures)
    measured = {f.engine for f in figures if f.what == "prediction"}
    files = ModelFiles(model)
    expected = {*available(files, "openvino"), *available(files, "torch")} - {"openvino-int8"}
    assert measured == expected  # int8 has not been made
    assert {f.batch_size for f in figures if f.what == "prediction"} == {1, 32}
    assert any(f.what == "training" and f.engine == "torch-fp32" for f in figures)
    assert isinstance(events[-1], Finished)
    best = max((f for f in figures if f.what == "prediction"), key=lambda f: f.images_per_second)
    assert events[-1].result["fastest"] == best.engine
    shown = [e.text for e in events if isinstance(e, Notice)]
    assert all(line in shown for line in table(figures))


def test_a_stop_ends_it(tmp_path: Path) -> None:
    control = Control()
    control.request_stop("enough")
    events = list(bench(tmp_path, BenchJob(model=str(tiny_model(tmp_path / "model"))), control))
    assert isinstance(events[-1], Stopped)
