"""Logs keep their end and never fill the disk."""

from __future__ import annotations

import errno
import logging
import shutil
from pathlib import Path

import pytest

from workers.capped_log import PAUSE, CappedLog


def test_a_long_log_is_cut_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "web.log", limit=100)
    with log.open() as writer:  # a process that holds the file open all the time
        writer.write(b"x" * 150 + b"\n")
        log.cut_if_long()
        writer.write(b"after the cut\n")
    assert log.path.read_bytes() == b"after the cut\n"
    assert (tmp_path / "web.log.1").stat().st_size == 151


def test_the_tail_holds_only_what_was_written_since(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "log.txt")
    log.write("the attempt before")
    start = log.size()
    log.write("one\ntwo\nthree")
    assert log.tail(lines=2, since=start) == "two\nthree"
    assert log.tail(since=start) == "one\ntwo\nthree"


def test_the_tail_of_no_log_is_empty(tmp_path: Path) -> None:
    assert CappedLog(tmp_path / "none.txt").tail() == ""


def test_a_full_disk_leaves_a_log_long_and_nobody_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "workers.capped_log")
    now = 0.0
    log = CappedLog(tmp_path / "web.log", limit=100, clock=lambda: now)
    log.write("x" * 150)
    copyfile, tries = shutil.copyfile, 0

    def half(source: Path, target: Path) -> None:
        nonlocal tries
        tries += 1
        target.write_bytes(source.read_bytes()[:50])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", half)
    for _ in range(3):  # as a supervisor looks, ten times a second
        log.cut_if_long()
    assert log.size() == 151
    assert [path.name for path in tmp_path.iterdir()] == ["web.log"]
    assert tries == 1
    assert "web.log stays long: [Errno 28] No space left on device" in caplog.text
    monkeypatch.setattr(shutil, "copyfile", copyfile)
    now += PAUSE
    log.cut_if_long()
    assert log.size() == 0
    assert (tmp_path / "web.log.1").stat().st_size == 151
