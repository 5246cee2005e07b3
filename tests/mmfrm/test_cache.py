"""The decoded cache: the pixels the network will see, built once, also by two at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmfrm.data.cache import open_cache
from mmfrm.data.native import FacePack, FacePackError
from mmfrm.images import face
from tests.mmfrm.sources import encoded, imported, jpeg, picture, png, write_zip


def colour_pack(folder: Path) -> FacePack:
    files = {f"{i:03d}.png": png(i) for i in range(20)}
    files |= {"a.jpg": jpeg(50), "large.jpg": encoded(picture(51, width=700, height=500), "JPEG")}
    files["exact.png"] = encoded(picture(52, width=112, height=112))
    return imported(write_zip(folder / "a.zip", files), folder / "data")


def test_the_cache_holds_what_a_face_to_be_labelled_looks_like(tmp_path: Path) -> None:
    pack = colour_pack(tmp_path)
    images = open_cache(pack, tmp_path / "cache")
    assert images.shape == (23, 3, 112, 112)
    for index, sample in enumerate(pack.samples):
        assert np.array_equal(images[index].transpose(1, 2, 0), face(pack.bytes_of(sample))), sample.name


def test_grey_faces_take_one_channel_and_the_same_pixels(tmp_path: Path) -> None:
    files = {f"{i}.png": png(i, "L") for i in range(5)} | {"grey.jpg": encoded(picture(9, mode="L"), "JPEG")}
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "data")
    images = open_cache(pack, tmp_path / "cache")
    assert images.shape == (6, 1, 112, 112)
    for index, sample in enumerate(pack.samples):
        assert np.array_equal(images[index, 0], face(pack.bytes_of(sample))[..., 0])


def test_a_single_coloured_face_makes_all_three_channels(tmp_path: Path) -> None:
    files = {"a.png": png(1, "L"), "b.png": png(2)}
    pack = imported(write_zip(tmp_path / "a.zip", files), tmp_path / "data")
    assert open_cache(pack, tmp_path / "cache").shape == (2, 3, 112, 112)


def test_it_is_built_once_and_cannot_be_written_to(tmp_path: Path) -> None:
    pack = colour_pack(tmp_path)
    told: list[tuple[int, int]] = []
    open_cache(pack, tmp_path / "cache", tell=lambda done, total: told.append((done, total)))
    assert told[-1] == (23, 23)
    images = open_cache(pack, tmp_path / "cache", tell=lambda done, total: pytest.fail("built again"))
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_other_images_never_share_a_cache(tmp_path: Path) -> None:
    a = imported(write_zip(tmp_path / "a.zip", {"x.png": png(1)}), tmp_path / "a")
    b = imported(write_zip(tmp_path / "b.zip", {"x.png": png(2)}), tmp_path / "b")
    first, second = (open_cache(pack, tmp_path / "cache") for pack in (a, b))
    assert not np.array_equal(first, second)


def test_a_torn_build_is_not_taken_for_a_cache(tmp_path: Path) -> None:
    pack = colour_pack(tmp_path)
    open_cache(pack, tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("*.npy")
    whole = path.read_bytes()
    path.rename(path.with_suffix(".part"))  # as a kill leaves it
    path.with_suffix(".part").write_bytes(whole[:1000])
    open_cache(pack, tmp_path / "cache")
    assert path.read_bytes() == whole


def test_two_processes_at_once_build_one_cache(tmp_path: Path) -> None:
    pack = colour_pack(tmp_path)
    program = f"""
from pathlib import Path
from mmfrm.data.cache import open_cache
from mmfrm.data.native import FacePack
told = []
images = open_cache(FacePack(Path({str(pack.folder)!r})), Path({str(tmp_path / "cache")!r}),
                    tell=lambda done, total: told.append(done))
print(len(told), int(images.sum()))
"""
    children = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(3)]
    told = [child.communicate()[0].split() for child in children]
    assert sorted(int(count) for count, _ in told) == [0, 0, 1]
    assert len({total for _, total in told}) == 1
    assert [path.suffix for path in sorted((tmp_path / "cache").iterdir())] == [".lock", ".npy"]


def test_a_picture_that_broke_on_disk_is_named(tmp_path: Path) -> None:
    pack = colour_pack(tmp_path)
    path = pack.folder / "faces-0.pack"
    data = bytearray(path.read_bytes())
    data[pack.samples[3].offset :][:100] = bytes(100)
    data[pack.samples[3].offset : pack.samples[3].offset + 100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(FacePackError, match=r"003\.png .* cannot be decoded"):
        open_cache(pack, tmp_path / "cache")


def test_stretched_faces_are_antialiased(tmp_path: Path) -> None:
    stripes = np.zeros((448, 448, 3), np.uint8)
    stripes[:, ::2] = 255
    pack = imported(
        write_zip(tmp_path / "a.zip", {"a.png": encoded(Image.fromarray(stripes))}), tmp_path / "d"
    )
    inner = open_cache(pack, tmp_path / "cache")[0, 0, 5:-5, 5:-5]
    assert inner.min() > 110
    assert inner.max() < 145
