"""Photos that are no aligned face crops: which of the faces found in one is taken, and what is said of it.

The finding itself is `mmfrm.faces`', as in labelling, and is the only thing here that needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmfrm.images import ImageError, Pixels
from mmfrm.jobs import SourceJob

if TYPE_CHECKING:
    from mmfrm.faces.find import FaceFinder, PhotoFace

PHOTOS_AT_ONCE = 8  # a stop waits for what was begun, and photos take longer than face crops


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """The face of a photo, where in the upright photo it was, and what is to be told of it."""

    face: Pixels  # (112, 112, 3)
    box: list[int]  # x, y, width, height
    told: str  # "" where there is nothing to tell


Align = Callable[[Pixels], Aligned]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What becomes of a photo's faces. Without `taken` the photo is left out, for the `reason`."""

    taken: PhotoFace | None
    reason: str  # "" where there was one face, and nothing to tell


def choose(faces: Sequence[PhotoFace], job: SourceJob) -> Choice:
    """Of the faces of one photo, the largest first."""
    if not faces:
        return Choice(taken=None, reason=no_face(job.min_face))
    if len(faces) == 1:
        return Choice(taken=faces[0], reason="")
    found = f"{len(faces)} faces were found"
    if job.several == "leave_out":
        return Choice(taken=None, reason=f"{found}, and one was wanted")
    x, y, width, height = faces[0].box
    return Choice(taken=faces[0], reason=f"{found}; the largest was taken ({width}×{height} at {x}, {y})")


def no_face(min_face: int) -> str:
    """Said of a photo without a face, whoever looked for one."""
    return f"no face of at least {min_face} pixels was found"


def finder_of(job: SourceJob) -> FaceFinder | None:
    """What finds the faces of a job's photos; None where each picture is a face crop already."""
    if job.faces != "find":
        return None
    from mmfrm.faces.find import FaceFinder

    return FaceFinder(job.min_face)


def aligning(finder: FaceFinder, job: SourceJob) -> Align:
    """A photo to its one face; ImageError where it has none, or more than are wanted."""

    def align(photo: Pixels) -> Aligned:
        choice = choose(finder.find(photo), job)
        if choice.taken is None:
            raise ImageError(choice.reason)
        return Aligned(face=choice.taken.crop, box=list(choice.taken.box), told=choice.reason)

    return align


def one_thread() -> None:
    """For each thread that finds faces."""
    from mmfrm.faces.find import use_one_thread

    use_one_thread()
