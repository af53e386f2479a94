"""All trials that have been asked for and have not ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import optuna

from sweep.search.in_flight.auditions import Auditions
from sweep.search.in_flight.in_training import InTraining
from sweep.search.status import Lane
from sweep.study.settings import StudyConfig


class InFlight:
    """The trials of one coordinator that are in training, wait for it, or for a decision.

    Args:
        config: The study's settings.
        auditions: Holds those whose audition is over until it is decided on.

    Attributes:
        training: Those that a worker has, by number.
    """

    def __init__(self, config: StudyConfig, auditions: Auditions) -> None:
        self.training: dict[int, InTraining] = {}
        self._config = config
        self._auditions = auditions
        self._waiting: deque[InTraining] = deque()

    def __iter__(self) -> Iterator[InTraining]:
        return iter((*self.training.values(), *self._waiting, *self._auditions.waiting))

    def __len__(self) -> int:
        return len(self.training) + len(self._waiting) + len(self._auditions.waiting)

    @property
    def numbers(self) -> set[int]:
        """The numbers of all."""
        return {running.trial.number for running in self}

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """What is shown of those in training, by number."""
        return tuple(running.lane for _, running in sorted(self.training.items()))

    @property
    def committed(self) -> int:
        """Epochs that they may still cost; of those that wait for a decision, none is promised."""
        going = (*self.training.values(), *self._waiting)
        return sum(running.spec.epochs or self._config.epochs for running in going)

    @property
    def any_whole(self) -> bool:
        """Whether any is trained, or will be, over the study's horizon."""
        return any(not each.is_audition for each in (*self.training.values(), *self._waiting))

    @property
    def waiting(self) -> int:
        """How many can be trained at once."""
        return len(self._waiting)

    @property
    def any_in_audition(self) -> bool:
        """Whether any is in training over the horizon of an audition."""
        return any(running.is_audition for running in self.training.values())

    def drawn(self, trial: optuna.Trial) -> InTraining:
        """A trial that has been asked for, its parameters drawn; it is not in flight yet."""
        return InTraining.of(trial, self._config, self._auditions.epochs)

    def wait(self, running: InTraining) -> None:
        """Let a trial be trained next: a new one, or one that goes on after its audition."""
        self.training.pop(running.trial.number, None)
        self._waiting.append(running)

    def wait_for_decision(self, running: InTraining) -> None:
        """Hold a trial whose audition has just ended."""
        del self.training[running.trial.number]
        self._auditions.take(running)

    def take_back(self, trial: optuna.Trial) -> None:
        """Go on with a trial that was interrupted."""
        running = self.drawn(trial)
        if running.awaits_decision:
            self._auditions.take_back(running)
        else:
            self._waiting.append(running)

    def postpone(self, running: InTraining) -> None:
        """Let a trial that has passed its audition wait for another decision."""
        running.awaits_decision = True
        self._auditions.take_back(running)

    def skip_auditions(self) -> None:
        """Let those that wait for their audition be trained whole instead."""
        for running in self._waiting:
            running.skip_audition()

    def begin(self) -> InTraining | None:
        """The next that waits, in training from now on; None if none waits."""
        if not self._waiting:
            return None
        running = self._waiting.popleft()
        self.training[running.trial.number] = running
        return running

    def remove(self, trials: Sequence[InTraining]) -> None:
        """Have these no more."""
        for running in trials:
            self.training.pop(running.trial.number, None)
            if running in self._waiting:
                self._waiting.remove(running)
        self._auditions.drop(trials)
