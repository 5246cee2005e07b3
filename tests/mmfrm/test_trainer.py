"""The trainer: what it learns, what it says on the way, and what it says when it cannot go on."""

from __future__ import annotations

import copy
import math
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmfrm.checkpoint import load_model
from mmfrm.config import DataConfig, OptimConfig, RuntimeConfig, TrainConfig
from mmfrm.data import FaceSplit, open_faces
from mmfrm.ddp import Group
from mmfrm.events import (
    Checkpointed,
    EpochEnd,
    Evaluated,
    Event,
    Finished,
    Notice,
    Progress,
    Started,
    StepDone,
)
from mmfrm.failures import JobError
from mmfrm.learner import Learner
from mmfrm.loss import RFLoss
from mmfrm.nn import MobileFaceNet, build_network
from mmfrm.nn.landmark_weights import InputConvention, save_landmark_weights
from mmfrm.optim import AveragedWeights, Schedule, climb, descend, make_optimizer, norms_at_rest
from mmfrm.plan import in_batches
from mmfrm.progress import Meter
from mmfrm.resume import LAST, read_state
from mmfrm.runtime import choose_device, choose_precision, prepare
from mmfrm.schema import ConfigError
from mmfrm.standing import class_counts, collapse_notices, figure_of
from tests.mmfrm.training import drawn_faces, smallest, trained

__all__ = ["drawn_faces"]  # a fixture


EPOCHS = 24
STILL: dict[str, Any] = {  # the same images each step, so that a few steps show what they do
    "network__dropout": 0.0,
    "optim__warmup_steps": 0,
    "optim__learning_rate": 3e-3,
    **{f"augment__{name}": 0.0 for name in ("rotate", "scale", "shift", "contrast", "erase")},
    "augment__flip": False,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, drawn_faces: Path) -> tuple[Path, list[Event]]:
    """A whole small run over 56 faces."""
    config = smallest(**{**STILL, "optim__epochs": EPOCHS, "optim__warmup_steps": 4})
    folder = tmp_path_factory.mktemp("run")
    return folder, trained(folder, drawn_faces, config)


def of(kind: type[Event], events: list[Event]) -> list[Any]:
    return [e for e in events if isinstance(e, kind)]


# --- what a run says -------------------------------------------------------------------------------


def test_a_run_learns(run: tuple[Path, list[Event]]) -> None:
    first, *_, last = of(EpochEnd, run[1])
    assert last.train["loss"] < first.train["loss"] - 0.2
    assert last.train["accuracy"] > 0.4  # seven classes


def test_the_released_rfloss_of_val_is_of_as_many_images_as_a_training_step_has(
    tmp_path: Path, drawn_faces: Path
) -> None:
    config = smallest(
        optim__epochs=1, loss__rfloss="released", loss__rfloss_start=0.0, runtime__precision="fp32"
    )
    val = of(EpochEnd, trained(tmp_path, drawn_faces, config))[0].val
    split = open_faces(str(drawn_faces), config.data).splits["val"]
    images, labels = split.batch(np.arange(len(split)))
    network = load_model(tmp_path / "model").network.eval()
    with torch.inference_mode():
        _, logits = network(images)
    in_one_go = RFLoss("released")(logits, labels).item()
    rfloss = in_one_go * config.optim.batch_size / len(split)
    assert rfloss < in_one_go / 2
    assert val["rfloss"] == pytest.approx(rfloss, rel=1e-3)
    assert val["loss"] == pytest.approx(0.9 * val["cross_entropy"] + 0.2 * val["rfloss"], rel=1e-5)


def test_a_run_says_what_it_works_with(run: tuple[Path, list[Event]]) -> None:
    started = run[1][0]
    assert isinstance(started, Started)
    assert not started.resumed
    facts = started.facts
    assert facts["images"] == {"train": 56, "val": 14, "test": 14} | facts["images"]
    assert facts["device"] == "cpu"
    assert facts["steps_per_epoch"] == 7
    assert len(facts["data_fingerprint"]) == 64
    assert 0 < facts["trained_parameters"] <= facts["parameters"]


def test_every_epoch_ends_once_with_both_splits_and_a_checkpoint_after_it(
    run: tuple[Path, list[Event]],
) -> None:
    events = run[1]
    ends = of(EpochEnd, events)
    assert [e.epoch for e in ends] == list(range(EPOCHS))
    assert [e.step for e in ends] == [7 * (k + 1) for k in range(EPOCHS)]
    for end in ends:
        following = events[events.index(end) + 1]
        assert following == Checkpointed(path=LAST, epoch=end.epoch + 1, step=end.step)
        assert end.train["count"] == 56
        assert end.images_per_second > 0
        assert end.gradient_norm > 0


