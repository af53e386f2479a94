"""Whether the built-in schedules of a search can be followed at both ends of their ranges.

It needs no torch, and takes less than a millisecond for each: a sweep begins with it.
"""

from __future__ import annotations

import math

from sweep.base.errors import ScheduleError
from sweep.schedules.checks import impossible_step
from sweep.schedules.schedule import Schedule
from sweep.study.space import Space

_MOST_STEPS = 10_000
"""The longest horizon over which all rates are looked at; beyond it, torch's arguments alone."""

END_NAMES = ("low end", "high end")


def ends_of(space: Space) -> list[tuple[str, str, Schedule]]:
    """Each scheduler of a search, which end, and the schedule there."""
    return [
        (name, END_NAMES[i], end.schedule)
        for name in space.schedulers
        for i, end in enumerate(space.ends(name))
    ]


def check_ends(space: Space, total_steps: int) -> None:
    """Try the built-in schedules of a search; workers try those of the user's own.

    Raises:
        ScheduleError: Some have no finite rates; all are named.
    """
    problems = []
    for name, end, schedule in ends_of(space):
        if schedule.shape is None:
            continue
        try:
            _check(schedule, total_steps)
        except (ScheduleError, ArithmeticError, ValueError) as problem:
            problems.append(described(name, end, schedule, problem))
    if problems:
        raise ScheduleError("\n".join(problems))


def described(name: str, end: str, schedule: Schedule, problem: Exception) -> str:
    """Which scheduler fails where, and why, in a sentence."""
    return f"scheduler {name!r} at the {end} of its ranges ({schedule.describe()}): {problem}"


def _check(schedule: Schedule, total_steps: int) -> None:
    for argument, value in schedule.torch_spec(total_steps)["args"].items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ScheduleError(f"torch would get {argument}={value}; give a narrower range")
    assert schedule.shape is not None
    if schedule.shape.per_epoch or total_steps > _MOST_STEPS:
        return
    rates = schedule.rates(total_steps)
    wrong = impossible_step(rates)
    if wrong is not None:
        raise ScheduleError(f"the rate at step {wrong} of {total_steps} is {rates[wrong]:g}")
