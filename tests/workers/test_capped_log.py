"""Logs keep their end and never fill the disk."""

from __future__ import annotations

from pathlib import Path

from workers.capped_log import CappedLog


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