def test_progress_counts_the_epochs_images_and_the_time_left_of_the_whole_run(
    run: tuple[Path, list[Event]],
) -> None:
    training = [e for e in of(Progress, run[1]) if e.phase.startswith("training")]
    assert training[-1].phase == f"training, epoch {EPOCHS} of {EPOCHS}"
    assert {e.total for e in training} == {56}
    first_epochs_end = next(e for e in training if e.done == 56)
    last_epochs_end = training[-1]
    assert first_epochs_end.seconds_left > 5 * last_epochs_end.seconds_left


def test_the_best_epochs_weights_are_kept_and_tested_once(run: tuple[Path, list[Event]]) -> None:
    folder, events = run
    best = [e for e in of(EpochEnd, events) if e.best][-1]
    assert best.val["accuracy"] == max(e.val["accuracy"] for e in of(EpochEnd, events))
    card = load_model(folder / "model").card
    assert card["epoch"] == best.epoch
    (evaluated,) = of(Evaluated, events)
    assert evaluated.split == "test"
    assert card["test"]["accuracy"] == evaluated.figures["accuracy"]
    assert card["temperature"] == evaluated.figures["temperature"] > 0
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.result["model"] == "model"
    assert finished.result["best_epoch"] == best.epoch
    assert finished.result["test"]["accuracy"] == evaluated.figures["accuracy"]


def test_the_rate_warms_up_and_then_follows_the_cosine(run: tuple[Path, list[Event]]) -> None:
    rates = [e.learning_rate for e in of(EpochEnd, run[1])]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 1e-5


# --- when it cannot go on --------------------------------------------------------------------------


def test_a_loss_that_is_no_number_fails_with_a_remedy_and_the_checkpoint_stays_good(
    tmp_path: Path, drawn_faces: Path
) -> None:
    config = smallest(
        optim__optimizer="sgd",
        optim__learning_rate=10.0,
        optim__gradient_clip=0.0,
        optim__warmup_steps=0,
        loss__rfloss="off",
        optim__epochs=60,
        runtime__precision="fp16",
        runtime__checkpoint_seconds=0.0,
    )
    with pytest.raises(JobError, match=r"steer the run to a lower learning rate") as caught:
        trained(tmp_path, drawn_faces, config)
    assert caught.value.resumable


def test_a_class_without_training_images_is_named(drawn_faces: Path) -> None:
    split = open_faces(drawn_faces, DataConfig()).splits["train"]
    names = [f"class {k}" for k in range(8)]  # one more than the faces show
    with pytest.raises(JobError, match=r"No training image shows class 7\. Choose another label rule"):
        class_counts(split, names)
    assert class_counts(split, names[:7]).sum() == len(split)


def test_data_that_are_gone_are_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="nowhere is not there"):
        trained(tmp_path, tmp_path / "nowhere", smallest())


def test_a_pack_that_vanished_is_named(tmp_path: Path, drawn_faces: Path) -> None:
    copy_of = tmp_path / "faces"
    shutil.copytree(drawn_faces, copy_of)
    (copy_of / "faces-0.pack").unlink()
    with pytest.raises(JobError, match=r"faces-0\.pack"):
        trained(tmp_path / "run", copy_of, smallest())


def test_sam_with_fp16_is_refused() -> None:
    with pytest.raises(ConfigError, match="sam_rho"):
        learner(smallest(optim__sam_rho=0.05, runtime__precision="fp16"))


def test_a_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the device that the test wants to miss")
    with pytest.raises(JobError, match=r"no cuda device here\. Set runtime\.device"):
        choose_device("cuda")


# --- early stopping, starting points, notices ------------------------------------------------------


