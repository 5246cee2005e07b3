"""What goes wrong with the disk while weights are written, as every other error of the system. No torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

# "… No space left on device (os error 28)", or of older releases "… IoError(Os { code: 28, …".
NUMBER = re.compile(r"(?:os error|code:) (\d+)")


@contextmanager
def errors_of_the_system(path: Path) -> Iterator[None]:
    """Around `save_file`: what safetensors wraps in an error of its own becomes OSError, with the path."""
    try:
        yield
    except SafetensorError as error:
        found = NUMBER.search(str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error
