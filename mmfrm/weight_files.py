"""Around `save_file` of safetensors: its errors and its files as those of every other program. No torch."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

# "… No space left on device (os error 28)", or of older releases "… IoError(Os { code: 28, …".
NUMBER = re.compile(r"(?:os error|code:) (\d+)")


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Around `save_file`: OSError, with the path, for what it wraps in an error of its own.

    The file may be read by those who may read any other that this process makes: safetensors renames a
    temporary file, which only its owner can read, and a worker and the web pages may be two users.
    """
    try:
        path.touch()
        mode = stat.S_IMODE(path.stat().st_mode)
        yield
        path.chmod(mode)
    except SafetensorError as error:
        found = NUMBER.search(str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error