def test_a_run_out_of_patience_stops_and_is_finished(tmp_path: Path, drawn_faces: Path) -> None:
    config = smallest(optim__epochs=50, optim__patience=2, optim__learning_rate=1e-7, optim__ema=0.0)
    events = trained(tmp_path, drawn_faces, config)
    ends = of(EpochEnd, events)
    best = max(e.epoch for e in ends if e.best)
    assert len(ends) == best + 3 < 50
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize("start", ["model", LAST])
def test_a_run_starts_from_the_weights_of_another(
    tmp_path: Path, drawn_faces: Path, run: tuple[Path, list[Event]], start: str
) -> None:
    config = smallest(optim__epochs=1, optim__learning_rate=1e-7)
    events = trained(tmp_path, drawn_faces, config, start_from=str(run[0] / start))
    assert any("entries taken." in e.text for e in of(Notice, events))
    if start == "model":
        expected = load_model(run[0] / "model").network.state_dict()
    else:
        expected = read_state(run[0] / LAST)["learner"]["averaged"]
    learned = load_model(tmp_path / "model").network.state_dict()
    for name in ("expression.conv1.weight", "expression.layer4.0.conv1.weight", "expression.fc.weight"):
        torch.testing.assert_close(learned[name], expected[name], rtol=0, atol=1e-5)


def test_a_run_goes_on_when_what_it_started_from_is_gone(
    tmp_path: Path, drawn_faces: Path, run: tuple[Path, list[Event]]
) -> None:
    start = tmp_path / "start"
    shutil.copytree(run[0] / "model", start)
    config = smallest(optim__epochs=2)
    folder = tmp_path / "run"
    trained(folder, drawn_faces, config, start_from=str(start), until=lambda e: isinstance(e, Checkpointed))
    shutil.rmtree(start)
    events = trained(folder, drawn_faces, config, start_from=str(start))
    assert isinstance(events[-1], Finished)
    assert not any("Starting from" in e.text for e in of(Notice, events))


def test_a_run_goes_on_when_its_landmark_weights_are_gone(tmp_path: Path, drawn_faces: Path) -> None:
    torch.manual_seed(1)
    file, folder = tmp_path / "points.safetensors", tmp_path / "run"
    network = MobileFaceNet(outputs=136, classes=0)
    network(torch.randn(8, 3, 112, 112))
    convention = InputConvention(order=(2, 1, 0))
    save_landmark_weights(file, network.state_dict(), convention, {"seed": 1})
    config = smallest(network__fusion="tcffm", network__landmark_weights=str(file))
    trained(folder, drawn_faces, config, until=lambda e: isinstance(e, Checkpointed))
    file.unlink()
    assert isinstance(trained(folder, drawn_faces, config)[-1], Finished)
    state = load_model(folder / "model").network.state_dict()
    assert state["landmark_input.order"].tolist() == [2, 1, 0]
    expected = network.state_dict()["conv1.conv.weight"]
    torch.testing.assert_close(state["landmarks.conv1.conv.weight"], expected, rtol=0, atol=1e-3)  # halved


def test_a_starting_point_that_is_none_is_named(tmp_path: Path, drawn_faces: Path) -> None:
    (tmp_path / "odd.ckpt").write_bytes(b"odd")
    with pytest.raises(JobError, match=r"odd\.ckpt is neither a model folder nor a checkpoint"):
        trained(tmp_path / "run", drawn_faces, smallest(), start_from=str(tmp_path / "odd.ckpt"))


