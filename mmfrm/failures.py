"""Why a job cannot go on, in words that name the remedy. No torch."""

from __future__ import annotations

import errno
import traceback

from mmfrm.events import Failed
from mmfrm.schema import ConfigError


class JobError(Exception):
    """A job cannot go on for a reason a person can mend; the text names the remedy.

    `resumable`: whether starting the job again, once mended, goes on from where it was.
    """

    def __init__(self, message: str, *, resumable: bool = True) -> None:
        super().__init__(message)
        self.resumable = resumable


def explain(error: BaseException) -> Failed:
    """The Failed event of an exception: a message with the remedy, and the traceback for the log."""
    message, resumable = _explanation(error)
    detail = "".join(traceback.format_exception(error))
    return Failed(message=message, resumable=resumable, detail=detail)


def _explanation(error: BaseException) -> tuple[str, bool]:  # noqa: PLR0911 - a table of causes
    if isinstance(error, JobError):
        return str(error), error.resumable
    if isinstance(error, ConfigError):
        return f"A setting is wrong. {error}", False
    if _is_out_of_memory(error):
        return (
            "Out of memory. Free some, and the job goes on from what is done so far; or start a new one with "
            "a smaller batch size or network (a training may start from this one's last checkpoint).",
            True,
        )
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, ModuleNotFoundError):
        return f"The package {error.name} is missing: install it into this environment and start again.", True
    if "CUDA error" in str(error):
        return f"The GPU reported an error ({_first_line(error)}). Start again; it goes on from there.", True
    return f"An unexpected error: {type(error).__name__}: {_first_line(error)}", False


def _of_the_system(error: OSError) -> tuple[str, bool]:
    name = error.filename if error.filename is not None else "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full. Free some space and start again; the job goes on from there.", True
    if isinstance(error, FileNotFoundError):
        return f"{name} is not there (any more). Put it back and start again; the job goes on.", True
    if isinstance(error, PermissionError):
        return f"{name} may not be read or written by this user. Change its permissions.", True
    return f"The system reported an error: {_first_line(error)}. Start again; the job goes on.", True


def _is_out_of_memory(error: BaseException) -> bool:
    # By name and text, since torch must not be imported for jobs that do without it.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "out of memory" in text.lower() or "failed to allocate" in text
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
