"""What goes through all trials of a study, done while it runs, at little cost."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_SECS = 2.0
"""Of a run, in which it is not done: one that is over by then needs it at its end alone."""

_LEAST_SECS = 1.0
"""Between two times that it is done."""

_SHARE = 0.02
"""Of a run's time that it may take."""


class Throttle:
    """Does something as trials end, but spends little of the time on it, however many there are.

    Args:
        act: What it does.
    """

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._next = time.monotonic() + FIRST_SECS

    def trial_finished(self) -> None:
        """Do it, if it is time."""
        started = time.monotonic()
        if started < self._next:
            return
        self._act()
        ended = time.monotonic()
        self._next = ended + max(_LEAST_SECS, (ended - started) / _SHARE)
