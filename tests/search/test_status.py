"""How long a sweep is expected to take: nothing is said before there is something to tell from."""

from __future__ import annotations

import pytest

from sweep.search.status import secs_for_epochs, secs_for_trials


@pytest.mark.parametrize(
    ("ended", "running", "left", "expected"),
    [
        (0, 2, 250, None),
        (1, 2, 249, None),
        (4, 2, 246, None),
        (5, 2, 245, 490.0),
        (31, 32, 219, None),  # as many more are nearly done
        (32, 32, 218, 68.125),
        (1, 1, 2, None),
        (2, 1, 1, 5.0),
        (2, 0, 0, 0.0),
        (0, 0, 0, None),
    ],
)
def test_an_estimate_needs_as_many_trials_as_are_in_training(
    ended: int, running: int, left: int, expected: float | None
) -> None:
    assert secs_for_trials(10.0, ended, running, left) == expected


@pytest.mark.parametrize(
    ("epochs", "left", "expected"),
    [(0, 1000.0, None), (29, 971.0, None), (30, 970.0, 970 / 3), (100, 0.0, 0.0), (0, 0.0, None)],
)
def test_an_estimate_of_a_budget_needs_a_share_of_it(
    epochs: int, left: float, expected: float | None
) -> None:
    assert secs_for_epochs(10.0, epochs, left) == pytest.approx(expected)
