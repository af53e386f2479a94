"""When failures are enough to end a sweep."""

from __future__ import annotations

import pytest

from sweep.base.errors import TrainingError
from sweep.search.failures import MOST_ALIKE, Failures

REASON = "epoch 3: RuntimeError: out of cheese"


def fail(failures: Failures, times: int, completed: int = 0, scheduler: str = "") -> list[bool]:
    names = [scheduler or f"s{i % 2}" for i in range(times)]
    return [failures.count(REASON, name, 2, completed) for name in names]


def test_the_last_of_several_ends_the_sweep() -> None:
    failures = Failures(schedulers=2)
    failures.trained(2)
    assert fail(failures, MOST_ALIKE - 1) == [True, False, False, False]
    with pytest.raises(TrainingError, match=f"{MOST_ALIKE} trials failed in the same way"):
        fail(failures, 1)


def test_of_the_only_scheduler() -> None:
    with pytest.raises(TrainingError):
        fail(Failures(schedulers=1), MOST_ALIKE, scheduler="cosine")


def test_one_scheduler_of_several_does_not() -> None:
    fail(Failures(schedulers=2), 3 * MOST_ALIKE, scheduler="cosine")


def test_a_trial_that_came_further_says_that_it_depends_on_the_schedule() -> None:
    failures = Failures(schedulers=2)
    failures.trained(3)
    fail(failures, 3 * MOST_ALIKE)


def test_a_trial_that_completed_says_so_too() -> None:
    fail(Failures(schedulers=2), 3 * MOST_ALIKE, completed=1)


def test_other_reasons_are_counted_apart() -> None:
    failures = Failures(schedulers=1)
    for i in range(3 * MOST_ALIKE):
        failures.count(f"epoch 1: KeyError: {i}", "cosine", 0, 0)
