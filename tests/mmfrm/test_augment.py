"""Augmentation: repeatable by seed, within its bounds, and the same for grey faces as for colour ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmfrm.config import AugmentConfig
from mmfrm.data.augment import Augment

NOTHING = AugmentConfig(flip=False, rotate=0.0, scale=0.0, shift=0.0, contrast=0.0, erase=0.0)


def faces(count: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 7, 7, generator=generator) * 255
    large = F.interpolate(small, size=(112, 112), mode="bilinear")
    return large.round().to(torch.uint8)


def augmented(config: AugmentConfig, images: Tensor, seed: int = 0) -> Tensor:
    return Augment(config)(images, torch.Generator().manual_seed(seed))


def only(**settings: object) -> AugmentConfig:
    return AugmentConfig(**{**{k: getattr(NOTHING, k) for k in NOTHING.__dataclass_fields__}, **settings})


def test_shape_and_kind_stay() -> None:
    result = augmented(AugmentConfig(), faces())
    assert result.shape == (16, 3, 112, 112)
    assert result.dtype == torch.uint8


def test_one_seed_gives_the_same_bits_and_another_gives_others() -> None:
    images = faces()
    assert torch.equal(augmented(AugmentConfig(), images, 5), augmented(AugmentConfig(), images, 5))
    assert not torch.equal(augmented(AugmentConfig(), images, 5), augmented(AugmentConfig(), images, 6))


def test_a_batch_draws_the_same_count_whatever_is_switched_on() -> None:
    states = []
    for config in (NOTHING, AugmentConfig(), only(erase=1.0)):
        generator = torch.Generator().manual_seed(3)
        Augment(config)(faces(), generator)
        states.append(generator.get_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])


def test_nothing_switched_on_changes_nothing() -> None:
    assert torch.equal(augmented(NOTHING, faces()), faces())


def test_flip_mirrors_about_half_of_the_images_exactly() -> None:
    images = faces(400)
    result = augmented(only(flip=True), images)
    mirrored = (result == images.flip(-1)).flatten(1).all(dim=1)
    kept = (result == images).flatten(1).all(dim=1)
    assert bool((mirrored ^ kept).all())
    assert 150 < int(mirrored.sum()) < 250


def test_moving_by_nothing_but_a_flip_agrees_with_the_exact_flip() -> None:
    images = faces(64)
    moved = augmented(only(flip=True, rotate=1e-4), images)
    exact = augmented(only(flip=True), images)
    assert int((moved.int() - exact.int()).abs().max()) <= 1


def test_the_grid_is_what_affine_grid_would_make() -> None:
    images = faces(1)
    augment = Augment(only(shift=0.1))
    draws = torch.rand(1, 12, generator=torch.Generator().manual_seed(0))
    shift = (2 * draws[0, 3:5] - 1) * 0.2
    theta = torch.tensor([[[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]]])
    grid = F.affine_grid(theta, [1, 3, 112, 112], align_corners=False)
    expected = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    result = augment(images, torch.Generator().manual_seed(0)).float()
    assert float((result - expected).abs().max()) <= 0.51


def test_rotation_keeps_the_middle_and_moves_the_rim() -> None:
    images = faces(32)
    result = augmented(only(rotate=30.0), images).int()
    change = (result - images.int()).abs().float().mean(dim=(0, 1))
    assert float(change[54:58, 54:58].mean()) < 0.2 * float(change.mean())


def test_contrast_keeps_the_order_of_grey_levels() -> None:
    images = torch.full((8, 3, 112, 112), 100, dtype=torch.uint8)
    images[:, :, 50:60] = 140
    result = augmented(only(contrast=0.3), images).int()
    difference = result[:, :, 55, 0] - result[:, :, 0, 0]
    assert int(difference.min()) >= 27
    assert int(difference.max()) <= 53
    assert len(set(result[:, 0, 0, 0].tolist())) > 4


def test_erasing_covers_two_to_a_quarter_of_some_images() -> None:
    images = torch.full((300, 3, 112, 112), 7, dtype=torch.uint8)
    result = augmented(only(erase=0.5), images)
    share = (result != 7).float().mean(dim=(1, 2, 3))
    erased = share[share > 0]
    assert 110 < len(erased) < 190
    assert float(erased.min()) > 0.01
    assert float(erased.max()) < 0.27


def test_grey_faces_shown_as_three_channels_come_out_as_colour_faces_would() -> None:
    grey = faces()[:, :1]
    a = augmented(AugmentConfig(), grey.expand(-1, 3, -1, -1), 2)
    b = augmented(AugmentConfig(), grey.expand(-1, 3, -1, -1).contiguous(), 2)
    assert a.shape == b.shape
    assert int((a.int() - b.int()).abs().max()) <= 1


@pytest.mark.parametrize("count", [1, 3])
def test_small_batches_work(count: int) -> None:
    assert len(augmented(AugmentConfig(), faces(count))) == count
