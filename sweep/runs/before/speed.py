"""How fast a study's trials are trained, and how long the whole of it will take."""

from __future__ import annotations

import itertools
import math
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from sweep.base.wording import duration
from sweep.data.dataset import Dataset
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig
from sweep.training.specs import trial_spec
from sweep.training.workers.messages import IN_TRAINING_SHARE, WorkerSetup
from sweep.training.workers.opening import open_pool
from sweep.training.workers.pool import Pool
from sweep.training.workers.retraining import Retraining

_ENOUGH_SECS = 0.5
"""A measurement that takes so long is good enough."""

_MOST_SECS = 8.0
"""After which a measurement is over, whatever it has seen; so is the warm-up before it."""

_FEW_BATCHES = 4
"""That an epoch is cut to, if a whole one takes too long."""

_TRIAL_SECS = 0.005
"""That the coordinator takes for a trial, beside the workers' training: to ask, judge and keep."""

_TPE_SECS = 0.000018
"""That TPE takes in addition to ask for a trial, for each trial of the study, on the average.

Measured over studies of 400 to 2,000 trials with seven schedulers: it looks at all earlier ones.
"""


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Args:
        engine: What trains the trials, in half a sentence.
        notes: Of the engine: why no faster one is possible.
        workers: Worker processes.
        lanes: Trials that each trains at once.
        startup_secs: Until the workers were ready.
        epochs_per_sec: Epochs of single trials, of all workers together; 0 if even a few batches
            took too long.
    """

    engine: str
    notes: tuple[str, ...]
    workers: int
    lanes: int
    startup_secs: float
    epochs_per_sec: float


@dataclass(frozen=True)
class Forecast:
    """How long a study will take.

    Args:
        trials: Of the search.
        epochs: Of a whole trial.
        unpruned_secs: The search, if no trial were stopped early.
        share: About how much of the search's epochs is trained with the study's pruner; None if
            that is not known.
        search_secs: The search, with that share.
        confirm_secs: The confirmation on fresh seeds at most; 0 without one.
        startup_secs: Until the workers are ready.
        timeout_secs: What the study's `timeout` allows; None where there is none.
        budget: What search and confirmation may cost, in whole trainings; None where that follows
            from the trials.
        confirm_trainings: Of those, what is kept for the confirmation.
    """

    trials: int
    epochs: int
    unpruned_secs: float
    share: float | None
    search_secs: float
    confirm_secs: float
    startup_secs: float
    timeout_secs: float | None = None
    budget: float | None = None
    confirm_trainings: int = 0

    @property
    def whole_secs(self) -> float:
        """All of it, if there is no timeout."""
        return self.startup_secs + self.search_secs + self.confirm_secs

    @property
    def total_secs(self) -> float:
        """All of it."""
        return min(self.whole_secs, self.timeout_secs or math.inf)

    @property
    def time_limit(self) -> str:
        """What the timeout means for the study, in a sentence; empty where there is none."""
        if self.timeout_secs is None:
            return ""
        if self.whole_secs <= self.timeout_secs:
            return "the timeout leaves enough for all of it"
        one = self.unpruned_secs / self.trials
        if self.timeout_secs < self.startup_secs + one:
            return "the timeout is too short for a single trial"
        return (
            f"the timeout ends it before: all of it takes about {duration(self.whole_secs)}, and "
            "trials or confirmation are cut"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "total_secs": self.total_secs, "time_limit": self.time_limit}


def forecast(config: StudyConfig, speed: Speed) -> Forecast | None:
    """How long a study will take at a speed; None if the speed could not be measured."""
    if not speed.epochs_per_sec:
        return None
    share = config.usual_share
    trials = config.trials * config.epochs / speed.epochs_per_sec
    asking = config.trials * _asking_secs(config)
    confirm = config.confirm.share * trials if config.confirm.enabled else 0.0
    search = max(trials * (1.0 if share is None else share), asking)
    if config.budget is not None:
        one = config.epochs / speed.epochs_per_sec
        confirm = config.confirm_trainings * one
        search = max((config.budget - config.confirm_trainings) * one, asking)
    return Forecast(
        trials=config.trials,
        epochs=config.epochs,
        unpruned_secs=max(trials, asking),
        share=share,
        search_secs=search,
        confirm_secs=confirm,
        startup_secs=speed.startup_secs,
        timeout_secs=config.timeout,
        budget=config.budget,
        confirm_trainings=config.confirm_trainings,
    )


def _asking_secs(config: StudyConfig) -> float:
    """The coordinator's time for a trial; what the samplers gp and cmaes take is not known."""
    return _TRIAL_SECS + (_TPE_SECS * config.trials if config.sampling.name == "tpe" else 0.0)


