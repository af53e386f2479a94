"""Hand trials to workers and hear what becomes of them; knows nothing of Optuna or files."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sweep.base.errors import TrainingError
from sweep.training.contract import EpochResult, TrialEnd, TrialError, TrialNews, TrialSpec
from sweep.training.workers.messages import Answer, Died, Orders, Save
from sweep.training.workers.pool import Pool
from sweep.training.workers.time_limit import TimeLimit

_WAIT_SECS = 0.2
_ASK_SECS = 0.1
"""That a worker waits for trials while it has some: asking for hundreds takes longer."""

_TRIES = 2
"""How often a trial is started before a worker's death counts as its failure."""
_LOSSES = 5
"""How many machines a trial may have been lost with before it is taken for what ends them."""


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

    def next(self, wanted: int = 1) -> TrialSpec | None:
        """The next trial to train, if there is one now.

        Args:
            wanted: Trials that workers have room for at this moment, this one among them.
        """

    def prepare(self, wanted: int) -> bool:
        """Do a little work ahead, while workers train; whether there was any to do.

        Args:
            wanted: Trials that workers have room for, or will soon.
        """

    def most_lanes(self, workers: int) -> int:
        """How many trials one of so many workers should have at most."""

    def epochs_left(self) -> int:
        """Epochs of single trials that are still to come if none ends early."""

    def epochs_to_decision(self, number: int, epoch: int) -> int:
        """After how many more epochs a trial that has trained `epoch` of them may end."""

    def hear(self, result: EpochResult) -> Verdict:
        """Judge an epoch of a trial; its epochs come in their order, and again if it restarts."""

    def end(self, end: TrialEnd) -> None:
        """A trial has ended of itself, before its last epoch."""

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
    losses: int = 0
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
        pool: Pool,
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
        self._heard: list[tuple[int, Answer | Died]] = []
        self._running: defaultdict[int, dict[int, _Run]] = defaultdict(dict)
        self._again: deque[_Run] = deque()
        self._deaths = 0
        self._has_trained = False

    def run(self) -> None:
        """Train until the source has nothing more and nothing is in training, or the time is up.

        Raises:
            TrainingError: Workers die again and again before they train anything.
        """
        self._pool.start()
        in_rounds = self._pool.deterministic
        while not self._stop.is_set():
            ready = bool(self._pool.lanes)  # a model that cannot be trained begins no trial
            ahead = ready and not in_rounds and not self._limit.is_over
            prepared = ahead and self._source.prepare(len(self._pool) + self._room_in_training())
            self._listen(0 if prepared else _WAIT_SECS)
            if self._stop.is_set():
                return
            # Once the time is up, a worker that has not started yet is not waited for.
            expected = self._pool.lanes if self._limit.is_over else self._pool.awaited
            if not in_rounds or self._pool.idle.issuperset(expected):
                self._answer()
            self._source.tick()
            if self._limit.is_over and self._pool.can_interrupt:
                return
            if self._pool.idle.issuperset(expected):
                return

    def _listen(self, timeout: float) -> None:
        """Take in what workers say; one that has died is replaced."""
        for index, message in self._pool.wait(timeout):
            if self._stop.is_set():  # a signal to the whole group ends the workers too
                return
            self._heard.append((index, message))
            if isinstance(message, Died):
                self._count(message)
                self._pool.replace(index)

    def _count(self, died: Died) -> None:
        self._deaths += not (died.compiling or died.lost)
        if not self._has_trained and self._deaths > 3 * len(self._pool):
            raise TrainingError(f"workers keep dying: {died.reason}")

    def _answer(self) -> None:
        """Judge what has been heard, and give those that wait their orders.

        Where workers are deterministic, all of them have answered, and what they say is judged in
        the order of trials.
        """
        heard, self._heard = self._heard, []
        results: list[tuple[int, TrialNews]] = []
        for index, message in heard:
            if isinstance(message, Died):
                self._bury(index, message)
                continue
            for note in message.notes:
                self._note_once(note)
            self._has_trained |= bool(message.results)
            self._limit.heard([one for one in message.results if isinstance(one, EpochResult)])
            results += [(index, result) for result in message.results]
        if self._pool.deterministic:
            results.sort(key=lambda each: each[1].number)
        orders = {index: Orders() for index in sorted(self._pool.idle)}
        for index, result in results:
            self._judge(index, result, orders)
        wanted = sum(max(0, self._room(each) - len(self._running[each])) for each in orders)
        for index, given in orders.items():
            wanted -= self._give(index, given, wanted)

    def _judge(self, index: int, result: TrialNews, orders: dict[int, Orders]) -> None:
        """Pass a worker's result on; what follows from it is added to the orders."""
        run = self._running[index].get(result.number)
        if run is None:  # it was over some epochs ago
            return
        if isinstance(result, TrialError):
            where = f"epoch {result.epoch}" if result.epoch else "start"
            del self._running[index][result.number]
            self._source.fail(result.number, f"{where}: {result.error}", result.traceback)
            return
        if isinstance(result, TrialEnd):
            del self._running[index][result.number]
            self._source.end(result)
            return
        run.epoch = result.epoch
        verdict = self._source.hear(result)
        if verdict.save:
            for other in orders.values():  # two workers must not write one file
                other.save = [save for save in other.save if save.path != verdict.save.path]
            orders[index].save.append(verdict.save)
        if verdict.over:
            del self._running[index][result.number]
            orders[index].remove.append(result.number)

    def _note_once(self, note: str) -> None:
        if note not in self._notes:
            self._notes.add(note)
            self._note(note)

    def _give(self, index: int, orders: Orders, wanted: int) -> int:
        """Add new trials to a worker's orders; leave a worker without any in peace.

        Returns:
            How many were added, of those that are wanted by all.
        """
        running = self._running[index]
        if self._limit.is_over:
            if orders.given:  # weights to be written
                orders.epochs = 0
                self._pool.send(index, orders)
            return 0
        room, until = self._room(index), time.monotonic() + _ASK_SECS
        while len(running) < room and not _has_suspect(running):
            if running and not self._pool.deterministic and time.monotonic() > until:
                break  # it trains what it has; the others are asked for meanwhile
            run = self._next(alone=not running, wanted=max(1, wanted - len(orders.add)))
            if run is None:
                break
            running[run.spec.number] = run
            orders.add.append(run.spec)
        if not (orders.given or running):
            return 0
        if self._pool.prepares:
            orders.expect = self._source.epochs_left() // len(self._pool)
        if not self._pool.deterministic:
            to_decision = self._source.epochs_to_decision
            orders.epochs = min(
                (to_decision(n, run.epoch) for n, run in running.items()), default=1
            )
        self._pool.send(index, orders)
        return len(orders.add)

    def _room(self, index: int) -> int:
        """How many trials a worker is to have at once."""
        return min(self._pool.lanes.get(index, 1), self._source.most_lanes(len(self._pool)))

    def _room_in_training(self) -> int:
        """How many more trials those workers that train now have room for."""
        training = {index: runs for index, runs in self._running.items() if runs}
        busy = training.keys() - self._pool.idle
        return sum(max(0, self._room(index) - len(training[index])) for index in busy)

    def _next(self, alone: bool, wanted: int) -> _Run | None:
        """The next trial, if there is time; one that may kill its worker only where it is alone."""
        if not self._limit.allows(self._source.epochs):
            return None
        if self._again and (alone or self._again[0].tries == 1):
            return self._again.popleft()
        spec = self._source.next(wanted)
        return None if spec is None else _Run(spec)

    def _bury(self, index: int, died: Died) -> None:
        """Retry a dead worker's trials once; after that they have failed.

        Any of its lanes may have killed it, so each is retried with no other beside it. What was
        in training when a compiler hung is beyond suspicion, and so is what was lost with a
        machine, unless that happens to it again and again.
        """
        lost, self._running[index] = self._running[index], {}
        if died.compiling:
            self._note_once(died.reason)
        kind = self._source.kind
        for number, run in lost.items():
            again = _Run(
                run.spec,
                tries=run.tries + (not (died.compiling or died.lost)),
                losses=run.losses + died.lost,
            )
            if again.tries > _TRIES or again.losses >= _LOSSES:
                times = again.losses if died.lost else run.tries
                self._source.fail(number, f"its worker was {died.reason}, {times} times")
                continue
            if not died.compiling:
                self._note(
                    f"the worker of {kind} {number} was {died.reason}; the {kind} is retried"
                )
            self._source.restart(number)
            self._again.append(again)


def _has_suspect(running: dict[int, _Run]) -> bool:
    """Whether a worker has a trial that may kill it."""
    return any(run.tries > 1 for run in running.values())
