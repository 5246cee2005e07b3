"""What a training keeps in its folder: its checkpoints, and the weights of its best epoch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmfrm.checkpoint import save_model
from mmfrm.config import TrainConfig
from mmfrm.data import Faces
from mmfrm.ddp import Group
from mmfrm.epoch_figures import EpochFigures
from mmfrm.events import Checkpointed
from mmfrm.learner import Learner
from mmfrm.nn import FaceNetwork
from mmfrm.resume import LAST, restore_checkpoint, save_checkpoint
from mmfrm.standing import MODEL, Standing, headline_of, require_same_run


class Keeper:
    """Writes and reads the folder of one run. Only the process that speaks writes."""

    def __init__(self, folder: Path, config: TrainConfig, faces: Faces, processes: Group) -> None:
        self._folder, self._config, self._faces, self._processes = folder, config, faces, processes
        found = restore_checkpoint(folder)
        self.problems: Sequence[str] = found.problems  # with checkpoints that were not used
        self._state = found.state

    @property
    def has_begun(self) -> bool:
        """A checkpoint waits for `restore`."""
        return self._state is not None

    @property
    def model(self) -> Path:
        """The folder of the best epoch's weights."""
        return self._folder / MODEL

    def save(self, standing: Standing, learner: Learner, figures: EpochFigures) -> Checkpointed:
        """Write a checkpoint. Every process must come here, since figures are gathered."""
        of_all = figures.state()
        if self._processes.speaks:
            state = {
                "config": asdict(self._config),
                "data_fingerprint": self._faces.fingerprint,
                "classes": list(self._faces.classes),
                "standing": asdict(standing),
                "learner": learner.state(),
                **of_all,
            }
            save_checkpoint(self._folder, state)
        return Checkpointed(path=LAST, epoch=standing.epoch, step=learner.step_count)

    def restore(self, learner: Learner, figures: EpochFigures) -> Standing | None:
        """Go on from the newest whole checkpoint; where the run stands, or None where there is none.

        Raises JobError where it is of another run.
        """
        state, self._state = self._state, None
        if state is None:
            return None
        require_same_run(state, self._config, self._faces.fingerprint)
        standing = Standing(**state["standing"])
        learner.restore(state["learner"])
        figures.load_state(state, speaks=self._processes.speaks)
        at_the_best = standing.batch == 0 and standing.best_epoch == standing.epoch - 1
        if at_the_best and self._kept_epoch() != standing.best_epoch:
            self.keep_model(learner.answering, standing)  # killed between the checkpoint and the model
        return standing

    def keep_model(self, network: FaceNetwork, standing: Standing) -> None:
        """Write the best epoch's model folder; the one before it stays until the new one is whole."""
        if not self._processes.speaks:
            return
        part, old = self._folder / (MODEL + ".part"), self._folder / (MODEL + ".old")
        for leftover in (part, old):
            shutil.rmtree(leftover, ignore_errors=True)
        card, config = self._card(standing), self._config.network
        save_model(part, network, classes=self._faces.classes, config=config, card=card)
        if self.model.exists():
            self.model.rename(old)
        part.rename(self.model)
        shutil.rmtree(old, ignore_errors=True)

    def _card(self, standing: Standing) -> dict[str, Any]:
        return {
            "epoch": standing.best_epoch,
            "val": standing.best_val,
            "test": headline_of(standing.test) if standing.test is not None and standing.is_judged else None,
            **({"temperature": standing.temperature} if standing.is_judged else {}),
            "training": asdict(self._config),
            "steering": standing.steered,
            "data_fingerprint": self._faces.fingerprint,
        }

    def _kept_epoch(self) -> int:
        """The epoch of the model folder; -1 where there is none."""
        try:
            return int(json.loads((self.model / "model.json").read_text())["card"]["epoch"])
        except (OSError, ValueError, KeyError, TypeError):
            return -1
