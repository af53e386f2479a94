"""A run's time limit: what is begun, and what is cut; by a clock that stands still."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from fake_pool import Pool, Source
from optuna.trial import TrialState
from support import no_page

from sweep.base.errors import TrainingError
from sweep.runs.before.speed import Forecast
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.search.storage.opening import load_study as load_trials
from sweep.study.file import load_study
from sweep.study.locations import Location
from sweep.training.contract import EpochResult
from sweep.training.workers.dispatcher import Dispatcher
from sweep.training.workers.messages import Answer, Orders
from sweep.training.workers.time_limit import TimeLimit


class Clock:
    """It goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def epochs(seconds: float, *numbers: int) -> list[EpochResult]:
    return [EpochResult(number, 1, 1, 1, 1, 0.1, 0.1, 1, seconds) for number in numbers]


def test_without_a_limit_everything_is_allowed() -> None:
    limit = TimeLimit()
    limit.heard(epochs(1e9, 1))
    assert limit.allows(10**9) and not limit.is_over and not limit.is_set
    assert limit.trainings_left(10, 2) is None


def test_a_training_is_expected_to_take_what_others_took() -> None:
    clock = Clock()
    limit = TimeLimit(100.0, clock)
    assert limit.allows(1000)  # nothing is known yet
    limit.heard(epochs(2.0, 1, 2, 3))  # three side by side, 2 s of the worker's time for each
    assert limit.training_secs(10) == 60
    assert limit.trainings_left(10, workers=2) == 2 * 5
    clock.now = 40.0
    assert limit.allows(10)
    clock.now = 41.0
    assert not limit.allows(10)
    clock.now = 100.0
    assert limit.is_over and not limit.allows(0) and limit.trainings_left(1, 1) == 0


def test_a_first_epoch_that_compiles_is_not_what_the_others_take() -> None:
    limit = TimeLimit(100.0, Clock())
    for seconds in (30.0, 1.0, 1.0):
        limit.heard(epochs(seconds, 1))
    assert limit.training_secs(10) == 10


def test_before_anything_is_trained_an_earlier_runs_speed_counts() -> None:
    limit = TimeLimit(100.0, Clock())
    assert limit.trainings_left(10, 1) is None
    assert limit.trainings_left(10, 1, usual_secs=4.0) == 2


class SlowPool(Pool):
    """Its clock goes on by ten seconds with each epoch."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(1, lanes=1, deadly=[])
        self._clock = clock

    def send(self, index: int, orders: Orders) -> None:
        super().send(index, orders)
        _, answer = self._said.pop()
        assert isinstance(answer, Answer)
        trained = [one for one in answer.results if isinstance(one, EpochResult)]
        self._clock.now += 10 if trained else 0
        slow = [replace(one, seconds=10.0) for one in trained]
        self._said.append((index, replace(answer, results=list(slow))))


@pytest.mark.parametrize(
    ("secs", "courses", "ended"),
    [
        (75, [[1, 2, 3], [1, 2, 3]], 60),  # a third one would end at 90
        (90, [[1, 2, 3]] * 3, 90),
        (15, [[1, 2]], 20),  # an epoch later than it should, at most
    ],
)
def test_nothing_is_begun_that_would_not_end_in_time(
    secs: int, courses: list[list[int]], ended: int
) -> None:
    clock, source = Clock(), Source(100)
    limit = TimeLimit(secs, clock)
    Dispatcher(SlowPool(clock), source, threading.Event(), print, limit).run()  # type: ignore[arg-type]
    assert list(source.courses.values()) == courses
    assert clock.now == ended


LOOP = """
import time
from pathlib import Path
import torch

def train(schedule, epochs, seed):
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=1)
    for epoch in range(epochs):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()
        scheduler.step()
        if (Path(__file__).parent / "slow").exists():
            time.sleep(0.2)
        yield float(weight.detach() ** 2)
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_is_in_training_then_is_trained_again_later(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LOOP)
    (tmp_path / "slow").touch()
    settings = {
        "loop": f"{tmp_path}/train.py:train",
        "epochs": 2000,  # 400 s
        "trials": 2,
        "workers": 1,
        "pruner.name": "none",
        "space.scheduler": ["constant"],
        "space.lr": "0.01:0.3:log",
        "confirm": False,
    }
    location = Location("slow", None, tmp_path / "out")
    started = monotonic()
    with pytest.raises(TrainingError, match=r"no trial has ended.*: give a longer --timeout"):
        with no_page():
            run_sweep(location, load_study(None, {**settings, "timeout": 10}), Listener())
    assert monotonic() - started < 100
    (tmp_path / "slow").unlink()
    trials = load_trials("slow", str(location.folder / "study.journal")).trials
    assert {trial.state for trial in trials} == {TrialState.WAITING}
    with no_page():
        study = run_sweep(location, load_study(None, settings), Listener())
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    for before, after in zip(trials, study.trials, strict=False):
        assert after.params == before.params


@pytest.mark.parametrize(
    ("timeout", "said", "total"),
    [
        (None, "", 130),
        (200.0, "the timeout leaves enough for all of it", 130),
        (60.0, "the timeout ends it before: all of it takes about 2 min 10 s, and", 60),
        (10.5, "the timeout is too short for a single trial", 10.5),
    ],
)
def test_a_forecast_knows_the_timeout(timeout: float | None, said: str, total: float) -> None:
    ahead = Forecast(100, 10, 200.0, 0.5, 100.0, 20.0, 10.0, timeout)
    assert ahead.time_limit.startswith(said) and bool(ahead.time_limit) == bool(said)
    assert ahead.total_secs == total
