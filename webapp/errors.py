"""What services say when they will not."""

from __future__ import annotations


class RefusedError(Exception):
    """A wish cannot be granted now. The text says why and what to do, for people."""
