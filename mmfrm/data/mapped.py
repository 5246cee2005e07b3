"""Arrays that are filled through memory and kept as files. No torch."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np

_CANNOT = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # said by file systems, not by full ones

Bytes = np.memmap[Any, np.dtype[np.uint8]]


def mapped_zeros(path: Path, shape: tuple[int, ...]) -> Bytes:
    """A new .npy file of that many zeros, mapped into memory to be written.

    Its room on the disk is taken at once. A file with holes, written through memory, would end the process
    with SIGBUS when the disk is full. Raises OSError where there is no room, and leaves no file then.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    try:
        _take_room(path)
    except OSError:
        del array  # or what was taken stays taken until the exception is forgotten
        path.unlink(missing_ok=True)
        raise
    return array


def _take_room(path: Path) -> None:
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is None:  # macOS
        return
    with path.open("r+b") as file:
        try:
            allocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
