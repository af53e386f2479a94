"""How much one coordinator carries: simulated workers, a real study in a real storage.

.venv/bin/python benchmarks/scale.py trials [--trials 100000] [--sampler auto]
.venv/bin/python benchmarks/scale.py workers [--workers 100,1000] [--secs 2] [--for 50]

`--storage URL` keeps the study in a database, else it is in a journal of its own.

`trials`: what a trial costs the coordinator (ask, reports, prune, tell; sampler included) as the
study grows, with one worker that answers at once; then what it takes to go on with the study, up to
the next trial. `workers`: how many epochs a second reach the storage when workers answer at once,
and how busy they are kept when an epoch takes some seconds.

Workers train nothing: an epoch's value is a function of the schedule, with noise, and comes after
the time that it is to take. All else is what `sweep run` does; the tables and the running note,
which are bounded to 2 % and 1 % of a run's time, are left out.
"""

from __future__ import annotations

import argparse
import heapq
import math
import resource
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sweep.runs.opening import enqueue_first, open_sweep
from sweep.search.context import RunContext
from sweep.search.coordinator import Coordinator
from sweep.search.status import Status
from sweep.search.storage.opening import flush
from sweep.search.storage.urls import is_shared, storage_url
from sweep.search.trials import Trial
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig
from sweep.training.contract import EpochResult, TrialNews, TrialSpec
from sweep.training.workers.messages import Answer, Died, Orders
from sweep.training.workers.pool import Pool
from sweep.training.workers.time_limit import TimeLimit

ANSWER_AFTER = 0.1
"""Seconds of training after which a worker answers, as a real one does."""


@dataclass
class _Worker:
    specs: dict[int, TrialSpec] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    waits_since: float = 0.0


class SimulatedPool(Pool):
    """Workers that train nothing.

    Args:
        count: How many.
        lanes: Trials that each has at once.
        epoch_secs: How long an epoch of one trial takes.
    """

    def __init__(self, count: int, lanes: int, epoch_secs: float) -> None:
        self.lanes = dict.fromkeys(range(count), lanes)
        self.idle = set(range(count))
        self.engine = "simulated"
        self.deterministic = False
        self.prepares = False
        self.can_interrupt = False
        self.idle_secs = 0.0
        self.epochs = 0
        self._secs = epoch_secs
        self._workers = [_Worker() for _ in range(count)]
        self._due: list[tuple[float, int, list[TrialNews]]] = []
        self._is_new = True

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def awaited(self) -> set[int]:
        """All of them."""
        return set(self.lanes)

    def start(self) -> None:
        """All are ready."""
        if self._is_new:
            self._is_new = False
            now = time.monotonic()
            for index, worker in enumerate(self._workers):
                worker.waits_since = now
                heapq.heappush(self._due, (now, index, []))

    def send(self, index: int, orders: Orders) -> None:
        """Train, from now on."""
        worker, now = self._workers[index], time.monotonic()
        self.idle.discard(index)
        self.idle_secs += now - worker.waits_since
        for number in orders.remove:
            del worker.specs[number], worker.epochs[number]
        for spec in orders.add:
            worker.specs[spec.number], worker.epochs[spec.number] = spec, 0
        results: list[TrialNews] = []
        rounds = 1 if not self._secs else max(1, int(ANSWER_AFTER / self._secs))
        rounds = min(orders.epochs, rounds) if self._secs else orders.epochs
        for _ in range(rounds):
            for number, spec in worker.specs.items():
                worker.epochs[number] += 1
                results.append(_result(spec, worker.epochs[number], self._secs))
        self.epochs += len(results)
        due = now + self._secs * len(results)
        worker.waits_since = due
        heapq.heappush(self._due, (due, index, results))

    def wait(self, timeout: float) -> list[tuple[int, Answer | Died]]:
        """What is due within the time."""
        until = time.monotonic() + timeout
        if self._due and self._due[0][0] > time.monotonic():
            time.sleep(max(0.0, min(self._due[0][0], until) - time.monotonic()))
        heard: list[tuple[int, Answer | Died]] = []
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, index, results = heapq.heappop(self._due)
            self.idle.add(index)
            heard.append((index, Answer(self.lanes[index], results, [], engine=self.engine)))
        return heard

    def replace(self, index: int) -> None:
        """None dies."""

    def close(self) -> None:
        """There is nothing to end."""


def _result(spec: TrialSpec, epoch: int, secs: float) -> EpochResult:
    """An epoch that ends as an epoch of a real training might."""
    off = math.log10(spec.schedule.lr) + 1.3
    noise = np.random.default_rng((spec.seed, epoch)).normal() * 0.05
    value = (0.2 + off * off / 4 + 1 / (epoch + 1)) * math.exp(noise)
    return EpochResult(
        number=spec.number,
        epoch=epoch,
        value=value,
        averaged=value,
        training=value,
        lr_first=spec.schedule.lr,
        lr_last=spec.schedule.lr,
        grad_norm=1.0,
        seconds=secs,
    )


