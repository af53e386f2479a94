"""What a coordinator may begin, so that its study never costs more than its budget."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sweep.search.budget import Spent, confirmation_epochs, search_epochs_left
from sweep.search.in_flight.in_training import InTraining
from sweep.search.in_flight.ownership import Ownership
from sweep.search.in_flight.trials import InFlight
from sweep.search.storage.owners import in_turn
from sweep.search.trials import StudyReader, Trial


class Allowance:
    """What is spent, what is committed to trials in flight, and what fits beside it.

    Args:
        reader: Reads the study.
        trials: Those that it has, and that count.
        in_flight: This coordinator's.
        ownership: Knows of those of others.

    Attributes:
        spent: By all of the study.
        is_limited: Whether there is a budget at all.
    """

    def __init__(
        self,
        reader: StudyReader,
        trials: Iterable[Trial],
        in_flight: InFlight,
        ownership: Ownership,
    ) -> None:
        self.spent = Spent(confirmation=confirmation_epochs(reader.study))
        self.is_limited = reader.config.budget is not None
        self._reader = reader
        self._in_flight = in_flight
        self._ownership = ownership
        self._on: dict[int, Spent] = {}
        self.count([*trials, *reader.excluded])

    @property
    def left(self) -> float:
        """Epochs that the search may still cost; infinite where there is no budget."""
        return search_epochs_left(self._reader.config, self.spent)

    @property
    def uncommitted(self) -> float:
        """Those of them that no trial of this coordinator may still cost."""
        return self.left - self._in_flight.committed if self.is_limited else math.inf

    def count(self, trials: Iterable[Trial]) -> None:
        """Take in what trials have cost by now."""
        for trial in trials:
            self._set(trial.number, Spent.on(trial))

    def count_audition(self, running: InTraining) -> None:
        """Take in what the audition has cost of a trial that waits for the decision on it."""
        self._set(running.trial.number, Spent(auditions=running.reported))
        if self.is_limited:
            self._ownership.commit(running.trial, 0)

    def fits(self, epochs: int) -> bool:
        """Whether so many epochs fit beside all that is committed, here and elsewhere."""
        if not self.is_limited:
            return True
        elsewhere = 0
        if self._ownership.shared:  # in this order, nothing that ends meanwhile is overlooked
            elsewhere = self._ownership.committed_elsewhere
            self.count(self._reader.trials)
        return elsewhere + epochs <= self.uncommitted

    def commit(self, running: InTraining) -> None:
        """Commit what a new trial may cost, or its audition; call it in a turn."""
        if self.is_limited:
            epochs = running.spec.epochs or self._reader.config.epochs
            self._ownership.commit(running.trial, epochs)

    def go_on(self, running: InTraining) -> bool:
        """Let a trial go on that has passed its audition; False if it will never fit.

        One that would fit if another one were stopped is decided on once more then.
        """

        def commit() -> bool:
            fits = self.fits(self._reader.config.epochs)
            if fits:
                self.commit(running)
            return fits

        needs_turn = self.is_limited and self._ownership.shared
        if in_turn(self._reader.study, commit) if needs_turn else commit():
            running.pass_audition()
            self._in_flight.wait(running)
        elif self._in_flight.any_whole:
            self._in_flight.postpone(running)
        else:
            return False
        return True

    def _set(self, number: int, spent: Spent) -> None:
        before = self._on.get(number)
        if before != spent:
            self.spent += spent if before is None else spent - before
            self._on[number] = spent
