"""The commands: options made from the dataclasses, help that teaches, wrong usage that is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmfrm import command_line
from mmfrm.__main__ import main
from mmfrm.command_line import EXAMPLES, job_of, make_parser, settings_table
from mmfrm.events import EpochEnd, Evaluated, Failed, Finished, Notice, Progress, Started, StepDone, Stopped
from mmfrm.jobs import JOBS, DrawJob, EvaluateJob, PredictJob, TrainJob, read_job
from mmfrm.presets import presets
from mmfrm.run import FINISHED, WRONG_USAGE
from mmfrm.settings import settings_of
from mmfrm.terminal import Screen, clock, lines


@pytest.mark.parametrize("kind", JOBS)
def test_every_command_explains_itself_with_an_example_and_exit_codes(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([kind, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"Example: {EXAMPLES[kind]}" in text
    assert "Exit codes" in text
    assert "--out" in text


@pytest.mark.parametrize("kind", JOBS)
def test_every_example_is_a_command_that_parses(kind: str) -> None:
    given = make_parser().parse_args(EXAMPLES[kind].split()[3:])
    assert isinstance(job_of(given), JOBS[kind])


def test_every_setting_is_listed_with_its_meaning_and_range() -> None:
    table = settings_table(presets()["small"])
    for setting in settings_of(presets()["small"]):
        assert f"{setting.name} = {setting.value}" in table
        assert setting.title in table
    assert "optim.epochs" in table
    assert "[1 to 10000]" in table


def test_settings_are_listed_without_naming_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--settings", "--preset", "paper"]) == FINISHED
    assert "optim.epochs = 200" in capsys.readouterr().out


def test_presets_and_changes_make_the_config() -> None:
    text = "train --data faces --preset small --out x"
    for change in ("optim.epochs=3", "augment.flip=off", "network.width=0.5"):
        text += f" --set {change}"
    job = job_of(make_parser().parse_args(text.split()))
    assert isinstance(job, TrainJob)
    assert job.data == str(Path("faces").absolute())
    assert job.config.optim.epochs == 3
    assert job.config.augment.flip is False
    assert job.config.network.width == 0.5
    assert job.config.loss == presets()["small"].loss


def test_a_mapping_is_given_pair_by_pair() -> None:
    text = "evaluate --model m --data d --map happy=happiness --map contempt= --out x"
    job = job_of(make_parser().parse_args(text.split()))
    assert isinstance(job, EvaluateJob)
    assert job.mapping == {"happy": "happiness", "contempt": ""}


@pytest.mark.parametrize("command", ["predict photos --out x", "predict photos --model starter --out x"])
def test_the_model_that_ships_is_called_starter_and_labels_where_none_is_named(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line, "STARTER", tmp_path / "package")
    (tmp_path / "package").mkdir()
    job = job_of(make_parser().parse_args(command.split()))
    assert isinstance(job, PredictJob)
    assert job.model == str(tmp_path / "package")
    (tmp_path / "starter").mkdir()  # a folder of that name lies here: it is meant
    job = job_of(make_parser().parse_args(["predict", "photos", "--model", "starter", "--out", "x"]))
    assert isinstance(job, PredictJob)
    assert job.model == str(tmp_path / "starter")


def test_the_quick_model_is_named_by_that_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line, "QUICK", tmp_path / "package")
    (tmp_path / "package").mkdir()
    job = job_of(make_parser().parse_args(["predict", "photos", "--model", "quick", "--out", "x"]))
    assert isinstance(job, PredictJob)
    assert job.model == str(tmp_path / "package")


def test_where_no_model_ships_one_must_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "STARTER", tmp_path / "nothing")
    assert main(["predict", "photos", "--out", str(tmp_path / "x")]) == WRONG_USAGE
    assert "model: is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train --out x", "data: is needed"),
        ("train --data d", "--out: is needed"),
        ("train --data d --out x --set optim.epochs=0", "optim.epochs: 0 is not between 1 and 10000"),
        ("train --data d --out x --set optim.epochs=many", "optim.epochs: 'many' should be a number"),
        ("train --data d --out x --set optim.speed=9", "optim.speed: no such setting"),
        ("train --data d --out x --set augment.flip=perhaps", "should be true or false"),
        ("train --data d --out x --set optim.epochs", "should be NAME=VALUE"),
        ("run x", "x: holds no job.json"),
    ],
)
def test_wrong_usage_is_named_and_exits_with_2(
    command: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == WRONG_USAGE
    assert words in capsys.readouterr().err
    assert not (tmp_path / "x" / "job.json").exists()


def test_the_same_command_goes_on_and_another_one_is_refused(tmp_path: Path) -> None:
    def command(count: int) -> subprocess.CompletedProcess[str]:
        text = [
            sys.executable,
            "-m",
            "mmfrm",
            "draw",
            "--count",
            str(count),
            "--out",
            str(tmp_path / "faces"),
        ]
        return subprocess.run(text, capture_output=True, text=True, check=False)

    first = command(40)
    assert first.returncode == FINISHED
    assert "finished" in first.stderr
    assert read_job(tmp_path / "faces") == DrawJob(out=str(tmp_path / "faces"), count=40)
    assert command(40).returncode == FINISHED
    other = command(50)
    assert other.returncode == WRONG_USAGE
    assert "holds another job (count: 40 there, 50 here)" in other.stderr


def test_events_json_prints_an_event_a_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mmfrm",
        "draw",
        "--count",
        "40",
        "--out",
        str(tmp_path),
        "--events",
        "json",
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    kinds = [json.loads(line)["kind"] for line in process.stdout]
    assert process.wait(120) == FINISHED
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"


FIGURES = {"loss": 1.25, "accuracy": 0.5, "mean_class_accuracy": 0.25}


def test_people_see_a_bar_and_a_line_for_what_matters(tmp_path: Path) -> None:
    end = EpochEnd(
        epoch=0, step=7, train=FIGURES, val=FIGURES, learning_rate=0.1, gradient_norm=1.0,
        images_per_second=30.0, seconds=2.0, memory_bytes=1, best=True,
    )  # fmt: skip
    step = StepDone(step=3, epoch=0, loss=1.5, learning_rate=0.1, gradient_norm=1.0, images_per_second=30.0)
    with (tmp_path / "screen").open("w") as stream, Screen(stream) as screen:
        for event in (
            Started(resumed=True, facts={"device": "cpu", "counts": {"left": "out"}}),
            step,
            Progress(done=5, total=10, phase="training", rate=2.0, seconds_left=3700.0),
            end,
            Evaluated(split="test", figures=FIGURES),
            Notice(text="mind the gap", level="warning"),
            Finished(result={"model": "model"}),
        ):
            screen.tell(event)
    shown = (tmp_path / "screen").read_text()
    assert "goes on: device cpu" in shown
    assert "loss 1.500, 1:01:40 left in all" in shown
    line = "epoch 1: train loss 1.250, accuracy 50.0 %, mean-class 25.0 % | val loss 1.250"
    assert line in shown
    assert "best so far" in shown
    assert "test: loss 1.250" in shown
    assert "warning: mind the gap" in shown
    assert "model: model" in shown


def test_endings_say_how_to_go_on() -> None:
    assert lines(Stopped(reason="a stop was asked for")) == [
        "stopped: a stop was asked for. The same command goes on from here."
    ]
    failed = lines(Failed(message="The disk is full.", resumable=True, detail="Traceback\n  where"))
    assert failed == ["Traceback", "  where", "failed: The disk is full. Resumable."]


def test_times_are_told_in_hours_and_minutes() -> None:
    assert [clock(s) for s in (0, 61, 3599.6, 7265)] == ["0:00", "1:01", "1:00:00", "2:01:05"]


def test_a_training_is_extended_by_a_command_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mmfrm.command_line.run_folder", lambda folder, events: 0)
    folder = str(tmp_path / "run")
    train = ["train", "--data", "faces", "--out", folder, "--set"]
    assert main([*train, "optim.epochs=3"]) == 0
    assert main([*train, "optim.epochs=5"]) == WRONG_USAGE
    assert f"to train longer: python -m mmfrm steer {folder} --extend N" in capsys.readouterr().err
    assert main(["steer", folder, "--extend", "2"]) == 0
    assert main(["steer", folder, "--scale-rate", "0.5", "--extend", "1"]) == 0
    assert "2 more epochs\n" in capsys.readouterr().out
    job = read_job(tmp_path / "run")
    assert isinstance(job, TrainJob)
    assert [(o["number"], o["do"]) for o in job.steering] == [(1, "extend"), (2, "extend"), (3, "scale_rate")]
    assert main([*train, "optim.epochs=3"]) == 0  # the same command goes on
    assert main([*train, "optim.epochs=3", "--set", "runtime.precision=fp32"]) == 0, "a remedy of failures"
    assert read_job(Path(folder)).config.runtime.precision == "fp32"  # type: ignore[attr-defined]
    assert read_job(Path(folder)).steering  # type: ignore[attr-defined]
    assert main([*train, "optim.epochs=3", "--set", "optim.batch_size=8"]) == WRONG_USAGE
    for wrong in (["--extend", "1.5"], ["--extend", "x"], []):
        try:
            code = main(["steer", folder, *wrong])
        except SystemExit as usage:
            code = int(str(usage.code))
        assert code == WRONG_USAGE
