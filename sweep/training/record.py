"""What a trial leaves in the storage: its attributes and its whole course."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.study.metric import Metric
from sweep.study.sections import Objective, Question
from sweep.training.contract import EpochResult

CURVE_COLUMNS = (*("lr_first", "lr_last", "training", "value", "averaged", "grad_norm", "seconds"),)
"""What is kept of each epoch, in this order; `Metric.named` says what files call it."""


@dataclass(frozen=True)
class Audition:
    """A trial's schedule, whole, over a horizon that is shorter than the trial's.

    Args:
        epochs: The horizon.
        curve: A row an epoch, from epoch 1, in the order of CURVE_COLUMNS.
        value: What it came to, as a trial does; None if no epoch has a finite value.
    """

    epochs: int
    curve: tuple[tuple[float, ...], ...]
    value: float | None


@dataclass(frozen=True)
class TrialRecord:
    """A trial's course and how it ended.

    Args:
        seed: What it was trained from.
        curve: A row an epoch, from epoch 1, in the order of CURVE_COLUMNS.
        reason: Why it ended early or failed; empty for a completed trial.
        metrics: What code of the user's own has told beside these: a number an epoch, by name; NaN
            for those in which it has not.
        audition: What it was trained for before; None if it has had no audition.
    """

    seed: int
    curve: tuple[tuple[float, ...], ...]
    reason: str = ""
    metrics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    audition: Audition | None = None

    @classmethod
    def from_curve(cls, seed: int, curve: list[EpochResult], reason: str) -> TrialRecord:
        """From an engine's results."""
        rows = (tuple(getattr(result, name) for name in CURVE_COLUMNS) for result in curve)
        numbers = (tuple(math.nan if v is None else v for v in row) for row in rows)
        names = dict.fromkeys(name for result in curve for name in result.metrics)
        metrics = {n: tuple(result.metrics.get(n, math.nan) for result in curve) for n in names}
        return cls(seed, tuple(numbers), reason, metrics)

    def column(self, name: str) -> list[float]:
        """One of CURVE_COLUMNS over the epochs."""
        return [row[CURVE_COLUMNS.index(name)] for row in self.curve]

    def best_epoch(self, objective: Objective, metric: Metric) -> int | None:
        """The epoch, from 1, whose value counts; None if no epoch has a finite one."""
        column = self.column(_column_of(objective))
        courses = [metric.loss(value) if math.isfinite(value) else math.inf for value in column]
        if not courses or min(courses) == math.inf:
            return None
        return len(courses) if objective == "final" else courses.index(min(courses)) + 1

    def value(self, objective: Objective, metric: Metric) -> float | None:
        """The metric's value that counts; None if no epoch has a finite one."""
        epoch = self.best_epoch(objective, metric)
        return None if epoch is None else self.column(_column_of(objective))[epoch - 1]

    def answer(self, question: Question, objective: Objective, metric: Metric) -> float | None:
        """What it came to by one of the two questions, whichever of them the objective asks.

        With the objective `averaged`, both are asked of the averaged weights. None if no epoch has
        a finite value, or, of the last epoch, if that one has none.
        """
        if question == "best":
            return self.value("averaged" if objective == "averaged" else "best", metric)
        course = self.column(_column_of(objective))
        return course[-1] if course and math.isfinite(course[-1]) else None

    def user_attributes(
        self, objective: Objective, variance: float, metric: Metric
    ) -> dict[str, Any]:
        """What Optuna and its dashboard show with a trial.

        Args:
            objective: Which epoch counts, and whether its averaged weights do.
            variance: Of the validation target, in the unit of the MSE, for R²; there is no R²
                where it is 0.
            metric: What the values are.
        """
        epoch = self.best_epoch(objective, metric)
        attributes: dict[str, Any] = {"seed": self.seed, "epochs_run": len(self.curve)}
        if self.curve:
            attributes["lr_final"] = self.column("lr_last")[-1]
        if epoch is not None:
            attributes["best_epoch"] = epoch
            attributes[f"final_{metric.name}"] = json_number(self.column("value")[-1])
            attributes[metric.train_name] = json_number(self.column("training")[epoch - 1])
            if variance:
                attributes["r2"] = 1.0 - self.column(_column_of(objective))[epoch - 1] / variance
        if self.reason:
            attributes["reason"] = self.reason
        return attributes


def _column_of(objective: Objective) -> str:
    return "averaged" if objective == "averaged" else "value"


def what_diverged(result: EpochResult, metric: Metric) -> str:
    """Which numbers of an epoch are not finite, and what they are; empty if all are finite."""
    training = "training MSE" if metric.is_mse else metric.train_name
    wrong = _not_finite(
        {
            metric.title: result.value,
            training: result.training,
            "gradient norm": result.grad_norm,
        }
    )
    # averages seldom diverge alone
    return wrong or _not_finite({f"{metric.title} of the averaged weights": result.averaged})


def _not_finite(named: Mapping[str, float | None]) -> str:
    """Those of some numbers that are not finite; what was not measured is None."""
    wrong = {name: v for name, v in named.items() if v is not None and not math.isfinite(v)}
    return ", ".join(f"{name} is {v}" for name, v in wrong.items())


def json_number(value: float) -> float | None:
    """JSON has no infinities; PostgreSQL's refuses them."""
    return value if math.isfinite(value) else None
