"""When a run has to be over, and whether a training that is begun now would be in time."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence

from sweep.training.contract import EpochResult

_REMEMBERED = 64
"""Answers of workers that an estimate is made from: what a first epoch compiles is soon forgotten,
and a median does without it."""


class TimeLimit:
    """One for a whole run: each training that is heard of tells how long the next one takes.

    Args:
        at: When the run has to be over, as `clock` has it; infinite where there is no limit.
        clock: Seconds.

    Attributes:
        at: The same.
    """

    def __init__(self, at: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self.at = at
        self._clock = clock
        self._epoch_secs: deque[float] = deque(maxlen=_REMEMBERED)
        self._alone_secs: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return self.at < math.inf

    @property
    def left_secs(self) -> float:
        """Until it; 0 once it is over."""
        return max(self.at - self._clock(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether it has come."""
        return self.left_secs <= 0

    def heard(self, results: Sequence[EpochResult]) -> None:
        """Learn from an answer of a worker.

        Args:
            results: Epochs of the trials that it trains side by side; each one's `seconds` are its
                share of the worker's time.
        """
        if not self.is_set or not results:
            return
        alone = statistics.fmean(result.seconds for result in results)
        self._alone_secs.append(alone)
        self._epoch_secs.append(alone * len({result.number for result in results}))

    def training_secs(self, epochs: int) -> float | None:
        """About how long a training takes beside others; None as long as nothing is known."""
        return epochs * statistics.median(self._epoch_secs) if self._epoch_secs else None

    def allows(self, epochs: int) -> bool:
        """Whether a training of so many epochs, begun now, is expected to end in time."""
        return not self.is_set or (
            not self.is_over and (self.training_secs(epochs) or 0.0) <= self.left_secs
        )

    def trainings_left(
        self, epochs: int, workers: int, usual_secs: float | None = None
    ) -> int | None:
        """How many trainings fit into the time that is left.

        Args:
            epochs: Of each.
            workers: That train them side by side.
            usual_secs: An epoch's share of a worker's time, from before this run.

        Returns:
            None where there is no limit, or nothing is known of their speed.
        """
        if not self.is_set:
            return None
        if self.is_over:
            return 0
        secs = statistics.median(self._alone_secs) if self._alone_secs else usual_secs
        return workers * math.floor(self.left_secs / (epochs * secs)) if secs else None

    def cut(self, expected_secs: float | None, deadline: float) -> float | None:
        """What is expected to take so many seconds, but no longer than there is time.

        Args:
            expected_secs: None where it is not known.
            deadline: When to begin nothing more, before the limit, as the clock has it.
        """
        if not self.is_set:
            return expected_secs
        until_deadline = deadline - self._clock()
        left = until_deadline if until_deadline > 0 else self.left_secs
        return left if expected_secs is None else min(expected_secs, left)
