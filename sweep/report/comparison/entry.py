"""One study of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.confirm.intervals import Interval, mean_interval
from sweep.report.facts import Summary
from sweep.study.metric import Metric


@dataclass(frozen=True)
class Entry:
    """One study of a comparison.

    Args:
        name: What it is called here: its name; where several share that, its folder's.
        summary: What it found.
        rows: The fingerprint of its prepared rows and their split; None where only the user's own
            loop knows them.
        seed: What its split and the seeds of its confirmation derive from.
        settings: All of its settings, flat, and fingerprints of its rows and of its own code.
    """

    name: str
    summary: Summary
    rows: str | None
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        """What its trials are compared by."""
        return self.summary.metric

    @property
    def unit(self) -> str:
        """Of its value; empty where it has none, or only the user knows it."""
        return self.summary.mse_unit if self.metric.is_mse else ""

    @property
    def values(self) -> dict[int, float]:
        """What the winner came to from each fresh seed; empty without a confirmation."""
        confirmation = self.summary.confirmation
        if confirmation is None:
            return {}
        return dict(zip(confirmation.seeds, confirmation.winner.values, strict=False))

    @property
    def interval(self) -> Interval | None:
        """The confirmed mean; None without a confirmation."""
        return mean_interval(list(self.values.values())) if self.values else None

    @property
    def seeds_are_alike(self) -> bool:
        """Whether fresh seeds made no difference, so that they show nothing."""
        return self.summary.confirmation is not None and self.summary.confirmation.seeds_are_alike

    @property
    def value(self) -> float | None:
        """The confirmed mean, or else the value in the search; None if no trial has completed."""
        if self.interval:
            return self.interval.mean
        return self.summary.best.value if self.summary.best else None

    @property
    def loss(self) -> float:
        """Its value so that less is better; infinite if it has none."""
        return math.inf if self.value is None else self.metric.loss(self.value)

    @property
    def curve(self) -> list[float]:
        """The winner's values over the epochs of its trial in the search."""
        if self.summary.best is None:
            return []
        curve = self.summary.best.curve
        return curve.averaged if self.summary.objective == "averaged" else curve.value

    def losses(self, seeds: Sequence[int] | None = None) -> list[float]:
        """What it came to from some of its fresh seeds, or from all, so that less is better."""
        values = self.values
        return [self.metric.loss(values[seed]) for seed in (values if seeds is None else seeds)]

    def row(self) -> dict[str, Any]:
        """All of it that fits into a row of a table, JSON-able."""
        best, interval, counts = self.summary.best, self.interval, self.summary.counts
        schedule, test = best.schedule if best else None, self.summary.test
        params = [*schedule.params.items(), *best.params.items()] if schedule and best else []
        row = {
            "study": self.name,
            "folder": str(self.summary.folder),
            "trial": best.number if best else None,
            "scheduler": schedule.scheduler if schedule else None,
            "lr": schedule.lr if schedule else None,
            "decay": schedule.decay if schedule else None,
            "warmup": schedule.warmup if schedule else None,
            "parameters": " ".join(f"{name}={value}" for name, value in params),
            "metric": self.metric.name,
            "direction": "maximize" if self.metric.maximize else "minimize",
            "unit": self.unit,
            "confirmed": interval is not None,
            "value": self.value,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "seeds": interval.count if interval else 0,
            "test_mse": test.mse if test else None,
            "trials": counts.endings.ended,
            "trials_asked": counts.asked,
            "epochs": self.summary.epochs,
            "epochs_trained": self.summary.epochs_trained,
            "worker_secs": self.summary.worker_secs,
        }
        return {name: finite(value) for name, value in row.items()}


def finite(value: Any) -> Any:
    """A value; None of a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
