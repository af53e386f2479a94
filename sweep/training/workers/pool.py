"""What a pool of workers is for those who give it orders, wherever the workers run."""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path

from sweep.base.errors import TrainingError
from sweep.base.wording import duration
from sweep.training.workers.messages import ANSWER_SECS, Answer, Died, Orders, Prediction

_JOIN_SECS = 30.0
"""That workers of a cluster have to be ready, too, once another one is."""


class Pool(ABC):
    """Workers, addressed by an index that a replacement keeps.

    They are started when they are first spoken or listened to. A pool is a context manager that
    ends them. Those of a cluster come and go with its machines.

    Attributes:
        lanes: How many trials each worker trains best at once, by index; known once it has
            answered.
        idle: The workers that have answered and wait for orders.
        engine: What they train with, in half a sentence; known once one has answered.
        deterministic: Whether what they do must not depend on timing.
        prepares: Whether they may compile what they train with: what is compiled has other last
            digits, and when depends on timing; after a compiler that hung, none is called again.
        can_interrupt: Whether what they train may be ended in the middle of an epoch.
    """

    lanes: dict[int, int]
    idle: set[int]
    engine: str
    deterministic: bool
    prepares: bool
    can_interrupt: bool

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def __len__(self) -> int:
        """How many workers there are; 1 as long as nobody knows."""

    @property
    @abstractmethod
    def awaited(self) -> set[int]:
        """The workers without whose answers nothing is over; never empty."""

    @abstractmethod
    def start(self) -> None:
        """Start the workers, unless they have been."""

    @abstractmethod
    def send(self, index: int, orders: Orders) -> None:
        """Give a worker its orders; if it is dead, `wait` will say so."""

    @abstractmethod
    def wait(self, timeout: float) -> list[tuple[int, Answer | Died]]:
        """What workers have to say within `timeout` seconds; empty if nothing.

        Raises:
            SweepError: A worker cannot build its engine; the text says why.
        """

    @abstractmethod
    def replace(self, index: int) -> None:
        """Have a fresh worker in a dead one's place, as soon as there is room for it."""

    @abstractmethod
    def close(self) -> None:
        """End all workers, whatever they are at, and what they have started."""

    def await_all(self) -> list[str]:
        """Wait until all workers are ready; what their engines say.

        Those of a cluster that it may have no room for are not waited for once others have been
        ready for a while.

        Raises:
            SweepError: A worker cannot build its engine, or it dies.
        """
        notes: list[str] = []
        until = math.inf
        while len(self.idle) < len(self):
            for _, message in self.wait(ANSWER_SECS):
                if isinstance(message, Died):
                    raise TrainingError(f"a worker was {message.reason} while it started")
                notes += message.notes
            if self.idle.issuperset(self.awaited):
                until = min(until, time.monotonic() + _JOIN_SECS)
            if time.monotonic() > until:
                notes.append(
                    f"{len(self.idle)} of {len(self)} workers were ready within "
                    f"{duration(_JOIN_SECS)} of each other: the cluster has no room for the rest "
                    "now, or they are slower to start"
                )
                break
        return notes

    def predict(self, path: Path, stop: threading.Event) -> Prediction | None:
        """What a saved model says of the test rows; None if it cannot be used, or after `stop`.

        Call it while no trial is in training.

        Raises:
            TrainingError: Workers die of it.
        """
        asked, deaths = None, 0
        while not stop.is_set():
            if asked is None and self.idle:
                asked = min(self.idle)
                self.send(asked, Orders(predict=path, epochs=0))
            for index, message in self.wait(ANSWER_SECS):
                if isinstance(message, Answer):
                    if index == asked:
                        return message.prediction
                    continue
                deaths += not message.lost
                if deaths > 2 * len(self):
                    raise TrainingError(f"{path}: workers die of predicting: {message.reason}")
                self.replace(index)
                asked = None if index == asked else asked
        return None
