"""A finished run becomes a model that ships: halved, with a card that hides nothing of how it was made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmfrm import shipping
from mmfrm.checkpoint import load_model
from mmfrm.failures import JobError
from mmfrm.jobs import TrainJob, write_job
from mmfrm.run import FINISHED, run_folder
from tests.mmfrm.training import drawn_faces, smallest

__all__ = ["drawn_faces"]  # a fixture


@pytest.fixture(scope="module")
def run(drawn_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("run") / "first"
    write_job(folder, TrainJob(data=str(drawn_faces), config=smallest()))
    assert run_folder(folder, events="bar") == FINISHED
    return folder


def test_weights_are_halved_and_the_card_is_the_runs(run: Path, tmp_path: Path) -> None:
    card = shipping.ship(run, tmp_path / "starter", data_name="Drawn", preset="quick-look")
    size = [(folder / "model.safetensors").stat().st_size for folder in (run / "model", tmp_path / "starter")]
    assert size[1] < 0.6 * size[0]
    loaded = load_model(tmp_path / "starter")
    assert loaded.classes == load_model(run / "model").classes
    assert json.loads((tmp_path / "starter" / "model.json").read_text())["card"] == card
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    [tested] = [event["figures"] for event in events if event["kind"] == "evaluated"]
    assert card["figures"]["test"]["accuracy"] == tested["accuracy"]
    assert card["data"]["name"] == "Drawn"
    assert card["start_from"] == ""
    assert str(run) not in json.dumps(card)


def test_a_run_that_did_not_start_from_scratch_must_say_from_what(
    run: Path,
    drawn_faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_job(
        tmp_path / "second",
        TrainJob(data=str(drawn_faces), config=smallest(optim__epochs=1), start_from=str(run / "model")),
    )
    assert run_folder(tmp_path / "second", events="bar") == FINISHED
    capsys.readouterr()
    command = ["shipping", str(tmp_path / "second"), str(tmp_path / "starter"), "--data-name", "Drawn"]
    monkeypatch.setattr("sys.argv", command)
    assert shipping.main() == 1
    assert "did not start from scratch" in capsys.readouterr().err
    assert not (tmp_path / "starter").exists()
    monkeypatch.setattr("sys.argv", [*command, "--began-with", "another run"])
    assert shipping.main() == 0
    assert (
        json.loads((tmp_path / "starter" / "model.json").read_text())["card"]["start_from"] == "another run"
    )


def test_a_run_that_has_not_ended_does_not_ship(run: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "run"
    unfinished.mkdir()
    (unfinished / "job.json").write_bytes((run / "job.json").read_bytes())
    lines = (run / "events.jsonl").read_text().splitlines()
    (unfinished / "events.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(JobError, match="has not ended"):
        shipping.ship(unfinished, tmp_path / "starter", data_name="Drawn", preset="quick-look")


def test_what_kills_left_in_the_events_does_not_keep_a_run_from_shipping(run: Path, tmp_path: Path) -> None:
    torn = tmp_path / "run"
    shutil.copytree(run, torn)
    first, *rest = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
    spoilt = [b'{"kind":"step","lo\n', b"\0\0\xff\n", b"5\n", b"[]\n", b'{"epoch": 1}\n', b"\n"]
    (torn / "events.jsonl").write_bytes(b"".join([first, *spoilt, *rest, b'{"kind":"st']))
    cards = [
        shipping.ship(folder, tmp_path / f"model-{k}", data_name="Drawn", preset="quick-look")
        for k, folder in enumerate((run, torn))
    ]
    assert cards[0] == cards[1]


def test_a_run_that_has_not_begun_does_not_ship(run: Path, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_bytes((run / "job.json").read_bytes())
    with pytest.raises(JobError, match="has not ended"):
        shipping.ship(tmp_path, tmp_path / "starter", data_name="Drawn", preset="quick-look")
