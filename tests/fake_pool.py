"""A pool of workers that die to order, and trials for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.schedules.schedule import Schedule
from sweep.training.contract import EpochResult, OptimizerSettings, TrialSpec
from sweep.training.workers.dispatcher import Verdict
from sweep.training.workers.messages import Answer, Died, Orders

EPOCHS = 3


class Pool:
    """Workers that die of some trials' second epoch, and of others at once."""

    deterministic = False
    prepares = True
    can_interrupt = False

    def __init__(
        self, count: int, lanes: int, deadly: Sequence[int], at_once: bool = False
    ) -> None:
        self.lanes = dict.fromkeys(range(count), lanes)
        self.idle = set(range(count))
        self.deadly = set(deadly)
        self.at_once = at_once
        self.beside: list[set[int]] = []
        self._trials: dict[int, dict[int, int]] = {index: {} for index in range(count)}
        self._said: list[tuple[int, Answer | Died]] = []

    def __len__(self) -> int:
        return len(self.lanes)

    @property
    def awaited(self) -> set[int]:
        return set(self.lanes)

    def start(self) -> None:
        """They need none."""

    def send(self, index: int, orders: Orders) -> None:
        self.idle.discard(index)
        trials = self._trials[index]
        for number in orders.remove:
            del trials[number]
        trials |= {spec.number: 0 for spec in orders.add}
        results: list[Any] = []
        for number in trials:
            trials[number] += 1
            if number in self.deadly and (self.at_once or trials[number] == 2):
                self.beside.append(set(trials) - {number})
                self._said.append((index, Died("killed by SIGSEGV")))
                return
            results.append(EpochResult(number, trials[number], 1, 1, 1, 0.1, 0.1, 1, 0))
        self._said.append((index, Answer(self.lanes[index], results, [])))

    def wait(self, timeout: float) -> list[tuple[int, Answer | Died]]:
        said, self._said = self._said, []
        self.idle |= {index for index, message in said if isinstance(message, Answer)}
        return said

    def replace(self, index: int) -> None:
        self._trials[index] = {}
        self._said.append((index, Answer(self.lanes[index], [], [])))


@dataclass
class Source:
    """A number of trials that run to their end."""

    trials: int
    kind: str = "trial"
    epochs: int = EPOCHS
    asked: int = 0
    courses: dict[int, list[int]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def next(self, wanted: int = 1) -> TrialSpec | None:
        if self.asked == self.trials:
            return None
        self.asked += 1
        self.courses[self.asked] = []
        return TrialSpec(self.asked, 0, Schedule("constant", 0.1), OptimizerSettings())

    def prepare(self, wanted: int) -> bool:
        return False

    def most_lanes(self, workers: int) -> int:
        return 100

    def epochs_left(self) -> int:
        return 1

    def epochs_to_decision(self, number: int, epoch: int) -> int:
        return 1

    def hear(self, result: EpochResult) -> Verdict:
        self.courses[result.number].append(result.epoch)
        return Verdict(over=result.epoch == EPOCHS)

    def fail(self, number: int, reason: str, traceback: str = "") -> None:
        self.failed[number] = reason

    def restart(self, number: int) -> None:
        self.courses[number].clear()

    def tick(self) -> None:
        """Nothing."""
