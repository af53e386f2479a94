"""Trials that have had their audition: a short training of their whole schedule.

A trial's schedule is first trained over a part of the epochs, compressed to them. What it comes to
is reported at the step that is this horizon, and there the pruner decides whether the trial is
trained over all of its epochs, from the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sweep.search.in_flight.in_training import InTraining
from sweep.search.trials import Trial

FEWEST_AUDITIONS = 8
"""That must be known before any is decided on: the first would be the best so far."""


class Auditions:
    """Trials that wait for the decision on their audition.

    Args:
        epochs: The horizon of an audition; 0 if trials have none.
        enough: How many must be known before any is decided on.
        trials: Those that the study has already.
    """

    def __init__(self, epochs: int, enough: int, trials: Iterable[Trial]) -> None:
        self.epochs = epochs
        self._enough = enough
        self._known = sum(_is_known(trial, epochs) for trial in trials)
        self._waiting: list[InTraining] = []

    @property
    def waiting(self) -> list[InTraining]:
        """Those that nothing has been decided on."""
        return list(self._waiting)

    def take(self, running: InTraining) -> None:
        """Take in one that has just ended, and been reported."""
        self._known += 1
        self._waiting.append(running)

    def take_back(self, running: InTraining) -> None:
        """Take in one that was interrupted before it was decided on."""
        self._waiting.append(running)

    def due(self, at_once: bool = False) -> list[InTraining]:
        """Those that can be decided on by now, which wait no longer.

        Args:
            at_once: Whether there is nothing more to wait for.
        """
        if self._known < self._enough and not at_once:
            return []
        due, self._waiting = self._waiting, []
        return due

    def drop(self, trials: Sequence[InTraining]) -> None:
        """Let these wait no more."""
        self._waiting = [waiting for waiting in self._waiting if waiting not in trials]


def _is_known(trial: Trial, epochs: int) -> bool:
    """Whether what a trial has reported at the step `epochs` is what its audition came to."""
    audition = trial.audition
    return epochs in trial.reports and audition is not None and audition.epochs == epochs
