"""Whether a model raises whatever its schedule is, so that more trials would show nothing new."""

from __future__ import annotations

from dataclasses import dataclass, field

from sweep.base.errors import TrainingError

MOST_ALIKE = 5
"""Trials that may fail in one way before any has completed."""


@dataclass
class Failures:
    """The failures of one run of a sweep.

    A trial that has come further than those that failed, and failures of one scheduler among
    several, say that it depends on the schedule: then the sweep goes on.

    Args:
        schedulers: How many are searched.
    """

    schedulers: int
    _alike: dict[str, list[str]] = field(default_factory=dict)
    _farthest: int = 0

    def trained(self, epoch: int) -> None:
        """A trial has trained that epoch to its end."""
        self._farthest = max(self._farthest, epoch)

    def count(self, reason: str, scheduler: str, epochs: int, completed: int) -> bool:
        """Take in a failure.

        Args:
            reason: What the trial raised, and where.
            scheduler: The trial's.
            epochs: How many it had trained.
            completed: Trials that have trained to their end.

        Returns:
            Whether it is the first of its kind.

        Raises:
            TrainingError: It is the last that is needed to see that all trials fail like this.
        """
        alike = self._alike.setdefault(reason, [])
        alike.append(scheduler)
        enough = len(alike) >= MOST_ALIKE and len(set(alike)) >= min(2, self.schedulers)
        if enough and not completed and self._farthest <= epochs:
            raise TrainingError(
                f"stopped: {len(alike)} trials failed in the same way, and none has completed or "
                f"come further: {reason}; mend what raises, then run it again with --fresh"
            )
        return len(alike) == 1
