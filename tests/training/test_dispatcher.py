"""What a dispatcher does about workers that die; the pool is a stand-in that dies to order."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace

import pytest
from fake_pool import Pool, Source

from sweep.base.errors import TrainingError
from sweep.training.contract import EpochResult, TrialSpec
from sweep.training.workers.dispatcher import Dispatcher, Verdict
from sweep.training.workers.messages import Answer, Died, Orders


def dispatch(pool: Pool, source: Source) -> list[str]:
    notes: list[str] = []
    Dispatcher(pool, source, threading.Event(), notes.append).run()  # type: ignore[arg-type]
    return notes


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("deadly", [[3], [1, 2], [8, 9]])
def test_a_deadly_trial_takes_none_of_its_neighbours_along(workers: int, deadly: list[int]) -> None:
    pool, source = Pool(workers, lanes=8, deadly=deadly), Source(20)
    notes = dispatch(pool, source)
    assert set(source.failed) == set(deadly)
    assert set(source.failed.values()) == {"its worker was killed by SIGSEGV, 2 times"}
    whole = {n: course for n, course in source.courses.items() if n not in deadly}
    assert len(whole) == 20 - len(deadly)
    assert all(course == [1, 2, 3] for course in whole.values())
    assert pool.beside.count(set()) == len(deadly)  # each died alone in the end
    assert f"the worker of trial {deadly[0]} was killed by SIGSEGV; the trial is retried" in notes


def test_workers_that_never_train_anything_end_the_sweep() -> None:
    pool, source = Pool(2, lanes=4, deadly=range(100), at_once=True), Source(50)
    with pytest.raises(TrainingError, match="workers keep dying: killed by SIGSEGV"):
        dispatch(pool, source)


def test_many_deadly_trials_fail_one_by_one() -> None:
    pool, source = Pool(1, lanes=1, deadly=range(3, 20)), Source(20)
    dispatch(pool, source)
    assert set(source.failed) == set(range(3, 20))
    assert [len(source.courses[n]) for n in (1, 2, 20)] == [3, 3, 3]


class Unsteady(Pool):
    """Workers of which some, each time others, take longer to answer."""

    deterministic = True

    def __init__(self, pace: int) -> None:
        super().__init__(3, lanes=2, deadly=[7])
        self._pace = random.Random(pace)
        self._said += [(index, Answer(2, [], [])) for index in self.idle]
        self.idle.clear()

    def wait(self, timeout: float) -> list[tuple[int, Answer | Died]]:
        later = []
        while self._said and self._pace.random() < 0.7:
            later.append(self._said.pop(self._pace.randrange(len(self._said))))
        said = super().wait(timeout)
        self._said = later
        return said


@dataclass
class Told(Source):
    """Remembers what it is told and asked, in order."""

    story: list[tuple[str, int]] = field(default_factory=list)

    def next(self, wanted: int = 1) -> TrialSpec | None:
        spec = super().next(wanted)
        self.story.append(("next", spec.number if spec else 0))
        return spec

    def prepare(self, wanted: int) -> bool:
        raise AssertionError("when that is asked depends on timing")

    def hear(self, result: EpochResult) -> Verdict:
        self.story.append(("hear", result.number))
        early = result.number % 5 == 2 and result.epoch == 2
        return Verdict(over=super().hear(result).over or early)

    def restart(self, number: int) -> None:
        self.story.append(("restart", number))
        super().restart(number)

    def fail(self, number: int, reason: str, traceback: str = "") -> None:
        self.story.append(("fail", number))
        super().fail(number, reason, traceback)


def test_deterministic_workers_are_heard_in_rounds() -> None:
    stories = []
    for pace in range(20):
        source = Told(20)
        dispatch(Unsteady(pace), source)
        assert set(source.failed) == {7}
        stories.append(source.story)
    assert all(story == stories[0] for story in stories)
    heard = [number for what, number in stories[0] if what == "hear"]
    assert heard[:6] == [1, 2, 3, 4, 5, 6]


def test_a_worker_trains_what_it_has_while_the_rest_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock on which every look takes most of the time that a worker waits for trials."""
    looks = count()
    clock = SimpleNamespace(monotonic=lambda: 0.07 * next(looks))
    monkeypatch.setattr("sweep.training.workers.dispatcher.time", clock)
    added: list[int] = []

    class Watched(Pool):
        def send(self, index: int, orders: Orders) -> None:
            added.append(len(orders.add))
            super().send(index, orders)

    source = Source(6)
    dispatch(Watched(1, 4, []), source)
    assert source.courses == {number: [1, 2, 3] for number in range(1, 7)}
    assert added[:2] == [2, 1]  # not four before anything is trained
