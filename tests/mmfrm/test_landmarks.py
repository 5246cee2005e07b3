"""Training of the landmark network, from files of points to weights that MMFRM can use."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from mmfrm.config import NetworkConfig
from mmfrm.control import Control
from mmfrm.events import Checkpointed, Evaluated, Event, Finished, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.images import face
from mmfrm.jobs import LandmarksJob
from mmfrm.landmark_augment import MIRRORED, augmented
from mmfrm.landmark_faces import open_landmark_faces, read_npz
from mmfrm.landmarks import point_errors, point_network, summary, train_landmarks, wing_loss
from mmfrm.nn import MobileFaceNet, build_network
from mmfrm.nn.landmark_weights import Normalise, read_landmark_weights
from mmfrm.released import load_released
from mmfrm.sources import open_pictures

FACES = 20
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def some_points(seed: int) -> NDArray[np.float32]:
    """68 points on an oval, with the outer eye corners 50 pixels apart."""
    random = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([56 + 40 * np.cos(angle), 56 + 40 * np.sin(angle)], 1) + random.normal(0, 2, 2)
    points[36], points[45] = (31, 45), (81, 45)
    return points.astype(np.float32)


def picture(points: NDArray[np.float32], side: int = 112, seed: int = 0) -> bytes:
    """A grey PNG with a light dot on each point."""
    noise = np.random.default_rng(seed).integers(0, 60, (side, side), np.uint8)
    image = Image.fromarray(noise)
    draw = ImageDraw.Draw(image)
    for x, y in points.tolist():
        draw.ellipse([x - 1.5, y - 1.5, x + 0.5, y + 0.5], fill=200)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A zip with parts named as FERPlus names them, and its points. One face was not found."""
    folder = tmp_path_factory.mktemp("source")
    points = [some_points(seed) for seed in range(FACES + 1)]
    names = [f"fer{i:07}.png" for i in range(FACES + 1)]
    parts = ["FER2013Train"] * 12 + ["FER2013Valid"] * 4 + ["FER2013Test"] * 4 + ["FER2013Train"]
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for part, name, own in zip(parts, names, points, strict=True):
            archive.writestr(f"{part}/{name}", picture(own))
        archive.writestr("FER2013Train/label.csv", "nothing to see")
    found = np.arange(FACES + 1) < FACES
    np.savez(folder / "points.npz", names=np.array(names), points=np.stack(points), found=found)
    return folder / "faces.zip", folder / "points.npz"


def job(source: tuple[Path, Path], **changes: Any) -> LandmarksJob:
    data, points = source
    return LandmarksJob(**{"data": str(data), "points": str(points), "epochs": 2, "batch_size": 6, **changes})


class StopAfter(Control):
    """Asks to stop once it was polled so many times."""

    def __init__(self, polls: int) -> None:
        super().__init__()
        self._polls = polls

    def stop_requested(self) -> bool:
        self._polls -= 1
        if self._polls < 0:
            self.request_stop("the test wants it")
        return super().stop_requested()


def events_of(folder: Path, work: LandmarksJob, control: Control | None = None) -> list[Event]:
    folder.mkdir(exist_ok=True)
    return list(train_landmarks(folder, work, control or Control()))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Batches are tiny: threads would only wait for each other."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMFRM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def finished(source: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    folder = tmp_path_factory.mktemp("finished")
    return folder, events_of(folder, job(source))


def test_a_training_reports_both_held_out_parts_and_writes_weights(
    finished: tuple[Path, list[Event]],
) -> None:
    folder, events = finished
    started = events[0]
    assert isinstance(started, Started)
    assert started.facts["counts"] == {"train": 12, "val": 4, "test": 4}
    assert [e.split for e in events if isinstance(e, Evaluated)] == ["val", "val", "test"]
    last = events[-1]
    assert isinstance(last, Finished)
    assert set(last.result) == {"weights", "val", "test"}
    assert last.result["test"]["count"] == 4
    weights = read_landmark_weights(folder / last.result["weights"])
    assert weights.facts["errors_over_outer_eye_distance"]["test"] == last.result["test"]
    assert weights.facts["recipe"]["seed"] == 0


def test_the_weights_serve_as_frozen_landmarks_of_a_network(finished: tuple[Path, list[Event]]) -> None:
    path = finished[0] / "landmarks.safetensors"
    assert path.stat().st_size < 3_000_000  # half precision
    config = NetworkConfig(size="small", width=0.25, landmark_weights=str(path))
    network = build_network(config, 3)
    assert network.landmark_input is not None
    assert network.landmark_input.mean.flatten().tolist() == [127.5, 127.5, 127.5]
    assert network(torch.zeros(2, 3, 112, 112, dtype=torch.uint8))[1].shape == (2, 3)


