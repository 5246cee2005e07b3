"""MTCNN on one photo: proposals over an image pyramid, refined twice; boxes, confidences and five points.

Follows Zhang et al. 2016 (arXiv 1604.02878) and the reading of it in facenet-pytorch (MIT). What lies beyond
the photo's edge is black, as in the authors' own code, so that faces cut by the edge keep their proportions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmfrm.faces.networks import as_input, load_networks
from mmfrm.images import Pixels

Floats = np.ndarray[Any, np.dtype[np.float64]]

CELL = 12  # pixels of the field of view of the proposal network
STRIDE = 2
SHRINK = 0.709  # from one level of the pyramid to the next: half the area
# Of the three networks. The authors have 0.6, 0.7, 0.7; of 240 tiled test faces of FERPlus these find 229 in
# place of 225, and nothing where there is none.
THRESHOLDS = (0.5, 0.6, 0.6)
BATCH = 512  # candidates at once


@dataclass(frozen=True, kw_only=True)
class FoundFace:
    """One face in pixels of the upright photo."""

    box: tuple[float, float, float, float]  # x, y, width, height; may reach beyond the photo
    confidence: float  # 0…1
    points: Floats  # (5, 2): eye, eye, nose, mouth corner, mouth corner; left of the picture first


class FaceDetector:
    """Finds faces of at least `min_face` pixels a side. Any number of threads may share one."""

    def __init__(self, min_face: int = 40) -> None:
        self.min_face = min_face
        self._proposal, self._refinement, self._output = load_networks()

    @torch.inference_mode()
    def find(self, pixels: Pixels) -> list[FoundFace]:
        """Faces of one photo (H, W, 3), largest first; the same photo always gives the same list."""
        photo = Image.fromarray(pixels)
        boxes = self._proposals(photo)
        if len(boxes):
            boxes = self._refined(photo, boxes)
        if not len(boxes):
            return []
        boxes, points = self._finished(photo, boxes)
        faces = [
            FoundFace(box=(box[0], box[1], box[2] - box[0], box[3] - box[1]), confidence=box[4], points=five)
            for box, five in zip(boxes.tolist(), points, strict=True)
            if min(box[2] - box[0], box[3] - box[1]) >= 0.8 * self.min_face  # its estimate of size wavers
        ]
        return sorted(faces, key=lambda f: (-f.box[2] * f.box[3], f.box[0], f.box[1]))

    def _proposals(self, photo: Image.Image) -> Floats:
        # (n, 5): left, top, right, bottom, score
        found = [np.zeros((0, 9))]
        scale = CELL / self.min_face
        while min(photo.size) * scale >= CELL:
            size = (int(photo.width * scale + 1), int(photo.height * scale + 1))
            level = photo.resize(size, _filter(photo.size, size), reducing_gap=3.0)
            score, correction = self._proposal(as_input([_tensor(level)]))
            rows, columns = (score[0] >= THRESHOLDS[0]).nonzero(as_tuple=True)
            corner = torch.stack([columns, rows], 1).double() * STRIDE
            boxes = torch.cat([corner / scale, (corner + CELL) / scale], 1)
            told = torch.cat([score[0, rows, columns, None], correction[0, :, rows, columns].T], 1)
            level_found = torch.cat([boxes, told.double()], 1).numpy()
            found.append(level_found[best(level_found, 0.5)])
            scale *= SHRINK
        boxes_and_more = np.concatenate(found)
        kept = boxes_and_more[best(boxes_and_more, 0.7)]
        return _square(_corrected(kept[:, :5], kept[:, 5:]))

    def _refined(self, photo: Image.Image, boxes: Floats) -> Floats:
        parts = [self._refinement(batch) for batch in _cut(photo, boxes, 24)]
        score, correction = (torch.cat(t).double().numpy() for t in zip(*parts, strict=True))
        passed = score > THRESHOLDS[1]
        boxes, correction = np.column_stack([boxes[passed, :4], score[passed]]), correction[passed]
        kept = best(boxes, 0.7)
        return _square(_corrected(boxes[kept], correction[kept]))

    def _finished(self, photo: Image.Image, boxes: Floats) -> tuple[Floats, Floats]:
        parts = [self._output(batch) for batch in _cut(photo, boxes, 48)]
        score, correction, shares = (torch.cat(t).double().numpy() for t in zip(*parts, strict=True))
        passed = score > THRESHOLDS[2]
        boxes = np.column_stack([boxes[passed, :4], score[passed]])
        shares = shares[passed].reshape(-1, 2, 5).transpose(0, 2, 1)  # (n, 5, 2)
        points = boxes[:, None, :2] + shares * (boxes[:, None, 2:4] - boxes[:, None, :2])
        boxes = _corrected(boxes, correction[passed])
        kept = best(boxes, 0.7, of_smaller=True)
        return boxes[kept], points[kept]


def best(boxes: Floats, most_overlap: float, *, of_smaller: bool = False) -> np.ndarray[Any, Any]:
    """Non-maximum suppression: positions of boxes (n, 5 or more: corners, score) to keep, best score first.

    Overlap is intersection over union, or over the smaller of the two boxes.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = np.argsort(-boxes[:, 4], kind="stable")
    kept = []
    while len(waiting):
        first, rest = waiting[0], waiting[1:]
        kept.append(first)
        low = np.maximum(boxes[first, :2], boxes[rest, :2])
        high = np.minimum(boxes[first, 2:4], boxes[rest, 2:4])
        shared = (high - low).clip(0).prod(axis=1)
        whole = np.minimum(area[first], area[rest]) if of_smaller else area[first] + area[rest] - shared
        waiting = rest[shared <= most_overlap * whole]
    return np.array(kept, dtype=np.int64)


def _corrected(boxes: Floats, correction: Floats) -> Floats:
    size = boxes[:, 2:4] - boxes[:, :2]
    return np.column_stack([boxes[:, :4] + correction * np.tile(size, 2), boxes[:, 4]])


def _square(boxes: Floats) -> Floats:
    middle = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.column_stack([middle - half, middle + half, boxes[:, 4]])


def _cut(photo: Image.Image, boxes: Floats, side: int) -> list[Tensor]:
    """Batches (B, 3, side, side) of what the boxes hold; black beyond the edge."""
    cuts = []
    for left, top, right, bottom in boxes[:, :4].round().astype(int).tolist():
        corner = (left, top, max(right, left + 1), max(bottom, top + 1))
        cut = photo.crop(corner)
        cuts.append(_tensor(cut.resize((side, side), _filter(cut.size, (side, side)))))
    return [as_input(cuts[i : i + BATCH]) for i in range(0, len(cuts), BATCH)]


def _filter(size: tuple[int, int], wanted: tuple[int, int]) -> Image.Resampling:
    # The networks were trained on means over areas; larger than it is, a picture is interpolated.
    return Image.Resampling.BOX if size[0] > wanted[0] else Image.Resampling.BILINEAR


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture))
