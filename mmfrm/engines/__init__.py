"""Engines of prediction: OpenVINO and torch in several precisions, and the choice between them. No torch."""

import sys

from mmfrm.engines.base import Engine, EngineError, Faces, Logits
from mmfrm.engines.choice import open_engine

__all__ = ["Engine", "EngineError", "Faces", "Logits", "open_engine"]

# Nothing leaves the machine. Through this package OpenVINO's converter and nncf tell Google Analytics of
# every use, under a number kept in the home folder; both do without it where it is not installed.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Python's own way to say so
