"""A sweep that is under way: what its steps share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from sweep.data.dataset import Dataset
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig
from sweep.training.contract import TrainingSettings


@dataclass(frozen=True)
class Sweep:
    """What the steps of a sweep share.

    Args:
        location: The study's name, file and results folder.
        config: Its settings.
        data: Its prepared rows; None for a training loop of the user's own.
        study: Its trials.
        note: Tells the user a sentence.
    """

    location: Location
    config: StudyConfig
    data: Dataset | None
    study: optuna.Study
    note: Callable[[str], None]

    @property
    def settings(self) -> TrainingSettings:
        """What all trials share."""
        return TrainingSettings.of(self.config)

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimizer steps in one pass over the training rows; None if only a loop knows."""
        if self.data is None:
            return None
        return self.settings.steps_per_epoch(len(self.data.x_train))

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials in the storage, by number."""
        return self.study.get_trials(deepcopy=False)
