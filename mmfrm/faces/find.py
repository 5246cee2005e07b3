"""From the bytes of a photo to its aligned faces: the labelling job's way to what its network takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mmfrm.faces.align import aligned
from mmfrm.faces.detector import FaceDetector
from mmfrm.images import Pixels, decode


@dataclass(frozen=True, kw_only=True)
class PhotoFace:
    """One face of a photo: the crop, and where it was found in the upright photo."""

    crop: Pixels  # (112, 112, 3)
    box: tuple[int, int, int, int]  # x, y, width, height in whole pixels, within the photo
    confidence: float  # of the detector, 0…1


class FaceFinder:
    """Finds and aligns the faces of photos, in as many threads as ask."""

    def __init__(self, min_face: int) -> None:
        self._detector = FaceDetector(min_face)
        self.min_face = min_face

    def faces(self, data: bytes) -> list[PhotoFace]:
        """Faces of one encoded photo, largest first. Raises ImageError where it is no picture."""
        return self.find(decode(data))  # upright: boxes count from the corner that people see

    def find(self, pixels: Pixels) -> list[PhotoFace]:
        """The same of a photo that is decoded already, (H, W, 3)."""
        height, width = pixels.shape[:2]
        return [
            PhotoFace(
                crop=aligned(pixels, face.points),
                box=_within(face.box, width, height),
                confidence=round(face.confidence, 4),
            )
            for face in self._detector.find(pixels)
        ]


def use_one_thread() -> None:
    """For each thread that finds faces: photos go side by side, so that torch need not divide one."""
    torch.set_num_threads(1)


def _within(box: tuple[float, float, float, float], width: int, height: int) -> tuple[int, int, int, int]:
    left, top = max(0, round(box[0])), max(0, round(box[1]))
    right, bottom = min(width, round(box[0] + box[2])), min(height, round(box[1] + box[3]))
    return left, top, max(1, right - left), max(1, bottom - top)