def test_a_training_stopped_at_any_step_goes_on_to_the_very_same_weights(
    source: tuple[Path, Path], finished: tuple[Path, list[Event]], tmp_path: Path
) -> None:
    first = events_of(tmp_path, job(source), StopAfter(4))
    assert isinstance(first[-2], Checkpointed)
    assert isinstance(first[-1], Stopped)
    second = events_of(tmp_path, job(source))
    assert isinstance(second[0], Started)
    assert second[0].resumed
    once = read_landmark_weights(finished[0] / "landmarks.safetensors").state
    for name, value in read_landmark_weights(tmp_path / "landmarks.safetensors").state.items():
        assert torch.equal(value, once[name]), name


def test_a_folder_of_a_training_with_other_settings_is_refused(
    source: tuple[Path, Path], finished: tuple[Path, list[Event]]
) -> None:
    with pytest.raises(JobError, match="other settings or other faces"):
        events_of(finished[0], job(source, seed=1))


def test_a_mirrored_face_has_its_points_renamed_and_twice_mirrored_is_unchanged() -> None:
    assert torch.equal(MIRRORED[MIRRORED], torch.arange(68))
    for left, right in ((0, 16), (17, 26), (36, 45), (39, 42), (31, 35), (48, 54), (60, 64)):
        assert MIRRORED[left] == right
    for middle in (8, 27, 30, 33, 51, 57, 62, 66):
        assert MIRRORED[middle] == middle


def test_augmentation_moves_the_points_with_the_pixels() -> None:
    count = 64
    generator = torch.Generator().manual_seed(5)
    points = 30 + 52 * torch.rand(count, 68, 2, generator=generator)
    images = torch.zeros(count, 1, 112, 112, dtype=torch.uint8)
    marked = int(torch.randint(0, 68, (1,), generator=generator))
    points[:, marked] = points[:, marked].floor() + 0.5  # the middle of a pixel
    for image, (x, y) in zip(images, points[:, marked].long().tolist(), strict=True):
        image[0, y - 1 : y + 2, x - 1 : x + 2] = 255
    moved_images, moved = augmented(images, points, torch.Generator().manual_seed(7))
    draws = torch.rand(count, 22, generator=torch.Generator().manual_seed(7))
    whole, mirrored = draws[:, 19] >= 1 / 3, draws[:, 8] < 0.5
    assert whole.sum() > 30
    assert mirrored[whole].any()
    for i in whole.nonzero().flatten().tolist():
        name = int(MIRRORED[marked]) if mirrored[i] else marked
        assert (brightest(moved_images[i]) - moved[i, name]).norm() < 1.0


def brightest(image: Tensor) -> Tensor:
    """x, y of the centre of what is much lighter than the rest."""
    grey = image.mean(0)
    weight = (grey - (grey.min() + grey.max()) / 2).clamp(min=0)
    at = torch.arange(112) + 0.5
    return torch.stack([(weight.sum(0) * at).sum(), (weight.sum(1) * at).sum()]) / weight.sum()


def test_augmentation_is_repeatable_and_stays_in_range() -> None:
    images = torch.randint(0, 256, (8, 3, 112, 112), dtype=torch.uint8)
    points = 112 * torch.rand(8, 68, 2)
    first = augmented(images, points, torch.Generator().manual_seed(1))
    second = augmented(images, points, torch.Generator().manual_seed(1))
    other = augmented(images, points, torch.Generator().manual_seed(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])
    assert first[0].shape == (8, 3, 112, 112)
    assert 0 <= first[0].min() <= first[0].max() <= 255


def test_errors_are_shares_of_the_outer_eye_distance() -> None:
    true = torch.from_numpy(some_points(0))[None]
    assert point_errors(true, true).item() == 0.0
    assert point_errors(true + torch.tensor([3.0, 4.0]), true).item() == pytest.approx(0.1)
    figures = summary(torch.tensor([0.02, 0.03, 0.2]))
    assert figures["count"] == 3
    assert figures["median"] == pytest.approx(0.03)
    assert figures["above_tenth"] == pytest.approx(1 / 3)


def test_wing_loss_is_logarithmic_near_zero_straight_beyond_and_without_a_jump() -> None:
    zero = torch.zeros(1, 1, 2)
    at = [wing_loss(zero + x, zero).item() for x in (0.0, 2.0, 9.999, 10.001, 20.0, 30.0)]
    assert at[0] == 0.0
    assert at[1] == pytest.approx(10 * np.log(2))
    assert at[2] == pytest.approx(at[3], abs=0.01)
    assert at[5] - at[4] == pytest.approx(10.0)