@dataclass
class Course:
    """What is written down while a study runs: when each trial ended."""

    ended: list[float] = field(default_factory=list)

    def on_finished(self, trial: Trial, status: Status) -> None:
        """Another one."""
        self.ended.append(time.process_time())


def run(
    config: StudyConfig, pool: SimulatedPool, folder: Path, for_secs: float, name: str = "scale"
) -> Course:
    """Run a study's search with simulated workers."""
    course, stop = Course(), threading.Event()
    coordinator, context = opened(config, folder, course, stop, name)
    timer = threading.Timer(for_secs, stop.set)
    timer.daemon = True
    timer.start()
    coordinator.run(pool)
    flush(context.study)
    timer.cancel()
    return course


def opened(
    config: StudyConfig, folder: Path, course: Course, stop: threading.Event, name: str = "scale"
) -> tuple[Coordinator, RunContext]:
    """A study that is begun or goes on, and what coordinates it."""
    context, _ = open_sweep(Location(name, None, folder), config, None, False, print)
    total = enqueue_first(context, None)
    coordinator = Coordinator(
        context.reader,
        owner="scale",
        shared=is_shared(storage_url(config.storage, folder)),
        trials=total,
        variance=1.0,
        weights=None,
        on_finished=course.on_finished,
        on_tick=lambda status: None,
        on_note=print,
        deadline=math.inf,
        limit=TimeLimit(),
        stop=stop,
    )
    return coordinator, context


def secs_to_go_on(config: StudyConfig, folder: Path) -> float:
    """Of processor time, to open a study that there is and to draw its next trial."""
    started = time.process_time()
    coordinator, _ = opened(config, folder, Course(), threading.Event())
    assert coordinator.next() is not None
    return time.process_time() - started


def settings(given: argparse.Namespace, trials: int, epochs: int) -> StudyConfig:
    """A study of the default space, whose training nobody does."""
    values: dict[str, Any] = {
        "loop": "scale_loop:train",
        "metric": "val_mse",
        "trials": trials,
        "epochs": epochs,
        "sampler": given.sampler,
        "pruner": given.pruner,
        "space": {"scheduler": ["constant", "cosine", "step", "exponential", "linear"]},
        "confirm": {"enabled": False},
    }
    if given.storage:
        values["storage"] = given.storage
    return StudyConfig.model_validate(values)


def measure_trials(given: argparse.Namespace) -> None:
    """What a trial costs as the study grows."""
    usual = (1000, 2000, 5000, 10000, 20000, 50000, 100000)
    with tempfile.TemporaryDirectory() as folder:
        pool = SimulatedPool(1, given.lanes, 0.0)
        course = run(settings(given, given.trials, given.epochs), pool, Path(folder), 1e6)
        journal = Path(folder) / "study.journal"
        size = journal.stat().st_size / 2**20 if journal.exists() else math.nan
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        more = settings(given, given.trials + 1, given.epochs)
        going_on = secs_to_go_on(more, Path(folder))
    width = 500
    before = given.trials - len(course.ended)  # in a database that has trials already
    for mark in sorted({*(m for m in usual if before < m < given.trials), given.trials}):
        ended = course.ended[max(mark - width - before, 0) : mark - before]
        each = 1000 * (ended[-1] - ended[0]) / (len(ended) - 1)
        print(f"at {mark:>6} trials: {each:6.2f} ms of processor time a trial")
    print(f"journal {size:.0f} MiB, memory at most {peak:.0f} MiB")
    print(f"to go on takes {going_on:.1f} s of processor time")


def measure_workers(given: argparse.Namespace) -> None:
    """What many workers are kept busy with."""
    for count in given.workers:
        for secs in (0.0, given.secs):
            with tempfile.TemporaryDirectory() as folder:
                pool = SimulatedPool(count, 1, secs)
                config = settings(given, 1_000_000, given.epochs)
                started = time.monotonic()
                course = run(config, pool, Path(folder), given.seconds, f"scale-{count}-{secs:g}")
                took = time.monotonic() - started
            busy = 1 - pool.idle_secs / (count * took)
            told = f"{busy:.1%} busy" if secs else f"{pool.epochs / took:,.0f} epochs/s"
            print(
                f"{count:>5} workers, {secs:g} s an epoch: {told}, "
                f"{len(course.ended) / took:,.1f} trials/s",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=["trials", "workers"])
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--sampler", default="auto")
    parser.add_argument("--pruner", default="auto")
    parser.add_argument("--storage")
    parser.add_argument("--workers", type=lambda v: [int(n) for n in v.split(",")])
    parser.add_argument("--secs", type=float, default=2.0)
    parser.add_argument("--for", dest="seconds", type=float, default=50.0)
    given = parser.parse_args(arguments)
    given.epochs = given.epochs or (2 if given.what == "trials" else 20)
    given.workers = given.workers or [100, 1000]
    measure_trials(given) if given.what == "trials" else measure_workers(given)


if __name__ == "__main__":
    main()
