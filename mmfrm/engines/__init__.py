"""Engines of prediction: OpenVINO and torch in several precisions, and the choice between them. No torch."""

from mmfrm.engines.base import Engine, EngineError, Faces, Logits
from mmfrm.engines.choice import open_engine

__all__ = ["Engine", "EngineError", "Faces", "Logits", "open_engine"]
