"""What people choose before an import: classes under other names, together or left out, splits and groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfrm.classes import LEFT_OUT, renamed
from mmfrm.command_line import job_of, make_parser
from mmfrm.control import Control
from mmfrm.data.ingest import ingest
from mmfrm.data.native import FacePack
from mmfrm.data.preview import preview
from mmfrm.events import Finished, Notice
from mmfrm.failures import JobError
from mmfrm.jobs import ImportJob, PreviewJob
from mmfrm.labels import DROPPED, class_columns, label_votes
from tests.mmfrm.sources import import_events, imported, png, refusals, write_folder, write_zip
from tests.mmfrm.test_face_finding import FERPLUS

NAMES = ("anger", "contempt", "disgust", "happiness")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    files = {f"{'test' if i > 7 else 'train'}/{NAMES[i % 4]}/{i:02}.png": png(i) for i in range(12)}
    return write_zip(tmp_path / "faces.zip", files)


def labels(pack: FacePack) -> dict[str, str | None]:
    classes = pack.description.classes
    return {
        sample.name.rpartition("/")[2]: None if sample.label is None else classes[sample.label]
        for sample in pack.samples
    }


def look(source: Path, folder: Path, **settings: Any) -> dict[str, Any]:
    last = list(preview(folder, PreviewJob(source=str(source), **settings), Control()))[-1]
    assert isinstance(last, Finished)
    return last.result


def test_classes_are_left_out_merged_and_called_otherwise(folders: Path, tmp_path: Path) -> None:
    mapping = {"contempt": "", "disgust": "anger", "happiness": "Delight"}
    pack = imported(folders, tmp_path / "out", mapping=mapping)
    assert pack.description.classes == ["Delight", "anger"]
    assert labels(pack) == {
        f"{i:02}.png": "Delight" if i % 4 == 3 else "anger" for i in range(12) if i % 4 != 1
    }
    report = pack.description.report
    assert report["chosen"] == {"classes": mapping}
    assert report["left_out"] == {"contempt": 3}
    [said] = refusals(tmp_path / "out")["train/contempt/01.png"]
    assert (said.verdict, said.reason) == ("skipped", "its class is left out: contempt")


def test_no_choice_and_one_that_changes_nothing_are_the_same_import(folders: Path, tmp_path: Path) -> None:
    plain = imported(folders, tmp_path / "out").description
    [again] = import_events(folders, tmp_path / "out", mapping={"anger": "anger"})
    assert isinstance(again, Finished)
    assert "chosen" not in plain.report


def test_other_choices_start_afresh_and_the_same_ones_go_on(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfrm.data.ingest.CHUNK_ITEMS", 2)
    monkeypatch.setattr("mmfrm.data.ingest.COMMIT_SECONDS", 0.0)
    whole = imported(folders, tmp_path / "whole", mapping={"contempt": ""})

    def stopped_early(out: Path, **settings: Any) -> list[str]:
        control = Control()
        notices = []
        for event in ingest(out, ImportJob(source=str(folders), out=str(out), **settings), control):
            notices += [event.text] if isinstance(event, Notice) else []
            control.request_stop("enough")
        return notices

    stopped_early(tmp_path / "out")
    stopped_early(tmp_path / "out", mapping={"contempt": ""})
    rest = import_events(folders, tmp_path / "out", mapping={"contempt": ""})
    texts = [event.text for event in rest if isinstance(event, Notice)]
    assert any(text.startswith("Going on after") for text in texts)
    pack = FacePack(tmp_path / "out")
    assert pack.samples == whole.samples
    assert pack.description == whole.description


def test_splits_and_groups_can_be_forgotten(tmp_path: Path) -> None:
    files = {
        "train/happy/S010_006_00000015.png": png(1),
        "test/fear/S011_003_00000013.png": png(2),
    }
    source = write_folder(tmp_path / "faces", files)
    seen = look(source, tmp_path / "look")
    assert seen["tally"]["splits"] == {"train": 1, "test": 1}
    assert seen["groups"]["by"] == "file names"
    pack = imported(source, tmp_path / "out", splits="none", group_by="-")
    assert {(sample.split, sample.group) for sample in pack.samples} == {(None, None)}
    assert "grouped_by" not in pack.description.report


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [f"{i:02}.png,{NAMES[i % 4]},s{i % 5},room {i % 2},p{i}" for i in range(12)]
    files = {f"{i:02}.png": png(i) for i in range(12)}
    files["labels.csv"] = "\n".join(["file,label,subject,place,take", *rows, ""]).encode()
    return write_zip(tmp_path / "table.zip", files)


def test_the_column_that_groups_is_recognised_shown_and_may_be_another(table: Path, tmp_path: Path) -> None:
    groups = look(table, tmp_path / "look")["groups"]
    assert (groups["by"], groups["recognised"], groups["why"]) == ("subject", "subject", "its name says so")
    assert groups["columns"] == [
        {"name": "subject", "values": 5, "example": "s0"},
        {"name": "place", "values": 2, "example": "room 0"},
        {"name": "take", "values": 12, "example": "p0"},
    ]
    twice = {"a.png": png(1), "l.csv": b"file,label,-,,note\na.png,fear,x,y,z\n"}
    seen = look(write_zip(tmp_path / "odd.zip", twice), tmp_path / "look")["groups"]
    assert [column["name"] for column in seen["columns"]] == ["note"]
    assert (seen["by"], seen["why"]) == ("", "no column is named after people")
    assert imported(table, tmp_path / "found").description.report["grouped_by"] == "subject"
    pack = imported(table, tmp_path / "chosen", group_by="place")
    assert {sample.group for sample in pack.samples} == {"room 0", "room 1"}
    assert pack.description.report["grouped_by"] == "place"
    assert pack.description.report["chosen"] == {"group_by": "place"}
    none = imported(table, tmp_path / "none", group_by="-")
    assert {sample.group for sample in none.samples} == {None}
    groups = look(table, tmp_path / "look", group_by="-")["groups"]
    assert (groups["by"], groups["recognised"]) == ("", "subject")


def test_a_column_or_a_class_that_is_not_there_is_said(table: Path, folders: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no column who to group by; it has subject, place, take"):
        imported(table, tmp_path / "out", group_by="who")
    with pytest.raises(JobError, match="No column who can group what is read as folders"):
        imported(folders, tmp_path / "out", group_by="who")
    with pytest.raises(JobError, match="'joy' is not a class of the source; it has happiness"):
        imported(folders, tmp_path / "out", mapping={"joy": "happiness"})


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"fear": "anger"}, "1 class would stay"),
        ({"fear": "", "anger": ""}, "no class would stay"),
        ({"fear": "Uncertain"}, "names no expression. Leave it out instead"),
    ],
)
def test_what_cannot_be_a_data_set_is_refused(names: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        renamed(("anger", "fear"), names)


def test_no_more_classes_stay_than_a_network_tells_apart() -> None:
    many = [f"class {i}" for i in range(66)]
    with pytest.raises(ValueError, match="65 classes would stay; a network tells at most 64 apart"):
        renamed(many, {"class 0": ""})
    assert len(renamed(many, {"class 0": "", "class 1": "class 2"})) == 66


def test_a_usual_spelling_is_the_expression() -> None:
    assert renamed(("fear", "rage"), {"rage": " angry "}) == ["fear", "anger"]


def test_votes_for_what_is_left_out_still_count_and_those_of_merged_classes_add_up(tmp_path: Path) -> None:
    rows = {
        "anger": (6, 0, 0, 2),
        "none": (4, 4, 0, 2),  # would be anger if the votes for contempt were forgotten
        "contempt": (1, 8, 0, 1),
        "both": (4, 0, 4, 2),  # anger and disgust, which become one
    }
    lines = [
        "image,anger,contempt,disgust,fear",
        *(f"{n}.png,{','.join(map(str, v))}" for n, v in rows.items()),
    ]
    files = {f"{name}.png": png(i) for i, name in enumerate(rows)}
    files["votes.csv"] = "\n".join([*lines, ""]).encode()
    source = write_zip(tmp_path / "votes.zip", files)
    pack = imported(source, tmp_path / "out", mapping={"contempt": "", "disgust": "anger"})
    assert pack.description.classes == ["anger", "fear"]
    assert pack.description.vote_columns == ["anger", LEFT_OUT, "fear"]
    assert labels(pack) == {"anger.png": "anger", "none.png": None, "both.png": "anger"}
    assert pack.description.report["left_out"] == {"contempt": 1}
    votes = {sample.name: sample.votes for sample in pack.samples}
    assert votes["both.png"] == [8, 0, 2]


def test_a_look_counts_the_classes_of_the_source_and_shows_what_the_choice_leaves(
    folders: Path, tmp_path: Path
) -> None:
    seen = look(folders, tmp_path / "look", mapping={"contempt": "", "disgust": "anger"})
    assert seen["classes"] == ["happiness", "anger", "disgust", "contempt"]
    assert seen["tally"]["classes"] == dict.fromkeys(seen["classes"], 3)
    assert seen["outcomes"] == {"taken": 9, "left_out": 3}
    told = {p["name"].rpartition("/")[2]: (p["label"], p["reason"]) for p in seen["pictures"]}
    assert told["02.png"] == ("anger", "")
    assert told["01.png"] == (None, "its class is left out: contempt")


def test_the_command_line_takes_the_same_choices(tmp_path: Path) -> None:
    words = ["import", "a.zip", "--map", "contempt=", "--map", "disgust=anger", "--group-by", "who"]
    job = job_of(make_parser().parse_args([*words, "--splits", "none", "--out", str(tmp_path / "out")]))
    assert isinstance(job, ImportJob)
    assert (job.mapping, job.group_by, job.splits) == ({"contempt": "", "disgust": "anger"}, "who", "none")


@pytest.mark.slow
@pytest.mark.skipif(not FERPLUS.is_file(), reason="real faces are absent (../shared)")
def test_seven_classes_of_ferplus_are_eight_without_contempt_under_every_rule(tmp_path: Path) -> None:
    eight = imported(FERPLUS, tmp_path / "eight")
    seven = imported(FERPLUS, tmp_path / "seven", mapping={"contempt": ""})
    kept = {name: label for name, label in labels(eight).items() if label != "contempt"}
    assert labels(seven) == kept
    assert seven.description.report["left_out"] == {"contempt": len(eight.samples) - len(seven.samples)}
    for rule in ("argmax", "soft"):
        before, after = by_rule(eight, rule), by_rule(seven, rule)
        assert after == {name: None if before[name] == "contempt" else before[name] for name in after}


def by_rule(pack: FacePack, rule: str) -> dict[str, str | None]:
    columns, samples = pack.description.vote_columns or [], pack.samples
    votes = np.array([sample.votes for sample in samples])
    found = label_votes(votes, class_columns(columns), rule).labels.tolist()
    classes = pack.description.classes
    return {s.name: None if x == DROPPED else classes[x] for s, x in zip(samples, found, strict=True)}
