"""The decoded cache: the pixels the network will see, built once, also by two at once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmfrm.data.cache import open_cache
from mmfrm.data.mapped import mapped_zeros
from mmfrm.data.native import FacePack, FacePackError
from mmfrm.failures import explain
from mmfrm.images import face
from mmfrm.landmark_faces import open_landmark_faces
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


def decoded_faces(folder: Path) -> None:
    open_cache(colour_pack(folder), folder / "cache")


def decoded_landmark_faces(folder: Path) -> None:
    source = write_zip(folder / "points.zip", {"a.png": png(1), "b.png": png(2)})
    np.savez(folder / "points.npz", names=["a.png", "b.png"], points=np.full((2, 68, 2), 56, np.float32))
    open_landmark_faces(str(source), str(folder / "points.npz"), folder / "cache")


@pytest.mark.parametrize("build", [decoded_faces, decoded_landmark_faces])
def test_a_disk_without_room_for_all_faces_is_said_before_the_first_and_nothing_is_left(
    build: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written through memory onto a full disk would end the process with a signal instead."""
    asked: list[int] = []

    def refuse(descriptor: int, start: int, length: int) -> None:
        asked.append(start + length)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", refuse, raising=False)
        with pytest.raises(OSError, match="No space left") as problem:
            build(tmp_path)
    told = explain(problem.value)
    assert "The disk is full" in told.message
    assert told.resumable
    assert asked[0] > 2 * 112 * 112
    assert not [path for path in (tmp_path / "cache").iterdir() if path.stat().st_size]
    build(tmp_path)
    assert list((tmp_path / "cache").glob("*.npy"))


def test_the_room_of_a_mapped_file_is_taken_at_once(tmp_path: Path) -> None:
    array = mapped_zeros(tmp_path / "a.npy", (300, 3, 112, 112))
    state = (tmp_path / "a.npy").stat()
    assert state.st_size > array.nbytes
    if hasattr(os, "posix_fallocate"):  # macOS has none
        assert state.st_blocks * 512 >= array.nbytes


def test_a_file_system_that_cannot_take_room_ahead_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    mapped_zeros(tmp_path / "a.npy", (2, 3))[1] = 7
    assert np.load(tmp_path / "a.npy").tolist() == [[0] * 3, [7] * 3]