def measure(location: Location, config: StudyConfig, data: Dataset) -> Speed:
    """Train a few epochs in workers, as many and as large as a sweep would have, and where.

    An epoch that takes too long is cut to a few batches, and the speed is that of the whole one.

    Raises:
        SweepError: A worker cannot build its engine or train.
    """
    measured = _measure(location, config, data)
    if measured.epochs_per_sec > 0:
        return measured
    few, part = _cut(config, data)
    cut = _measure(location, config, few)
    notes = (f"an epoch takes longer than {_MOST_SECS:g} s: measured with its first batches",)
    return replace(
        measured, epochs_per_sec=cut.epochs_per_sec * part, notes=(*measured.notes, *notes)
    )


def _cut(config: StudyConfig, data: Dataset) -> tuple[Dataset, float]:
    """The first rows, and which part of all they are."""
    rows = len(data.x_train)
    sizes = [size for size in config.optimizer.batch_sizes if size != "full"]
    few = min(rows, _FEW_BATCHES * max(sizes) if sizes else 64)
    part = few / rows
    validation = max(2, round(len(data.x_validation) * part))
    cut = replace(
        data,
        x_train=data.x_train[:few],
        y_train=data.y_train[:few],
        x_validation=data.x_validation[:validation],
        y_validation=data.y_validation[:validation],
    )
    return cut, part


def _measure(location: Location, config: StudyConfig, data: Dataset) -> Speed:
    """The speed is 0 if nothing was trained in time."""
    setup = WorkerSetup.of(config, data, location.code_folders)
    notes: list[str] = []
    started = time.monotonic()
    with open_pool(config, setup, config.trials, notes.append) as pool:
        notes += pool.await_all()
        workers = len(pool.idle)
        lanes = min(pool.lanes.values())
        if config.lanes is None:
            lanes = max(1, min(lanes, int(config.trials * IN_TRAINING_SHARE) // workers))
        trainer = _Trainer(config, pool, workers * lanes, notes.append)
        in_time = trainer.warm_up()
        ready = time.monotonic()
        speed = trainer.speed() if in_time else 0.0
        return Speed(
            engine=pool.engine,
            notes=tuple(dict.fromkeys(notes)),
            workers=workers,
            lanes=lanes,
            startup_secs=ready - started,
            epochs_per_sec=speed,
        )


class _Trainer:
    """Trains more and more epochs until that takes long enough."""

    def __init__(self, config: StudyConfig, pool: Pool, trials: int, note: Any) -> None:
        self._config = config
        self._pool = pool
        self._trials = trials
        self._note = note

    def warm_up(self) -> bool:
        """Train one epoch: what torch loads with the first trial is part of the start.

        Returns:
            Whether it was trained in time.
        """
        trained, _ = self._train(1, 1, time.monotonic() + _MOST_SECS)
        return trained > 0

    def speed(self) -> float:
        """Epochs of single trials a second; 0 if not one was trained in time."""
        epochs, rounds, speed = min(4, self._config.epochs), 1, 0.0
        deadline = time.monotonic() + _MOST_SECS
        while time.monotonic() < deadline:
            trained, secs = self._train(epochs, rounds, deadline)
            speed = trained / secs if trained else speed
            if secs > _ENOUGH_SECS:
                break
            if epochs < self._config.epochs:
                epochs = min(4 * epochs, self._config.epochs)
            else:
                rounds *= 4
        return speed

    def _train(self, epochs: int, rounds: int, deadline: float) -> tuple[int, float]:
        """Epochs that were trained, and the seconds until the last of them."""
        config, space = self._config, self._config.search_space
        stop = threading.Event()
        trained, last = 0, 0.0

        def count(so_far: int) -> None:
            nonlocal trained, last
            if so_far > trained:
                trained, last = so_far, time.monotonic()

        easy = space.ends(space.schedulers[0])[0]  # the lowest rate: it does not diverge
        kinds = [{}] if config.own_code else config.optimizer.each
        params = itertools.cycle({**easy.params, **kind} for kind in kinds)
        specs = [
            trial_spec(config, n, replace(easy, params=next(params)))
            for n in range(self._trials * rounds)
        ]
        timer = threading.Timer(max(deadline - time.monotonic(), 0.0), stop.set)
        timer.start()
        started = time.monotonic()
        try:
            asked = Retraining("measurement", epochs, stop, self._note, config.measure, count)
            asked.run(self._pool, specs)
        finally:
            timer.cancel()
        return trained, max(last - started, 1e-6)