def test_the_time_spent_waiting_for_images_is_told(
    tmp_path: Path, drawn_faces: Path, run: tuple[Path, list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = [end.data_wait for end in of(EpochEnd, run[1])]
    assert min(usual) > 0
    assert statistics.median(usual) < 0.5  # of an epoch that others disturb it may be more
    batch = FaceSplit.batch

    def slow(split: FaceSplit, positions: Any) -> Any:
        time.sleep(0.5)
        return batch(split, positions)

    monkeypatch.setattr(FaceSplit, "batch", slow)
    events = trained(tmp_path, drawn_faces, smallest(optim__epochs=1))
    assert of(EpochEnd, events)[0].data_wait > 0.5
    assert max(step.data_wait for step in of(StepDone, events)) > 0.5


def test_a_network_that_answers_one_class_only_is_noticed(run: tuple[Path, list[Event]]) -> None:
    end = of(EpochEnd, run[1])[-1]
    confusion = [[2 if k == 1 else 0 for k in range(7)] for _ in range(7)]
    names = [f"class {k}" for k in range(7)]
    collapsed = EpochEnd(**{**end.payload(), "val": {**end.val, "confusion": confusion}})
    (notice,) = collapse_notices(collapsed, names)
    assert "answered with class 1" in notice.text
    silent = EpochEnd(**{**end.payload(), "val": {**end.val, "alpha_mean": 0.001}})
    (notice,) = collapse_notices(silent, names)
    assert "α has fallen to 0.001" in notice.text


# --- steps -----------------------------------------------------------------------------------------


def learner(config: TrainConfig, class_counts: Tensor | None = None) -> Learner:
    torch.manual_seed(0)
    return Learner(
        build_network(config.network, 7),
        config,
        runtime=prepare(config.runtime),
        processes=Group(),
        class_counts=torch.ones(7) if class_counts is None else class_counts,
        steps_per_epoch=10,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"optim__optimizer": "adam"},
        {"optim__optimizer": "sgd", "optim__learning_rate": 0.05},
        {"optim__sam_rho": 0.05},
        {"runtime__precision": "fp16"},
        {"runtime__precision": "bf16"},
        {"runtime__precision": "fp32", "runtime__channels_last": False},
        {"network__fusion": "concat", "network__landmarks": "scratch"},
        {"network__fusion": "tcffm", "network__landmarks": "scratch"},
    ],
    ids=lambda changes: ", ".join(f"{k.split('__')[1]} {v}" for k, v in changes.items()),
)
def test_steps_lower_the_loss_with(changes: dict[str, Any]) -> None:
    taught = learner(smallest(**{**STILL, **changes}))
    images = torch.randint(0, 256, (7, 3, 112, 112), dtype=torch.uint8)
    losses = [taught.step(images, torch.arange(7)).parts.total.item() for _ in range(6)]
    assert losses[-1] < losses[0] - 0.1
    assert all(map(math.isfinite, losses))


def test_adjusted_logits_are_learned_from_and_not_answered() -> None:
    still = {**STILL, "data__sampling": "balanced"}
    images = torch.randint(0, 256, (7, 3, 112, 112), dtype=torch.uint8)
    counts = torch.tensor([64.0, 32, 16, 8, 4, 2, 1])
    plain, adjusted = (
        learner(smallest(**still, loss__logit_adjustment=share), counts).step(images, torch.arange(7))
        for share in (0.0, 1.0)
    )
    assert torch.equal(plain.logits, adjusted.logits)
    expected = nn.functional.cross_entropy(plain.logits - counts.log(), torch.arange(7), label_smoothing=0.1)
    assert adjusted.parts.cross_entropy.item() == pytest.approx(expected.item(), abs=1e-5)
    assert plain.parts.cross_entropy.item() != pytest.approx(expected.item(), abs=1e-2)


def test_soft_targets_are_learned_from() -> None:
    taught = learner(smallest(**STILL))
    images = torch.randint(0, 256, (7, 3, 112, 112), dtype=torch.uint8)
    targets = torch.full((7, 7), 0.05) + 0.65 * torch.eye(7)
    losses = [taught.step(images, targets, rfloss_active=True).parts.total.item() for _ in range(6)]
    assert losses[-1] < losses[0] - 0.1


def test_moments_come_back_in_their_parameters_layout() -> None:
    config = smallest()
    images, labels = torch.randint(0, 256, (7, 3, 112, 112), dtype=torch.uint8), torch.arange(7)
    first, second = learner(config), learner(config)
    first.step(images, labels)
    state = copy.deepcopy(first.state())
    for moments in state["optimizer"]["state"].values():
        for name, moment in moments.items():
            moments[name] = moment.contiguous()  # as a file gives them back
    second.restore(state)
    for parameter, moments in second._optimizer.state.items():
        assert moments["exp_avg"].stride() == parameter.stride()


def test_norms_and_biases_are_not_decayed() -> None:
    network = build_network(smallest().network, 7)
    decayed, others = make_optimizer(network, OptimConfig(weight_decay=0.1)).param_groups
    assert decayed["weight_decay"] == 0.1
    assert others["weight_decay"] == 0.0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in others["params"])


def test_averaged_weights_are_the_moving_average_of_weights_and_norms() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    averaged = AveragedWeights(network, 0.5)
    expected = {k: v.clone() for k, v in network.state_dict().items()}
    for step in range(20):
        for value in network.state_dict().values():
            value.add_(1)
        averaged.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            floating = value.is_floating_point()
            expected[name] = decay * expected[name] + (1 - decay) * value if floating else value
    for name, value in averaged.network.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_sam_looks_a_radius_up_the_slope_and_comes_back() -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    weight.grad = weight.detach().clone()
    before = climb([weight], 0.5)
    torch.testing.assert_close(weight.detach(), torch.tensor([3.3, 4.4]))
    descend(before)
    torch.testing.assert_close(weight.detach(), torch.tensor([3.0, 4.0]))


