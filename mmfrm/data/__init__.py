"""Faces: reading any source, native data sets, caches, splits, augmentation.

Importing this package, or its readers, does not import torch: `open_faces`, `Faces` and `FaceSplit` are
loaded when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmfrm.data.faces import Faces, FaceSplit, open_faces

__all__ = ["FaceSplit", "Faces", "open_faces"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mmfrm.data import faces

        return getattr(faces, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
