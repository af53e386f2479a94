"""skorch: `SweepCallback` among a net's callbacks, behind those that score."""

from __future__ import annotations

from typing import Any

import torch
from skorch.callbacks import Callback

from sweep.integrations.evaluations import Evaluations
from sweep.training.own_command.current_trial import current_trial


class SweepCallback(Callback):
    """Trains a net with the trial's schedule and epochs, and reports every epoch's history.

    It takes the place of an LRScheduler. Outside of a sweep it does nothing, unless
    `sweep.current_trial` was given a schedule.
    """

    def initialize(self) -> SweepCallback:
        """Begin anew, before the net's weights are drawn: by the trial's seed."""
        trial = current_trial()
        if trial.metric is not None:
            torch.manual_seed(trial.seed)
        self._evaluations = Evaluations()
        self._scheduler: Any = None
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Set `max_epochs`."""
        trial = current_trial()
        if trial.metric is not None:
            net.max_epochs = trial.epochs

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Attach the schedule, now that the training rows are known."""
        trial = current_trial()
        if self._scheduler is None and trial.has_schedule:
            steps = len(net.get_iterator(dataset_train, training=True))
            self._scheduler = trial.attach(
                net.optimizer_, steps_per_epoch=steps, epochs=net.max_epochs
            )

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Step it."""
        if training and self._scheduler is not None:
            self._scheduler.step()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Report what the net's history has of the epoch."""
        row = {name: value for name, value in net.history[-1].items() if not _is_count(name)}
        self._evaluations.report(row, len(net.history))


def _is_count(name: str) -> bool:
    """Whether it says nothing of how well the net does."""
    return name in ("epoch", "dur") or name.endswith("_batch_count")
