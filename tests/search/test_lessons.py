"""What a draw learns from in a study of many trials."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sweep.search.strategies.lessons import Lessons, Others

FAMILIES = 3


def lessons_of(values: NDArray[np.float64]) -> Lessons:
    """Trials that have ended with these values; each one's coordinate is its value."""
    lessons = Lessons(1, FAMILIES)
    for count in range(1, len(values) + 1):
        for number in lessons.open_ones(count):
            value = values[number]
            rank = (0.0, value)
            lessons.learn(number, (True, number % FAMILIES, True, True, True, rank, [value]))
    return lessons


def values_of(others: Others) -> list[float]:
    return [float(value) for value in others.rows[others.best_first, 0]]


def test_of_few_trials_all_teach_but_the_one_that_is_drawn() -> None:
    values = np.random.default_rng(0).random(500)
    others = lessons_of(values).beside(7)
    assert values_of(others) == sorted(np.delete(values, 7))


@pytest.mark.parametrize("count", [2100, 5000, 9999])
def test_of_many_trials_a_bounded_number_teaches(count: int) -> None:
    values = np.random.default_rng(count).random(count)
    lessons = lessons_of(values)
    others = lessons.beside(count - 1)
    assert len(others.rows) < 2600
    assert others.started.sum() == count - 1
    seen, best = values_of(others), np.sort(values[:-1])
    assert seen[:200] == list(best[:200])
    assert set(values[count - 1000 : count - 1]) <= set(seen)
    worst = np.quantile(values, 0.99)
    assert max(seen) > worst  # the poor ones are represented as well


def test_the_best_of_each_scheduler_are_among_them() -> None:
    values = np.random.default_rng(1).random(6000)
    values[2::FAMILIES] += 10  # the third one's are all worse than those of the others
    others = lessons_of(values).beside(5999)
    own = others.rows[others.families == 2, 0]
    assert np.isin(np.sort(values[2:5999:FAMILIES])[:20], own).all()


def test_a_trial_that_another_stands_for_teaches_nothing() -> None:
    values = np.random.default_rng(2).random(4000)
    lessons = lessons_of(values)
    lessons.beside(3999)
    best = int(np.argmin(values[:2000]))
    lessons.leave_out(best)
    others = lessons.beside(3999)
    assert values[best] not in others.rows[:, 0]
    assert others.started.sum() == 3998