def test_the_untrained_network_answers_about_the_mean_face() -> None:
    points = np.stack([some_points(seed) for seed in range(8)])
    network = point_network(points).eval()
    with torch.no_grad():
        found = network(torch.randn(4, 3, 112, 112))[3].view(4, 68, 2) * 112
    assert (found - torch.from_numpy(points.mean(0))).abs().mean() < 8.0


def test_points_in_photos_are_cut_out_with_their_faces(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    own = some_points(1) * 2 + np.float32(90)
    for number in range(3):
        (photos / f"p{number}.png").write_bytes(picture(own, side=400, seed=number))
        lines = "\n".join(f"{x + 0.5:.3f} {y + 0.5:.3f}" for x, y in own.tolist())
        (photos / f"p{number}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
    faces = open_landmark_faces(str(photos), str(photos), tmp_path / "cache")
    assert faces.images.shape == (3, 1, 112, 112)
    points = faces.points[0]
    assert ((points > 5) & (points < 107)).all()
    lit = faces.images[0, 0][points[:, 1].astype(int), points[:, 0].astype(int)]
    assert lit.mean() > faces.images[0].mean() + 30
    assert sum(len(p) for p in faces.parts.values()) == 3


def test_an_unreadable_picture_is_left_out_and_named(source: tuple[Path, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(source[0]) as old, zipfile.ZipFile(broken, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"no picture" if name.endswith("3.png") else old.read(name))
    faces = open_landmark_faces(str(broken), str(source[1]), tmp_path / "cache")
    assert len(faces.report["unreadable"]) == 2
    assert sum(len(positions) for positions in faces.parts.values()) == FACES - 2
    again = open_landmark_faces(str(broken), str(source[1]), tmp_path / "cache")
    assert again.parts["train"].tolist() == faces.parts["train"].tolist()


def test_a_training_goes_on_with_a_copy_of_its_data_but_not_with_other_pixels(
    source: tuple[Path, Path], tmp_path: Path
) -> None:
    def fingerprint(data: Path) -> str:
        return open_landmark_faces(str(data), str(source[1]), tmp_path / "cache").fingerprint

    copy, other = tmp_path / "copy.zip", tmp_path / "other.zip"
    copy.write_bytes(source[0].read_bytes())
    with zipfile.ZipFile(source[0]) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, picture(some_points(9)) if name.endswith("03.png") else old.read(name))
    assert fingerprint(copy) == fingerprint(source[0])
    assert fingerprint(other) != fingerprint(source[0])


@pytest.mark.parametrize("content", ["text", "wrong shape", "other names"])
def test_points_that_are_none_are_named(source: tuple[Path, Path], tmp_path: Path, content: str) -> None:
    path = tmp_path / "points.npz"
    if content == "text":
        path.write_text("no points")
    elif content == "wrong shape":
        np.savez(path, names=np.array(["a"]), points=np.zeros((1, 5, 2)))
    else:
        np.savez(path, names=np.array(["a.png"]), points=np.zeros((1, 68, 2)))
    with pytest.raises(JobError, match="points"):
        open_landmark_faces(str(source[0]), str(path), tmp_path / "cache")


def test_faces_that_were_not_found_have_no_points(source: tuple[Path, Path]) -> None:
    assert len(dict(read_npz(source[1]))) == FACES


def test_a_pts_file_with_too_few_points_is_named(source: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "a.pts").write_text("version: 1\nn_points: 1\n{\n1 2\n}\n")
    with pytest.raises(JobError, match=r"a\.pts has 1 points, not 68"):
        open_landmark_faces(str(source[0]), str(tmp_path), tmp_path / "cache")


@pytest.mark.skipif(not SHARED.is_dir(), reason="real faces are absent (../shared)")
def test_the_shipped_weights_find_the_points_of_held_out_faces() -> None:
    weights = read_landmark_weights("shipped")
    network = MobileFaceNet(outputs=136, classes=0).eval()
    assert load_released(network, weights.state).missing == ()
    points = dict(read_npz(SHARED / "ferplus_landmarks68.npz"))
    pictures = open_pictures(SHARED / "ferplus.zip")
    tested = {n.removeprefix("FER2013Test/"): at for at, n in enumerate(pictures.names) if "Test/" in n}
    names = sorted(tested.keys() & points.keys())[:96]
    pixels = np.stack([face(pictures.read(tested[name])) for name in names])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    with torch.no_grad():
        found = network(Normalise(weights.convention)(images))[3].view(-1, 68, 2) * 112
    true = torch.from_numpy(np.stack([points[name] for name in names]))
    assert point_errors(found, true).median().item() < 0.05
