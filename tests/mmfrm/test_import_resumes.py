"""An import that is killed, stopped or started twice ends as one that was not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmfrm.control import Control
from mmfrm.data.ingest import ingest
from mmfrm.data.native import FacePack, FacePackError, Refusal, Sample
from mmfrm.data.pack_writer import PackWriter
from mmfrm.events import Event, Finished, Notice, Stopped
from mmfrm.jobs import ImportJob
from tests.mmfrm.sources import import_events, png, write_zip

PROGRAM = """
import sys
from pathlib import Path
import mmfrm.data.ingest as module
from mmfrm.control import Control
from mmfrm.jobs import ImportJob
module.CHUNK_ITEMS, module.COMMIT_SECONDS = 8, 0.0
job = ImportJob(source=sys.argv[1], out=sys.argv[2])
for event in module.ingest(Path(sys.argv[2]), job, Control()):
    print(event.kind, flush=True)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {
        f"{label}/{i:04d}.png": png(2 * i + k) for i in range(300) for k, label in enumerate(("fear", "joy"))
    }
    files["fear/broken.png"] = b"no pixels"
    return write_zip(tmp_path_factory.mktemp("resume") / "source.zip", files)


@pytest.fixture(scope="module")
def whole(source: Path) -> Path:
    """The same import, never interrupted."""
    import_events(source, source.parent / "whole")
    return source.parent / "whole"


def same(a: Path, b: Path) -> bool:
    names = ("dataset.json", "samples.jsonl", "refused.jsonl", "faces-0.pack", "duplicates.json")
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in names)


def test_killed_again_and_again_it_ends_byte_for_byte_the_same(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(source), str(tmp_path / "out")]
    kills = 0
    for delay in (0.02, 0.05, 0.08, 0.03, 0.1):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        child.stdout.readline()  # it has begun
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
        child.stdout.close()
    assert kills >= 1
    subprocess.run(command, check=True, capture_output=True)
    assert same(tmp_path / "out", whole)


def test_stopped_when_asked_to_it_goes_on_where_it_was(
    source: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfrm.data.ingest.CHUNK_ITEMS", 16)
    control = Control()
    events: list[Event] = []
    job = ImportJob(source=str(source), out=str(tmp_path / "out"))
    for event in ingest(tmp_path, job, control):
        events.append(event)
        control.request_stop("enough")
    assert isinstance(events[-1], Stopped)
    with pytest.raises(FacePackError, match="not a data set"):
        FacePack(tmp_path / "out")
    rest = import_events(source, tmp_path / "out")
    assert any(isinstance(event, Notice) and "Going on after" in event.text for event in rest)
    assert same(tmp_path / "out", whole)


def test_what_an_archive_refuses_is_listed_once_however_often_nothing_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> Iterator[Event]:
        raise KeyboardInterrupt

    source = write_zip(tmp_path / "a.zip", {"../out.png": png(1), "fear/a.png": png(2), "joy/b.png": png(3)})
    with monkeypatch.context() as patched:
        patched.setattr("mmfrm.data.ingest._arrivals", killed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                import_events(source, tmp_path / "out")
    import_events(source, tmp_path / "out")
    lines = (tmp_path / "out" / "refused.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["../out.png"]


def test_a_finished_import_is_not_done_again(source: Path, whole: Path) -> None:
    before = (whole / "faces-0.pack").stat().st_mtime_ns
    events = import_events(source, whole)
    assert [type(event) for event in events] == [Finished]
    assert (whole / "faces-0.pack").stat().st_mtime_ns == before


def test_another_source_starts_afresh(source: Path, tmp_path: Path) -> None:
    import_events(source, tmp_path / "out")
    other = write_zip(tmp_path / "other.zip", {"a.png": png(9000)})
    import_events(other, tmp_path / "out")
    assert [sample.name for sample in FacePack(tmp_path / "out").samples] == ["a.png"]


def test_two_imports_at_once_make_one_data_set(source: Path, whole: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(source), str(tmp_path / "out")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sorted(words[0] for words in told) == ["finished", "started"]  # the second one found it done
    assert same(tmp_path / "out", whole)


def sample(name: str) -> Sample:
    return Sample(0, name, None, None, "", 0, 0, 8, 8, "00")


def test_what_was_not_made_to_last_is_cut_off(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path, "source")
    writer.add([(sample("a"), b"12345")], [Refusal("b", "refused", "why")], 2)
    writer.close()
    for name in ("faces-0.pack", "samples.jsonl", "refused.jsonl"):
        with (tmp_path / name).open("ab") as file:
            file.write(b'{"torn')
    again = PackWriter(tmp_path, "source")
    again.add([(sample("c"), b"67")], [], 1)
    again.close()
    assert (tmp_path / "faces-0.pack").read_bytes() == b"1234567"
    lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [(x["index"], x["name"], x["offset"], x["length"]) for x in lines] == [
        (0, "a", 0, 5),
        (1, "c", 5, 2),
    ]
    assert len((tmp_path / "refused.jsonl").read_text().splitlines()) == 1


def test_a_full_pack_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmfrm.data.pack_writer.PACK_BYTES", 10)
    writer = PackWriter(tmp_path, "source")
    writer.add([(sample(name), b"123456") for name in "abc"], [], 3)
    writer.close()
    lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [(x["pack"], x["offset"]) for x in lines] == [
        ("faces-0.pack", 0), ("faces-1.pack", 0), ("faces-2.pack", 0),
    ]  # fmt: skip


def test_a_damaged_journal_starts_afresh(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path, "source")
    writer.add([(sample("a"), b"12345")], [], 1)
    writer.close()
    (tmp_path / "import.json").write_text("{torn")
    again = PackWriter(tmp_path, "source")
    assert not again.resumed
    again.close()
    assert (tmp_path / "faces-0.pack").read_bytes() == b""
