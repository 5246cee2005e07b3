"""The native data set: damage is named, and a version may share the packs of its sibling."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmfrm.data.native import (
    FacePack,
    FacePackError,
    Sample,
    describe,
    fingerprint,
    is_native,
    read_samples,
    renumbered,
)
from tests.mmfrm.sources import imported, png, write_zip


@pytest.fixture
def pack(tmp_path: Path) -> FacePack:
    source = write_zip(
        tmp_path / "a.zip", {f"{name}/{i}.png": png(i) for i, name in enumerate(("fear", "joy"))}
    )
    return imported(source, tmp_path / "v1")


def test_a_folder_that_is_none_says_so(tmp_path: Path) -> None:
    assert not is_native(tmp_path)
    with pytest.raises(FacePackError, match=r"no dataset\.json"):
        FacePack(tmp_path)


def test_a_torn_description_is_named(pack: FacePack) -> None:
    (pack.folder / "dataset.json").write_text('{"format": 1, "na')
    with pytest.raises(FacePackError, match=r"dataset\.json cannot be read"):
        FacePack(pack.folder)


def test_a_newer_format_is_refused(pack: FacePack) -> None:
    data = json.loads((pack.folder / "dataset.json").read_text())
    (pack.folder / "dataset.json").write_text(json.dumps(data | {"format": 99}))
    with pytest.raises(FacePackError, match="format 99"):
        FacePack(pack.folder)


def test_fields_of_a_newer_program_are_ignored(pack: FacePack) -> None:
    path = pack.folder / "samples.jsonl"
    lines = [json.dumps(json.loads(line) | {"mood": "new"}) for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    assert [sample.name for sample in FacePack(pack.folder).samples] == ["fear/0.png", "joy/1.png"]


def test_a_damaged_line_is_named(pack: FacePack) -> None:
    path = pack.folder / "samples.jsonl"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(FacePackError, match="line 2 is damaged"):
        list(read_samples(pack.folder))


def test_missing_samples_are_noticed(pack: FacePack) -> None:
    path = pack.folder / "samples.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(FacePackError, match=r"has 1 samples, dataset\.json says 2"):
        _ = FacePack(pack.folder).samples


def test_a_short_or_missing_pack_is_named(pack: FacePack) -> None:
    last = pack.samples[-1]
    path = pack.folder / "faces-0.pack"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FacePackError, match="ends before"):
        pack.bytes_of(last)
    path.unlink()
    with pytest.raises(FacePackError, match="cannot be read"):
        pack.bytes_of(last)


def test_a_version_reads_the_pack_of_its_sibling(pack: FacePack, tmp_path: Path) -> None:
    v2 = tmp_path / "v2"
    v2.mkdir()
    kept = renumbered(replace(s, pack=f"../v1/{s.pack}") for s in pack.samples if s.name == "joy/1.png")
    (v2 / "samples.jsonl").write_text("".join(sample.line() + "\n" for sample in kept))
    classes = pack.description.classes
    description = describe(v2, name="v2", layout="folders", classes=classes, vote_columns=None)
    assert description.images == 1
    assert description.counts == {"": {"happiness": 1}}
    version = FacePack(v2)
    assert [sample.index for sample in version.samples] == [0]
    assert version.bytes_of(version.samples[0]) == png(1)


def test_the_fingerprint_sees_what_is_learned_and_nothing_else(pack: FacePack) -> None:
    samples = pack.samples
    classes = pack.description.classes
    base = fingerprint(samples, classes, None)

    def changed(sample: Sample) -> str:
        return fingerprint([samples[0], sample], classes, None)

    last = samples[1]
    assert base == pack.description.fingerprint
    assert changed(replace(last, name="other.png", index=7, offset=9, phash="0")) == base
    assert fingerprint(reversed(samples), classes, None) == base
    for other in (
        replace(last, label=1 - (last.label or 0)),
        replace(last, split="test"),
        replace(last, group="p1"),
        replace(last, sha256="0" * 64),
        replace(last, label=None),
    ):
        assert changed(other) != base


def test_votes_count_by_the_name_of_their_column(pack: FacePack) -> None:
    one = replace(pack.samples[0], votes=[3, 0, 2])
    other = replace(pack.samples[0], votes=[2, 3, 0])
    a = fingerprint([one], ["fear", "anger"], ["fear", "nf", "anger"])
    b = fingerprint([other], ["anger", "fear"], ["anger", "fear", "nf"])
    assert a == b
