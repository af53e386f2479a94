"""What a report says of a trial that has completed, and of the best one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.schedules.schedule import Schedule
from sweep.study.space import Value, described


@dataclass(frozen=True)
class TrialFacts:
    """One completed trial.

    Args:
        number: Its number in the study.
        schedule: What it was trained with.
        value: What it came to.
        r2: On the validation rows.
        best_epoch: The epoch, from 1, whose validation MSE counts.
        params: The parameters of the user's own that it was trained with.
        beside: What else its model on a table came to in that epoch, by name: `val_accuracy`.
    """

    number: int
    schedule: Schedule
    value: float
    r2: float | None
    best_epoch: int | None
    params: Mapping[str, Value] = field(default_factory=dict, kw_only=True)
    beside: Mapping[str, float] = field(default_factory=dict, kw_only=True)

    @property
    def description(self) -> str:
        """What it was trained with, in one line."""
        return described(self.schedule, self.params)


@dataclass(frozen=True)
class Curve:
    """A trial's course: a number for each epoch, as `EpochResult` has it; NaN where it has none.

    Args:
        lr_first: The rate of the epoch's first step.
        lr_last: That of its last one.
        training: The metric on the training rows.
        value: On the validation rows.
        averaged: The same of the averaged weights.
    """

    lr_first: list[float]
    lr_last: list[float]
    training: list[float]
    value: list[float]
    averaged: list[float]


@dataclass(frozen=True)
class Best(TrialFacts):
    """The best trial.

    Args:
        epochs: How many it was trained for.
        of_epochs: How many its schedule is over.
        completed: Whether that was to its end.
        torch: Its torch class and arguments; None while the horizon is unknown.
        total_steps: The horizon in optimizer steps; None while it is unknown.
        curve: Its course.
        edges: What to widen, a sentence for each range that it lies at the end of.
    """

    epochs: int
    of_epochs: int
    completed: bool
    torch: dict[str, Any] | None
    total_steps: int | None
    curve: Curve
    edges: tuple[str, ...]


@dataclass(frozen=True)
class Rival:
    """A trial that the best one is measured against.

    Args:
        trial: The trial.
        behind: How much better the best one's value is, as a share of its own; None where
            that says nothing.
    """

    trial: TrialFacts
    behind: float | None
