"""New trials: how many a study wants still, and asking for them."""

from __future__ import annotations

import time

from sweep.search.attributes import completes
from sweep.search.completion import next_enqueued
from sweep.search.in_flight.allowance import Allowance
from sweep.search.in_flight.auditions import Auditions
from sweep.search.in_flight.counts import Counts
from sweep.search.in_flight.in_training import InTraining
from sweep.search.in_flight.ownership import Ownership
from sweep.search.in_flight.trials import InFlight
from sweep.search.storage.owners import in_turn
from sweep.search.trials import StudyReader

_AT_ONCE = 32
"""Trials that are asked for in one turn of a shared storage, at most: each turn costs its own."""
_TURN_SECS = 0.04
"""After which a turn begins no other trial: workers and other coordinators wait for its end."""


class NewTrials:
    """The new trials of a study, asked for as many as it wants and its budget has room for.

    Args:
        reader: Reads the study.
        in_flight: Where they wait for a worker.
        auditions: Says over how many epochs they are tried first.
        ownership: Marks them as this coordinator's.
        counts: How many the study has.
        allowance: What they may cost.
        total: How many the study is to have.
        most: The same where many cost next to nothing, of a budget.
        draws: Whether any are drawn; else only those that complete a pruned one are asked for.

    Attributes:
        at_once: Trials that are asked for in one turn, at most.
    """

    def __init__(
        self,
        reader: StudyReader,
        in_flight: InFlight,
        auditions: Auditions,
        ownership: Ownership,
        counts: Counts,
        allowance: Allowance,
        *,
        total: int,
        most: int,
        draws: bool,
    ) -> None:
        self._study = reader.study
        self._epochs = reader.config.epochs
        self._in_flight = in_flight
        self._auditions = auditions
        self._ownership = ownership
        self._counts = counts
        self._allowance = allowance
        self._total = total
        self._most = most
        self._draws = draws
        self.at_once = _AT_ONCE if ownership.shared else 1

    @property
    def left(self) -> int:
        """Trials that have not ended, and those that have not been asked for."""
        to_draw = 0
        if self._draws and self._whole_epochs <= self._allowance.uncommitted:
            to_draw = max(self._total - self._counts.tally.started, int(self._most > self._total))
        return to_draw + self._counts.tally.to_complete + len(self._in_flight)

    @property
    def _whole_epochs(self) -> int:
        """That a trial may cost."""
        return self._auditions.epochs + self._epochs

    def wants_more(self) -> bool:
        """Whether the study wants another trial."""
        if self._ownership.shared:  # others ask too
            self._allowance.count(self._counts.look())
        return self._wants_beside(0)

    def _wants_beside(self, beside: int) -> bool:
        """The same where that is known, beside new trials that may cost so many epochs."""
        to_draw = self._draws and self._counts.tally.started < self._most
        if to_draw and self._allowance.fits(beside + self._whole_epochs):
            return True
        return self._counts.tally.to_complete > 0 and self._allowance.fits(beside + self._epochs)

    def ask(self, count: int) -> bool:
        """Ask for some new trials, in one turn; whether there was any to ask for.

        Args:
            count: How many could be trained; it may be fewer that are asked for.
        """
        count = min(count, self.at_once)

        def ask() -> list[InTraining]:
            asked: list[InTraining] = []
            until, beside = time.monotonic() + _TURN_SECS, 0
            more = self.wants_more()
            while more:
                asked.append(self._begin())
                beside += asked[-1].spec.epochs or self._epochs
                more = len(asked) < count and time.monotonic() < until
                more = more and self._wants_beside(beside)
            return asked

        asked = in_turn(self._study, ask, begins=count)
        for running in asked:
            self._in_flight.wait(running)
        return bool(asked)

    def _begin(self) -> InTraining:
        lacks = self._counts.tally.to_complete > 0  # one that completes a pruned one goes first
        trial = next_enqueued(self._study) if lacks else self._study.ask()
        self._ownership.claim(trial)
        running = self._in_flight.drawn(trial)  # before another may ask: it counts it
        self._allowance.commit(running)
        is_drawn = completes(trial) is None
        self._counts.tally.started += is_drawn
        self._counts.tally.to_complete -= not is_drawn
        return running
