"""A sweep that is under way: what its steps share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import optuna

from sweep.data.dataset import Dataset
from sweep.search.trials import StudyReader, Trial
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig
from sweep.training.contract import TrainingSettings


@dataclass(frozen=True)
class RunContext:
    """What the steps of a sweep share.

    Args:
        location: The study's name, file and results folder.
        config: Its settings.
        data: Its prepared rows; None for a training loop of the user's own.
        reader: Reads the study; the one for all steps, so that each trial is converted once.
        note: Tells the user a sentence.
    """

    location: Location
    config: StudyConfig
    data: Dataset | None
    reader: StudyReader
    note: Callable[[str], None]

    @property
    def settings(self) -> TrainingSettings:
        """What all trials share."""
        return TrainingSettings.of(self.config)

    @property
    def study(self) -> optuna.Study:
        """Its trials."""
        return self.reader.study

    @property
    def trials(self) -> list[Trial]:
        """The trials in the storage, by number."""
        return self.reader.trials
