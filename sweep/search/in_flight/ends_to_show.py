"""Trials that have ended, until the storage knows it: what is shown as ended has to last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from sweep.search.in_flight.counts import Counts
from sweep.search.in_flight.in_training import InTraining
from sweep.search.in_flight.ownership import Ownership
from sweep.search.storage.optuna_private import stored
from sweep.search.storage.owners import is_settled
from sweep.search.trials import StudyReader, Trial


class EndsToShow:
    """Holds back trials whose ends a storage writes in batches.

    Args:
        reader: Reads the study.
        ownership: Knows whether a trial has become another's meanwhile.
        counts: They are in it; one that has become another's is taken out.
    """

    def __init__(self, reader: StudyReader, ownership: Ownership, counts: Counts) -> None:
        self._reader = reader
        self._ownership = ownership
        self._counts = counts
        self._trials: deque[InTraining] = deque()

    def add(self, running: InTraining) -> None:
        """One that was told how it has ended."""
        self._trials.append(running)

    def settled(self) -> Iterator[Trial]:
        """Those that the storage has by now, in the order of their ends; they are held no more."""
        while self._trials and is_settled(self._reader.study, self._trials[0].trial):
            running = self._trials.popleft()
            if not self._ownership.is_ended(running):
                self._counts.count_anew()
                continue
            yield self._reader.trial(stored(running.trial))
