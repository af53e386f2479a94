"""What has said nothing for so long that it is taken for gone."""

from __future__ import annotations

import time
from collections.abc import Callable

from sweep.base.wording import duration
from sweep.training.cluster.addresses import is_reached

SILENT_SECS = 40.0
"""After which a machine, or the cluster, that is there but says nothing is given up. Ray itself
takes a machine for dead after 65 s, and a process on it that has stopped never."""

_GONE_SECS = 15.0
"""After which a head node that cannot be reached is gone; Ray itself ends a process after 60."""

_LOOK_SECS = 1.0
_MOST_SECS = 5.0
"""That one look may add: between two looks this process itself may have been stopped for hours."""


class Silence:
    """How long something has said nothing.

    Attributes:
        secs: That it has lasted, as far as this process was there to hear.
    """

    def __init__(self) -> None:
        self.secs = 0.0
        self._looked = time.monotonic()

    def lasts(self) -> float:
        """Its seconds now, since nothing has been heard up to now; call it often."""
        now = time.monotonic()
        self.secs += min(now - self._looked, _MOST_SECS)
        self._looked = now
        return self.secs

    def ends(self) -> None:
        """Something has been heard."""
        self.secs = 0.0


def watch_head(head: str, answers: Callable[[], int], is_over: Callable[[], bool]) -> str | None:
    """Watch a cluster's head node until it has gone: how that shows.

    A head that has been stopped, rather than ended, can be reached: its system answers for it.

    Args:
        head: Its host and port.
        answers: How often the cluster has answered so far, which it is asked all the time.
        is_over: Whether to watch no more.

    Returns:
        None if the watch was over before.
    """
    unreached, unanswered, heard = Silence(), Silence(), answers()
    while not is_over():
        time.sleep(_LOOK_SECS)
        if is_reached(head, _LOOK_SECS + 2.0):
            unreached.ends()
        if answers() != heard:
            heard = answers()
            unanswered.ends()
        if unreached.lasts() > _GONE_SECS:
            return f"nothing has answered for {duration(unreached.secs)}"
        if unanswered.lasts() > SILENT_SECS:
            return f"it can be reached, but has not answered for {duration(unanswered.secs)}"
    return None
