"""A schedule that was trained again on fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sweep.base.languages.sentences import _
from sweep.base.wording import counted
from sweep.confirm.intervals import Interval, mean_interval, vary
from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric
from sweep.study.space import Suggestion, Value, described


@dataclass(frozen=True)
class Candidate:
    """A schedule that was trained again.

    Args:
        trial: The trial of the search that it comes from.
        schedule: The schedule.
        params: The parameters of the user's own beside it.
        values: What it came to from each seed, in the order of the seeds; `Metric.worst` where
            it diverged or raised. One that dropped out has fewer than the others.
        baseline: What the user calls it, if it is a schedule to compare with; else empty.
        other_values: The same runs by the question that does not decide (see `Confirmation`);
            None where it was not written down, and empty where it was of none.
    """

    trial: int
    schedule: Schedule
    values: tuple[float, ...]
    params: Mapping[str, Value] = field(default_factory=dict, hash=False)
    baseline: str = ""
    other_values: tuple[float | None, ...] = ()

    @property
    def description(self) -> str:
        """What was trained, in one line."""
        return described(self.schedule, self.params)

    @property
    def mark(self) -> str:
        """What stands behind its scheduler in tables, if it is a schedule to compare with."""
        return _(" (baseline)") if self.baseline else ""

    @cached_property
    def interval(self) -> Interval:
        """The mean over its seeds."""
        return mean_interval(self.values)

    @cached_property
    def other_interval(self) -> Interval | None:
        """That of `other_values`; None where not all of them are known."""
        known = [value for value in self.other_values if value is not None]
        return mean_interval(known) if len(known) == len(self.values) else None

    @property
    def repeats(self) -> bool:
        """Whether it came to one and the same value from each of several seeds."""
        several = len(self.values) > 1 and math.isfinite(self.interval.mean)
        return several and not vary(self.values)


def named_in_short(candidates: Sequence[Candidate]) -> str:
    """The first of some candidates, and how many others there are."""
    leader, others = candidates[0], len(candidates) - 1
    first = _(
        "trial {trial} ({scheduler})", trial=leader.trial, scheduler=leader.schedule.scheduler
    )
    return (
        _("{first} and {others}", first=first, others=counted(others, "other")) if others else first
    )


def ranked(
    suggestions: Mapping[int, Suggestion],
    values: Mapping[int, Sequence[float]],
    metric: Metric,
    baselines: Mapping[int, str] | None = None,
    others: Mapping[int, Sequence[float | None]] | None = None,
) -> tuple[Candidate, ...]:
    """Candidates by the seeds that they got, then by their mean; those without a seed left out.

    Of equal means, the earlier trial's is first. Those of `baselines` have their names from there,
    and `other_values` come from `others`.
    """
    names, others = baselines or {}, others or {}
    candidates = [
        Candidate(
            number,
            each.schedule,
            tuple(values[number]),
            each.params,
            names.get(number, ""),
            tuple(others.get(number, ())),
        )
        for number, each in suggestions.items()
        if values[number]
    ]

    def standing(candidate: Candidate) -> tuple[bool, int, tuple[float, int]]:
        mean, count = candidate.interval.mean, len(candidate.values)
        return not math.isfinite(mean), -count, metric.rank(mean, candidate.trial)

    return tuple(sorted(candidates, key=standing))
