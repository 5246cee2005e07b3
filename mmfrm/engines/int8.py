"""The int8 version of a model for OpenVINO, calibrated on faces by nncf."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from mmfrm.engines.base import EngineError, Faces
from mmfrm.engines.model_files import ModelFiles
from mmfrm.engines.openvino_engine import INT8_FOLDER, convert, save

CALIBRATION_FACES = 300  # what nncf's authors found to be enough
# CBAM's small layers, α, the last layer and products of maps with gates stay in floating point: a fiftieth
# of the work, where rounding moves whole maps. With the starter model 98.5 instead of 94.3 % of FERPlus test
# faces keep their class, at 284 instead of 298 images/s (fp32: 110).
KEPT_EXACT = [".*attention.*", ".*alpha.*", r".*\.fc/.*"]


def quantise(files: ModelFiles, faces: Faces) -> Path:
    """Make the int8 version beside the model, from faces (n, 112, 112, 3) of the kind it was trained on.

    Its own accuracy must be checked before it is used (`mmfrm.engines.check`).
    Raises EngineError where nncf or OpenVINO is missing.
    """
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise EngineError(
            f"int8 needs the extra packages of pip install 'mmfrm[export]' ({error})"
        ) from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    fp32 = files.derived("openvino", lambda folder: convert(files, folder / "model.xml")) / "model.xml"

    def make(folder: Path) -> None:
        model = openvino.Core().read_model(fp32)
        spread = np.linspace(0, len(faces) - 1, min(len(faces), CALIBRATION_FACES)).astype(int)
        calibration = nncf.Dataset([faces[at][None] for at in spread])
        quantised = nncf.quantize(
            model,
            calibration,
            preset=nncf.QuantizationPreset.MIXED,  # our activations go below zero: PReLU, CBAM, norms
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(spread),
            ignored_scope=nncf.IgnoredScope(
                patterns=KEPT_EXACT,
                types=["Multiply"],
                validate=False,  # not every fusion has all of these
            ),
        )
        save(quantised, folder / "model.xml")

    files.forget(INT8_FOLDER)  # made of other faces, perhaps
    return files.derived(INT8_FOLDER, make)
