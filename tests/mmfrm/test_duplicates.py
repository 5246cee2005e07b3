"""Duplicates: exact ones completely, near ones by their looks, and what leaks from training."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from mmfrm.data.duplicates import Duplicates, crossing, duplicates_of, find_duplicates, find_leaks, summary
from mmfrm.data.measure import measure
from mmfrm.data.native import Sample
from tests.mmfrm.sources import encoded, imported, picture, write_zip


def portrait(seed: int) -> Image.Image:
    return picture(seed, width=96, height=96)


def changed(image: Image.Image, how: str) -> bytes:
    if how == "compressed":
        return encoded(image, "JPEG", quality=40)
    if how == "smaller":
        return encoded(image.resize((60, 60), Image.Resampling.BILINEAR))
    if how == "brighter":
        return encoded(ImageEnhance.Brightness(image).enhance(1.15))
    return encoded(image.crop((1, 1, 96, 96)))


HOWS = ("compressed", "smaller", "brighter", "cropped")


def test_every_near_copy_is_found_and_no_stranger(tmp_path: Path) -> None:
    files = {f"train/fear/{i:03d}.png": encoded(portrait(i)) for i in range(60)}
    files |= {f"test/fear/{i:03d}.png": encoded(portrait(i)) for i in range(5)}
    files |= {f"test/joy/{i:03d}.png": changed(portrait(10 + i), how) for i, how in enumerate(HOWS)}
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "data")
    names = [sample.name for sample in pack.samples]
    found = duplicates_of(pack.folder, pack.samples)
    exact = [[names[i] for i in group] for group in found.exact]
    assert exact == [[f"test/fear/{i:03d}.png", f"train/fear/{i:03d}.png"] for i in range(5)]
    near = {tuple(names[i] for i in group) for group in found.near} - {tuple(group) for group in exact}
    assert near == {(f"test/joy/{i:03d}.png", f"train/fear/{10 + i:03d}.png") for i in range(4)}
    leaks = find_leaks(found, [sample.split for sample in pack.samples])
    assert [names[i] for i in leaks.exact] == [f"train/fear/{i:03d}.png" for i in range(5)]
    assert [names[i] for i in leaks.near] == [f"train/fear/{10 + i:03d}.png" for i in range(4)]
    counts = summary(found, pack.samples)
    assert counts["exact_groups_across_splits"] == 5
    assert counts["leaking_near"] == 4
    assert pack.description.report["duplicates"] == counts


def test_the_same_pixels_in_another_format_are_exact(tmp_path: Path) -> None:
    files = {"a.png": encoded(portrait(1)), "b.png": encoded(portrait(1), compress_level=1)}
    files["c.bmp"] = encoded(portrait(1), "BMP")
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "data")
    assert len({sample.sha256 for sample in pack.samples}) >= 2
    assert duplicates_of(pack.folder, pack.samples).exact == [[0, 1, 2]]


def test_conflicting_labels_of_one_picture_are_counted(tmp_path: Path) -> None:
    files = {"fear/a.png": encoded(portrait(1)), "joy/b.png": encoded(portrait(1))}
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "data")
    assert pack.description.report["duplicates"]["exact_groups_with_conflicting_labels"] == 1


def test_near_constant_pictures_are_no_near_duplicates(tmp_path: Path) -> None:
    files = {f"{v}.png": encoded(Image.new("L", (48, 48), v)) for v in (10, 20, 30)}
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "data")
    assert all(sample.flags == ["near_constant"] for sample in pack.samples)
    assert duplicates_of(pack.folder, pack.samples) == Duplicates([], [])


def test_what_was_found_is_kept_until_the_pictures_change(tmp_path: Path) -> None:
    files = {"a.png": encoded(portrait(1)), "b.png": encoded(portrait(1)), "c.png": encoded(portrait(2))}
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "data")
    kept = pack.folder / "duplicates.json"
    text = kept.read_text()
    kept.write_text(text.replace("[0,1]", "[0,2]"))
    assert duplicates_of(pack.folder, pack.samples).exact == [[0, 2]]
    assert duplicates_of(pack.folder, pack.samples[:2]).exact == [[0, 1]]
    kept.write_text("{torn")
    assert duplicates_of(pack.folder, pack.samples).exact == [[0, 1]]


def blank(index: int, phash: int) -> Sample:
    return Sample(index, f"{index}", "train", 0, "", 0, 0, 8, 8, f"{index:064x}", phash=f"{phash:016x}",
                  pixels=f"{index:016x}")  # fmt: skip


def test_the_search_by_bands_finds_every_close_pair() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 3000, dtype=np.int64).astype(np.uint64)
    for i in range(0, 600, 2):  # a neighbour up to twelve bits away
        flips = rng.choice(64, rng.integers(0, 13), replace=False)
        hashes[i + 1] = hashes[i] ^ np.bitwise_or.reduce(np.left_shift(np.uint64(1), flips.astype(np.uint64)))
    samples = [blank(i, int(h)) for i, h in enumerate(hashes)]
    looks = np.random.default_rng(1).integers(0, 256, (32, 32), np.uint8)

    def look(sample: Sample) -> NDArray[np.uint8]:  # everything looks alike: the hashes alone decide
        return looks

    distance = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    close = {(int(i), int(j)) for i, j in np.argwhere(np.triu(distance <= 8, 1))}
    found = {tuple(group) for group in find_duplicates(samples, look).near}
    assert close == found
    assert len(found) > 150


def test_chains_of_near_pictures_are_one_group() -> None:
    looks = np.random.default_rng(1).integers(0, 256, (32, 32), np.uint8)
    hashes = [0xFFFF_0000, 0xFFFF_00FF, 0xFFFF_FFFF, 0xABCD_EF01_2345_6789]
    found = find_duplicates([blank(i, h) for i, h in enumerate(hashes)], lambda sample: looks)
    assert found.near == [[0, 1, 2]]


def test_only_training_samples_with_a_held_out_twin_leak() -> None:
    groups = Duplicates([[0, 1], [2, 3]], [[0, 1], [2, 3], [4, 5, 6]])
    splits = ["train", "test", "train", "train", "val", "train", "train"]
    leaks = find_leaks(groups, splits)
    assert (leaks.exact, leaks.near) == ([0], [5, 6])
    assert crossing(groups.near, splits) == [[0, 1], [4, 5, 6]]


def test_nothing_has_no_duplicates() -> None:
    assert find_duplicates([], lambda sample: pytest.fail("nothing to look at")) == Duplicates([], [])


def test_perceptual_hashes_hardly_move_under_compression() -> None:
    apart = []
    for seed in range(30):
        image = portrait(seed).convert("L").resize((64, 64), Image.Resampling.BILINEAR)
        squeezed = Image.open(io.BytesIO(encoded(image, "JPEG", quality=30)))
        a, b = measure([np.asarray(image), np.asarray(squeezed)])
        apart.append(int(a.phash, 16) ^ int(b.phash, 16))
    assert np.mean([x.bit_count() for x in apart]) < 4
    assert replace(blank(0, 0), flags=["x"]).flags == ["x"]
