"""Train given schedules to their end: no sampler, no pruner, no storage."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sweep.study.metric import Metric
from sweep.training.contract import EpochResult, TrialEnd, TrialSpec
from sweep.training.divergence import divergence
from sweep.training.record import TrialRecord, what_diverged
from sweep.training.workers.dispatcher import Dispatcher, Verdict
from sweep.training.workers.messages import Save
from sweep.training.workers.pool import Pool
from sweep.training.workers.time_limit import TimeLimit


@dataclass(frozen=True)
class Retraining:
    """What is to be trained, and whom to tell.

    Args:
        kind: What one of the trainings is called in a message: `confirmation run`.
        epochs: Of each.
        stop: Set from anywhere to end soon.
        note: Told what a user should read about the engines.
        metric: What they come to, in the words of the study.
        limit: When to be over; what has not ended then has no record.
        on_epochs: Told, every now and then, how many epochs have been trained.
        on_record: Told each one's record as it ends.
    """

    kind: str
    epochs: int
    stop: threading.Event
    note: Callable[[str], None]
    metric: Metric
    on_epochs: Callable[[int], None] = lambda count: None
    on_record: Callable[[TrialSpec, TrialRecord], None] = lambda spec, record: None
    limit: TimeLimit = field(default_factory=TimeLimit)

    def run(self, pool: Pool, specs: Sequence[TrialSpec], save: Save | None = None) -> None:
        """Train all of them, side by side, each to its last epoch unless it diverges or raises.

        Args:
            pool: The workers.
            specs: What to train; their numbers differ.
            save: Weights to write when the trial of that number has ended.

        Raises:
            TrainingError: Workers die again and again before they train anything.
        """
        if specs:
            source = _Specs(self, specs, save)
            Dispatcher(pool, source, self.stop, self.note, self.limit).run()


@dataclass
class _Specs:
    """A list of trials as a dispatcher's source."""

    asked: Retraining
    specs: Sequence[TrialSpec]
    save: Save | None

    def __post_init__(self) -> None:
        self.kind, self.epochs = self.asked.kind, self.asked.epochs
        self._waiting = deque(self.specs)
        self._by_number = {spec.number: spec for spec in self.specs}
        self._curves: dict[int, list[EpochResult]] = {spec.number: [] for spec in self.specs}
        self._ended = 0
        self._trained = 0

    def next(self, wanted: int = 1) -> TrialSpec | None:
        """The next one."""
        return self._waiting.popleft() if self._waiting else None

    def prepare(self, wanted: int) -> bool:
        """Nothing needs to be prepared."""
        return False

    def most_lanes(self, workers: int) -> int:
        """The workers share what is left evenly."""
        return max(1, -(-(len(self.specs) - self._ended) // workers))

    def epochs_left(self) -> int:
        """Epochs still to come."""
        return (len(self.specs) - self._ended) * self.asked.epochs

    def epochs_to_decision(self, number: int, epoch: int) -> int:
        """Nothing is decided before the end."""
        return self.asked.epochs - epoch

    def hear(self, result: EpochResult) -> Verdict:
        """Keep an epoch."""
        self._trained += 1
        curve = self._curves[result.number]
        curve.append(result)
        diverged = what_diverged(result, self.asked.metric)
        if not diverged and len(curve) < self.asked.epochs:
            return Verdict()
        self._end(result.number, divergence(len(curve), diverged) if diverged else "")
        wanted = self.save is not None and self.save.number == result.number
        return Verdict(over=True, save=self.save if wanted else None)

    def end(self, end: TrialEnd) -> None:
        """Keep what it came to; one that stopped of itself has come to its end."""
        self._end(end.number, end.reason)

    def fail(self, number: int, reason: str, traceback: str = "") -> None:
        """Keep why it ended."""
        self._end(number, reason)

    def _end(self, number: int, reason: str) -> None:
        self._ended += 1
        spec = self._by_number[number]
        record = TrialRecord.from_curve(spec.seed, self._curves[number], reason)
        self.asked.on_record(spec, record)

    def restart(self, number: int) -> None:
        """Forget its course."""
        self._curves[number].clear()

    def tick(self) -> None:
        """Say how far it is."""
        self.asked.on_epochs(self._trained)
