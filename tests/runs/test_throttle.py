"""What is done as trials end, and how often."""

from __future__ import annotations

import time

import pytest

from sweep.runs.throttle import Throttle


@pytest.mark.parametrize("secs", [0.001, 0.5, 30.0])
def test_it_takes_a_small_part_of_the_time_whatever_it_takes_once(
    monkeypatch: pytest.MonkeyPatch, secs: float
) -> None:
    now = spent = 0.0
    times = 0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def act() -> None:
        nonlocal now, spent, times
        now += secs
        spent += secs
        times += 1

    throttle = Throttle(act)
    while now < 20_000:
        now += 0.1  # a trial
        throttle.trial_finished()
    assert times > 5 and spent < 0.025 * now
    assert times < 20_000


def test_nothing_is_done_in_the_first_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, done = 100.0, list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    throttle = Throttle(lambda: done.append(now))
    for _ in range(19):
        now += 0.1
        throttle.trial_finished()
    assert not done
    now += 0.5
    throttle.trial_finished()
    assert done == [now]
