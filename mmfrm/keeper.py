"""What a training keeps in its folder: its checkpoints, and the weights of its best epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmfrm.config import TrainConfig
from mmfrm.data import Faces
from mmfrm.ddp import Group
from mmfrm.epoch_figures import EpochFigures
from mmfrm.events import Checkpointed
from mmfrm.learner import Learner
from mmfrm.nn import FaceNetwork
from mmfrm.resume import LAST, restore_checkpoint, save_checkpoint
from mmfrm.standing import MODEL, Standing, keep_model, kept_epoch, require_same_run


class Keeper:
    """Writes and reads the folder of one run. Only the process that speaks writes."""

    def __init__(self, folder: Path, config: TrainConfig, faces: Faces, processes: Group) -> None:
        self._folder, self._config, self._faces, self._processes = folder, config, faces, processes
        self.problems: Sequence[str] = ()  # with checkpoints that were not used

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
        restored = restore_checkpoint(self._folder)
        self.problems = restored.problems
        if restored.state is None:
            return None
        state: dict[str, Any] = restored.state
        require_same_run(state, self._config, self._faces.fingerprint)
        standing = Standing(**state["standing"])
        learner.restore(state["learner"])
        figures.load_state(state, speaks=self._processes.speaks)
        at_the_best = standing.batch == 0 and standing.best_epoch == standing.epoch - 1
        if at_the_best and kept_epoch(self._folder) != standing.best_epoch:
            self.keep_model(learner.answering, standing)  # killed between the checkpoint and the model
        return standing

    def keep_model(self, network: FaceNetwork, standing: Standing) -> None:
        """Write the best epoch's model folder."""
        if self._processes.speaks:
            keep_model(self._folder, network, self._faces, self._config, standing)
