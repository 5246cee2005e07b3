"""Find the faces of a photo and align each to the crop that the networks take."""

from __future__ import annotations
