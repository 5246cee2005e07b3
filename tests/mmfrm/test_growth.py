"""Images that grow during a run: when, to what, at what cost, and without harm to what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmfrm.checkpoint import load_model
from mmfrm.config import NetworkConfig, OptimConfig
from mmfrm.data import open_faces
from mmfrm.events import Checkpointed
from mmfrm.growth import FIXED_COST, cost, image_side
from mmfrm.nn import FaceNetwork
from mmfrm.plan import Plan
from mmfrm.standing import MODEL
from tests.mmfrm.training import drawn_faces, epoch_ends, smallest, trained

__all__ = ["drawn_faces"]  # a fixture


@pytest.mark.parametrize(
    ("first", "epochs", "sides"),
    [
        (112, 3, [112, 112, 112]),
        (64, 4, [64, 80, 96, 112]),
        (80, 6, [80, 80, 96, 96, 112, 112]),
        (64, 2, [80, 112]),
        (64, 1, [112]),
        (70, 3, [80, 96, 112]),  # no multiple of 16: the next that is
    ],
)
def test_images_grow_in_stages_and_end_whole(first: int, epochs: int, sides: list[int]) -> None:
    config = OptimConfig(first_side=first, epochs=epochs)
    assert [image_side(config, epoch) for epoch in range(epochs)] == sides
    assert image_side(config, epochs + 5) == 112  # an extension
    assert cost(config, epochs) == pytest.approx(1)


@pytest.mark.parametrize(
    ("first", "share", "epochs", "sides"),
    [
        (64, 0.5, 8, [64, 64, 64, 64, 80, 96, 112, 112]),
        (64, 0.4, 4, [64, 80, 96, 112]),
        (96, 0.9, 4, [96, 96, 96, 112]),
        (64, 0.9, 1, [112]),  # nothing is left of the first stage: the last is never left out
        (112, 0.5, 2, [112, 112]),
    ],
)
def test_the_first_stage_may_be_longer(first: int, share: float, epochs: int, sides: list[int]) -> None:
    config = OptimConfig(first_side=first, first_share=share, epochs=epochs)
    assert [image_side(config, epoch) for epoch in range(epochs)] == sides
    assert image_side(config, epochs + 5) == 112


def test_a_run_that_is_made_shorter_ends_with_whole_images_too(drawn_faces: Path) -> None:
    config = smallest(optim__first_side=64, optim__epochs=8)
    faces = open_faces(str(drawn_faces), config.data)
    plan = Plan(config, faces, world=1, opens_test=True)
    assert [plan.side(epoch, 8) for epoch in range(8)] == [64, 64, 80, 80, 96, 96, 112, 112]
    assert [plan.side(epoch, 4) for epoch in range(1, 4)] == [80, 96, 112]
    assert plan.side(9, 10) == 112
    assert plan.images_after(1, 2) < plan.images_after(1, 3)


def test_a_smaller_image_costs_the_expression_network_less() -> None:
    torch.manual_seed(0)
    network = FaceNetwork(NetworkConfig(size="small", landmarks="scratch"), 7).eval()
    pixels = torch.randint(0, 256, (1, 3, 112, 112), dtype=torch.uint8)
    flops, answers = {}, {}
    for side in (64, 112):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            answers[side] = network(pixels, side)[1]
        flops[side] = counter.get_total_flops()
    assert answers[64].shape == answers[112].shape == (1, 7)
    assert not torch.equal(answers[64], answers[112])
    assert torch.equal(network(pixels)[1], answers[112])  # nobody asked for less
    # The forward pass of the landmark network is a larger share of a forward pass than of a whole step.
    assert FIXED_COST < flops[64] / flops[112] < 0.55


def test_a_run_on_growing_images_resumes_bit_for_bit(tmp_path: Path, drawn_faces: Path) -> None:
    config = smallest(optim__first_side=96, network__fusion="tcffm", data__max_train=24)
    whole = epoch_ends(trained(tmp_path / "whole", drawn_faces, config))
    trained(tmp_path / "cut", drawn_faces, config, until=lambda event: isinstance(event, Checkpointed))
    resumed = epoch_ends(trained(tmp_path / "cut", drawn_faces, config))
    assert whole.keys() == resumed.keys() == {0, 1}
    assert whole == resumed
    assert load_model(tmp_path / "whole" / MODEL).network(torch.zeros(1, 3, 112, 112))[1].shape == (1, 7)
