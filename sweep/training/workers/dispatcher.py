"""Hand trials to workers and hear what becomes of them; knows nothing of Optuna or files."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sweep.base.errors import TrainingError
from sweep.training.contract import EpochResult, TrialError, TrialSpec
from sweep.training.workers.messages import Answer, Died, Orders, Save
from sweep.training.workers.pool import WorkerPool
from sweep.training.workers.time_limit import TimeLimit

_WAIT_SECS = 0.2
_TRIES = 2
"""How often a trial is started before a worker's death counts as its failure."""


@dataclass(frozen=True)
class Verdict:
    """What follows from an epoch.

    Args:
        over: Whether the trial has ended with it.
        save: Its weights, to be written before it leaves its worker.
    """

    over: bool = False
    save: Save | None = None


class Source(Protocol):
    """Where trials come from, and who decides what becomes of them.

    Attributes:
        kind: What one of them is called in a message: `trial`.
        epochs: Of a whole one.
    """

    kind: str
    epochs: int

    def next(self) -> TrialSpec | None:
        """The next trial to train, if there is one now."""

    def prepare(self) -> bool:
        """Do a little work ahead, while workers train; whether there was any to do."""

    def most_lanes(self, workers: int) -> int:
        """How many trials one of so many workers should have at most."""

    def epochs_left(self) -> int:
        """Epochs of single trials that are still to come if none ends early."""

    def epochs_to_decision(self, number: int, epoch: int) -> int:
        """After how many more epochs a trial that has trained `epoch` of them may end."""

    def hear(self, result: EpochResult) -> Verdict:
        """Judge an epoch of a trial; its epochs come in their order, and again if it restarts."""

    def fail(self, number: int, reason: str, traceback: str = "") -> None:
        """A trial raised, or its workers died; it is trained no more."""

    def restart(self, number: int) -> None:
        """A trial's worker died; it is trained again from its first epoch."""

    def tick(self) -> None:
        """Some time has passed, at most a fifth of a second."""


@dataclass
class _Run:
    """A trial that a worker has, or that waits for another one after its worker's death."""

    spec: TrialSpec
    tries: int = 1
    epoch: int = 0


class Dispatcher:
    """Keeps a pool of workers busy with trials from a source.

    Args:
        pool: The workers.
        source: The trials.
        stop: Set from anywhere to end soon; trials in training are then left where they are.
        note: Told what a user should read about the engines, a sentence each, once.
        limit: When to be over: nothing is begun that is not expected to end before, and what is in
            training then is left where its epoch ends.
    """

    def __init__(
        self,
        pool: WorkerPool,
        source: Source,
        stop: threading.Event,
        note: Callable[[str], None],
        limit: TimeLimit | None = None,
    ) -> None:
        self._limit = limit or TimeLimit()
        self._pool = pool
        self._source = source
        self._stop = stop
        self._note = note
        self._notes: set[str] = set()
        self._running: dict[int, dict[int, _Run]] = {index: {} for index in range(len(pool))}
        self._again: deque[_Run] = deque()
        self._deaths = 0
        self._has_trained = False

    def run(self) -> None:
        """Train until the source has nothing more and nothing is in training, or the time is up.

        Raises:
            TrainingError: Workers die again and again before they train anything.
        """
        self._pool.start()
        while not self._stop.is_set():
            ready = bool(self._pool.lanes)  # a model that cannot be trained begins no trial
            prepared = ready and not self._limit.is_over and self._source.prepare()
            for index, message in self._pool.wait(0 if prepared else _WAIT_SECS):
                if self._stop.is_set():  # a signal to the whole group ends the workers too
                    return
                if isinstance(message, Died):
                    self._bury(index, message)
                else:
                    self._give(index, self._hear(index, message))
            for index in sorted(self._pool.idle):
                self._give(index, Orders())
            self._source.tick()
            # Once the time is up, a worker that has not started yet is not waited for.
            expected = self._pool.lanes if self._limit.is_over else self._running
            if self._pool.idle.issuperset(expected):
                return

    def _hear(self, index: int, answer: Answer) -> Orders:
        """Pass a worker's results on; what it is to do about them."""
        for note in answer.notes:
            if note not in self._notes:
                self._notes.add(note)
                self._note(note)
        self._has_trained |= bool(answer.results)
        self._limit.heard([one for one in answer.results if isinstance(one, EpochResult)])
        orders = Orders()
        for result in answer.results:
            run = self._running[index].get(result.number)
            if run is None:  # it was over some epochs ago
                continue
            if isinstance(result, TrialError):
                where = f"epoch {result.epoch}" if result.epoch else "start"
                del self._running[index][result.number]
                self._source.fail(result.number, f"{where}: {result.error}", result.traceback)
                continue
            run.epoch = result.epoch
            verdict = self._source.hear(result)
            if verdict.save:
                orders.save.append(verdict.save)
            if verdict.over:
                del self._running[index][result.number]
                orders.remove.append(result.number)
        return orders

    def _give(self, index: int, orders: Orders) -> None:
        """Add new trials to a worker's orders; leave a worker without any in peace."""
        running = self._running[index]
        if self._limit.is_over:
            if orders.given:  # weights to be written
                orders.epochs = 0
                self._pool.send(index, orders)
            return
        room = min(self._pool.lanes.get(index, 1), self._source.most_lanes(len(self._pool)))
        while len(running) < room and not _has_suspect(running):
            run = self._next(alone=not running)
            if run is None:
                break
            running[run.spec.number] = run
            orders.add.append(run.spec)
        if not (orders.given or running):
            return
        orders.expect = self._source.epochs_left() // len(self._pool)
        to_decision = self._source.epochs_to_decision
        orders.epochs = min((to_decision(n, run.epoch) for n, run in running.items()), default=1)
        self._pool.send(index, orders)

    def _next(self, alone: bool) -> _Run | None:
        """The next trial, if there is time; one whose worker died only where it will be alone."""
        if not self._limit.allows(self._source.epochs):
            return None
        if self._again and alone:
            return self._again.popleft()
        spec = self._source.next()
        return None if spec is None else _Run(spec)

    def _bury(self, index: int, died: Died) -> None:
        """Retry a dead worker's trials once; after that they have failed.

        Any of its lanes may have killed it, so each is retried with no other beside it.
        """
        self._deaths += 1
        if not self._has_trained and self._deaths > 3 * len(self._pool):
            raise TrainingError(f"workers keep dying: {died.reason}")
        lost, self._running[index] = self._running[index], {}
        for number, run in lost.items():
            if run.tries >= _TRIES:
                self._source.fail(number, f"its worker was {died.reason}, {run.tries} times")
                continue
            kind = self._source.kind
            self._note(f"the worker of {kind} {number} was {died.reason}; the {kind} is retried")
            self._source.restart(number)
            self._again.append(_Run(run.spec, run.tries + 1))
        self._pool.replace(index)


def _has_suspect(running: dict[int, _Run]) -> bool:
    """Whether a worker has a trial that may kill it."""
    return any(run.tries > 1 for run in running.values())