def test_norm_statistics_rest_in_sams_second_pass() -> None:
    norm = nn.BatchNorm1d(2)
    with norms_at_rest(norm):
        norm(torch.randn(8, 2) + 5)
    assert norm.running_mean is not None
    assert norm.running_mean.abs().max() == 0
    assert norm.momentum == 0.1


# --- schedules, batches, meters, precision -----------------------------------------------------------


def schedule(**changes: Any) -> Schedule:
    return Schedule(OptimConfig(learning_rate=1.0, epochs=10, **changes), steps_per_epoch=10)


def test_warm_up_rises_and_cosine_falls_to_nothing() -> None:
    s = schedule(schedule="cosine", warmup_steps=20)
    assert s.rate(0) == pytest.approx(1 / 20)
    assert s.rate(19) == pytest.approx(1.0)
    assert s.rate(60) == pytest.approx(0.5)
    assert s.rate(99) < 0.001


def test_exponential_decays_by_epoch_and_constant_does_not() -> None:
    s = schedule(schedule="exponential", gamma=0.9, warmup_steps=0)
    assert [s.rate(k) for k in (0, 9, 10, 25)] == pytest.approx([1, 1, 0.9, 0.81])
    assert schedule(schedule="constant", warmup_steps=0).rate(99) == 1.0


def test_plateau_decays_when_the_figure_no_longer_rises_and_remembers_it() -> None:
    s = schedule(schedule="plateau", gamma=0.1, warmup_steps=0, plateau_epochs=2)
    for figure in (0.5, 0.6, 0.6):
        s.epoch_ended(figure)
    assert s.rate(30) == 1.0
    again = schedule(schedule="plateau", gamma=0.1, warmup_steps=0, plateau_epochs=2)
    again.restore(s.state())
    again.epoch_ended(0.55)
    assert again.rate(40) == pytest.approx(0.1)


def test_the_best_by_loss_is_not_the_epoch_in_which_the_loss_became_another_sum() -> None:
    optim = OptimConfig(select_by="loss")
    before = {"cross_entropy": 1.00, "rfloss": 0.1, "loss": 1.00, "accuracy": 0.7}
    worse = {"cross_entropy": 1.05, "rfloss": 0.1, "loss": 0.9 * 1.05 + 0.2 * 0.1, "accuracy": 0.7}
    assert worse["loss"] < before["loss"]
    assert figure_of(worse, optim) < figure_of(before, optim)
    assert figure_of({**before, "cross_entropy": math.nan}, optim) == -math.inf
    assert figure_of(before, OptimConfig(select_by="accuracy")) == 0.7


def test_a_last_batch_too_small_for_norms_is_left_out() -> None:
    positions = torch.arange(17).numpy()
    assert [len(b) for b in in_batches(positions, 8)] == [8, 8]
    assert [len(b) for b in in_batches(positions[:10], 8)] == [8, 2]
    assert [len(b) for b in in_batches(positions[:10], 8, world=2)] == [8]
    assert [len(b) for b in in_batches(positions[:1], 8)] == [1]


def test_a_meter_follows_the_last_seconds_and_ignores_what_an_earlier_attempt_did() -> None:
    now = [0.0]
    meter = Meter(1000, done=500, window=10, clock=lambda: now[0])
    for seconds, units in ((1, 10), (2, 10), (10, 100), (11, 10), (21, 200)):
        now[0] = float(seconds)
        meter.add(units)
    said = meter.say(more=85)
    assert said.done == 830
    assert said.rate == pytest.approx(20.0)
    assert said.seconds_left == pytest.approx((170 + 85) / (330 / 21)), "by more than the last seconds"
    assert not meter.is_due()
    now[0] += 0.5
    assert meter.is_due()


def test_reduced_precision_that_was_asked_for_is_given_with_a_note_where_it_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mmfrm.runtime.has_fast_bf16", lambda device: False)
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == ("fp32", ())
    precision, notes = choose_precision("bf16", cpu)
    assert precision == "bf16"
    assert "slowly" in notes[0]


def test_threads_are_those_a_worker_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("MMFRM_THREADS", "3")
    assert prepare(RuntimeConfig()).threads == 3
    assert prepare(RuntimeConfig(threads=1)).threads == 1
    torch.set_num_threads(before)
