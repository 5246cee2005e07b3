"""What the libraries under our engines would do to others: report us, and mute the logs of the process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from torch import nn

from mmfrm.engines import EngineError, tracing
from mmfrm.engines.model_files import ModelFiles
from mmfrm.engines.openvino_engine import convert, converted
from tests.mmfrm.models import tiny_model

CONVERT_AND_QUANTISE = """
import sys
from pathlib import Path
import numpy as np
from mmfrm.engines.int8 import quantise
from mmfrm.engines.model_files import ModelFiles
faces = np.random.default_rng(0).integers(0, 256, (8, 112, 112, 3), np.uint8)
folder = quantise(ModelFiles(Path(sys.argv[1])), faces)
assert (folder / "model.xml").exists()
loaded = [name for name in sys.modules if name.startswith("openvino_telemetry.")]
assert not loaded, loaded
"""


@pytest.fixture
def root_level() -> Iterator[int]:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    yield logging.INFO
    root.setLevel(before)


def test_conversions_report_to_nobody(tmp_path: Path) -> None:
    """OpenVINO and nncf ask the home folder whether they may, and take no answer for a yes."""
    model = tiny_model(tmp_path / "model")
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "CI"}  # where they never do
    subprocess.run(
        [sys.executable, "-c", CONVERT_AND_QUANTISE, str(model)],
        check=True,
        env=environment | {"HOME": str(home)},
    )
    assert not (home / "intel").exists()


def test_a_conversion_that_fails_leaves_the_logs_on(root_level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "traced", lambda *_: object())
    with pytest.raises(EngineError, match="cannot convert"):
        converted(nn.Identity(), [112, 112, 3], "uint8")
    assert logging.getLogger().level == root_level


def test_conversions_at_once_leave_the_logs_on(root_level: int, tmp_path: Path) -> None:
    model = ModelFiles(tiny_model(tmp_path / "model"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: convert(model, tmp_path / name), ["one.xml", "other.xml"]))
    assert logging.getLogger().level == root_level
