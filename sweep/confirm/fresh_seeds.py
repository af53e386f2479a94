"""Confirm the best schedules on fresh seeds, the same ones for each.

The winner of a search owes its place partly to luck: the best of many noisy values is too good.
So the best of the search, and the best constant rate, are trained again, paired: from each seed
all of them start with the same weights and see the rows in the same order.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from sweep.base.csv_cells import frame_from_csv, frame_to_csv
from sweep.base.files import write_whole
from sweep.base.wording import counted, duration
from sweep.confirm.candidates import affordable_runs, chosen
from sweep.confirm.race import FIRST_SEEDS, race
from sweep.confirm.verdict import Confirmation, ranked
from sweep.search.context import Sweep
from sweep.search.coordinator import trial_spec
from sweep.search.divergence import is_divergence
from sweep.search.tables import CONFIRM, schedule_of, suggestion_of
from sweep.study.space import Suggestion
from sweep.training.contract import TrialSpec
from sweep.training.record import TrialRecord, read_record
from sweep.training.seeds import mix
from sweep.training.workers.pool import WorkerPool
from sweep.training.workers.retraining import Retraining
from sweep.training.workers.time_limit import TimeLimit

_FEWEST_IN_TIME = 2
"""Candidates that a race must have, however little time there is."""

_WHAT = "confirming the best schedules on fresh seeds"

Runs = dict[tuple[str, int], dict[str, Any]]
"""Rows of confirm.csv by what was trained (see `_key`) and the seed."""


@dataclass(frozen=True)
class Outcome:
    """What came of confirming.

    Args:
        confirmation: The race; None if it was stopped, or there was no time for one.
        missing: What there was no time for, in a sentence; empty if for all.
    """

    confirmation: Confirmation | None = None
    missing: str = ""


def confirm(
    sweep: Sweep,
    pool: WorkerPool,
    stop: threading.Event,
    on_epochs: Callable[[str, int, int], None],
    limit: TimeLimit | None = None,
) -> Outcome:
    """Race the best schedules of a search.

    Runs that `confirm.csv` holds already are not done again; every run is in it as it ends.

    Args:
        sweep: Its search is over, and has completed a trial.
        pool: The workers.
        stop: Set from anywhere to end soon.
        on_epochs: Told what is done, how many epochs have been trained, and of how many at most.
        limit: When to be over: where there is little time, there are fewer candidates, or fewer
            seeds, or nothing is confirmed.
    """
    config, limit = sweep.config, limit or TimeLimit()
    budget = affordable_runs(sweep)
    meant = _by_number(chosen(sweep, budget))
    seeds = tuple(mix(config.seed, 5, index) for index in range(config.confirm.seeds))
    step = _Step(sweep, pool, stop, seeds, limit)
    in_time = limit.trainings_left(config.epochs, len(pool), _usual_secs(sweep))
    trials, first_seeds = meant, FIRST_SEEDS
    if in_time is not None and step.missing(meant, FIRST_SEEDS) > in_time:
        fitting = _fitting(sweep, budget, step, len(meant), in_time)
        if fitting is None:
            return Outcome(missing=_no_time(limit, config.epochs))
        trials, first_seeds = fitting
    most_runs = max(budget, first_seeds * len(trials))
    step.begin(trials, lambda epochs: on_epochs(_WHAT, epochs, most_runs * config.epochs))
    started = time.monotonic()
    by_budget = by_time = most_runs

    def affordable(spent: int) -> int:
        nonlocal by_budget, by_time
        by_budget = by_time = budget - spent
        if limit.is_set:
            fits = limit.trainings_left(config.epochs, len(pool), _usual_secs(sweep))
            if step.trained:
                fits = int(limit.left_secs * step.trained / (time.monotonic() - started))
            by_time = (fits or 0) + step.known(trials) - spent
        return min(by_budget, by_time)

    losses = race(
        list(trials),
        step.train,
        most_seeds=len(seeds),
        affordable=affordable,
        first_seeds=first_seeds,
        drop=not config.fair,
    )
    if stop.is_set():
        return Outcome()
    step.write()
    metric = config.measure
    values = {trial: tuple(map(metric.loss, losses[trial])) for trial in losses}
    used = max(map(len, values.values()))
    if not used:
        return Outcome(missing=_no_time(limit, config.epochs))
    schedules = {number: schedule_of(t, config.search_space) for number, t in trials.items()}
    last = sum(len(each) == used for each in values.values())
    cut = by_time < last <= by_budget
    missing = ""
    if cut or step.cut_off or len(trials) < len(meant) or first_seeds < FIRST_SEEDS:
        runs = sum(map(len, values.values()))
        missing = (
            f"the time limit shortened the confirmation to {counted(runs, 'training')} of "
            f"{counted(len(trials), 'candidate')}; without it, there are up to "
            f"{max(budget, FIRST_SEEDS * len(meant))} of {len(meant)}"
        )
    candidates = ranked(schedules, values, metric)
    found = Confirmation(candidates, seeds[:used], not config.fair, metric)
    if found.doubt:
        sweep.note(found.doubt)
    return Outcome(found, missing)


def _by_number(trials: Iterable[FrozenTrial]) -> dict[int, FrozenTrial]:
    return {trial.number: trial for trial in trials}


def _usual_secs(sweep: Sweep) -> float | None:
    """An epoch's share of a worker's time, in the trials so far; None if none has trained."""
    ended = (trial for trial in sweep.trials if trial.state.is_finished())
    seconds = [secs for trial in ended for secs in read_record(trial).column("seconds")]
    return fmean(seconds) if seconds else None


def _fitting(
    sweep: Sweep, budget: int, step: _Step, most: int, in_time: int
) -> tuple[dict[int, FrozenTrial], int] | None:
    """Candidates, and seeds that each gets at first, that there is time for; None if for none."""
    fewest = min(most, _FEWEST_IN_TIME)
    plans = [*((count, FIRST_SEEDS) for count in range(most - 1, fewest - 1, -1)), (fewest, 2)]
    for count, seeds in plans:
        trials = _by_number(chosen(sweep, budget, count))
        if step.missing(trials, seeds) <= in_time:
            return trials, seeds
    return None


def _no_time(limit: TimeLimit, epochs: int) -> str:
    """That nothing is confirmed."""
    secs = limit.training_secs(epochs)
    takes = f", and a training takes about {duration(secs)}" if secs else ""
    return (
        f"nothing was confirmed on fresh seeds: the time limit left {duration(limit.left_secs)}"
        f"{takes}; the same command with a longer --timeout, or without one, does it"
    )


class _Step:
    """Trains what the race asks for, and keeps it in confirm.csv.

    Attributes:
        trained: Runs that have ended, without those that the file held already.
        cut_off: Whether some that were asked for have not, for want of time.
    """

    def __init__(
        self,
        sweep: Sweep,
        pool: WorkerPool,
        stop: threading.Event,
        seeds: tuple[int, ...],
        limit: TimeLimit,
    ) -> None:
        self.trained = 0
        self.cut_off = False
        self._sweep = sweep
        self._pool = pool
        self._stop = stop
        self._seeds = seeds
        self._limit = limit
        self._on_epochs: Callable[[int], None] = lambda epochs: None
        self._suggestions: dict[int, Suggestion] = {}
        self._keys: dict[int, str] = {}
        self._path = sweep.location.folder / CONFIRM
        self._runs = read_runs(self._path, sweep.config.measure.name)

    def begin(self, trials: Mapping[int, FrozenTrial], on_epochs: Callable[[int], None]) -> None:
        """Take the candidates in; `on_epochs` is told how many epochs have been trained."""
        space = self._sweep.config.search_space
        self._suggestions = {n: suggestion_of(trial, space) for n, trial in trials.items()}
        self._keys = {n: _key(self._sweep, s) for n, s in self._suggestions.items()}
        self._on_epochs = on_epochs

    def missing(self, trials: Mapping[int, FrozenTrial], seeds: int) -> int:
        """Runs that are still to be trained, for some candidates to have so many seeds."""
        return len(trials) * seeds - self.known(trials, seeds)

    def known(self, trials: Mapping[int, FrozenTrial], seeds: int | None = None) -> int:
        """Runs of some candidates that need not be trained, of the first seeds or of all."""
        space = self._sweep.config.search_space
        keys = [_key(self._sweep, suggestion_of(trial, space)) for trial in trials.values()]
        return sum((key, seed) in self._runs for key in keys for seed in self._seeds[:seeds])

    def train(self, pairs: list[tuple[int, int]]) -> dict[tuple[int, int], float]:
        """Trials and indices of seeds, and the loss that each came to."""
        missing = [pair for pair in pairs if self._row(*pair) is None]
        specs = [self._spec(number, *pair) for number, pair in enumerate(missing)]
        before = self.trained * self._sweep.config.epochs
        asked = Retraining(
            kind="confirmation run",
            epochs=self._sweep.config.epochs,
            metric=self._sweep.config.measure,
            stop=self._stop,
            note=self._sweep.note,
            limit=self._limit,
            on_epochs=lambda count: self._on_epochs(before + count),
            on_record=lambda spec, record: self._keep(*missing[spec.number], record),
        )
        asked.run(self._pool, specs)
        rows = {pair: self._row(*pair) for pair in pairs}
        self.cut_off |= None in rows.values()
        metric = self._sweep.config.measure
        return {
            pair: math.inf if pd.isna(row[metric.name]) else metric.loss(float(row[metric.name]))
            for pair, row in rows.items()
            if row is not None
        }

    def write(self) -> None:
        """Write the runs of the candidates, in the order of their trials and seeds."""
        rows = [
            row
            for trial in sorted(self._keys)
            for index in range(len(self._seeds))
            if (row := self._row(trial, index)) is not None
        ]
        metric = self._sweep.config.measure
        write_whole(self._path, frame_to_csv(_frame(rows, metric.name)))

    def _row(self, trial: int, index: int) -> dict[str, Any] | None:
        return self._runs.get((self._keys[trial], self._seeds[index]))

    def _spec(self, number: int, trial: int, index: int) -> TrialSpec:
        spec = trial_spec(self._sweep.config, trial, self._suggestions[trial])
        return replace(spec, number=number, seed=self._seeds[index])

    def _keep(self, trial: int, index: int, record: TrialRecord) -> None:
        self.trained += 1
        objective, metric = self._sweep.config.objective, self._sweep.config.measure
        suggestion, key = self._suggestions[trial], self._keys[trial]
        schedule, seed = suggestion.schedule, self._seeds[index]
        self._runs[key, seed] = {
            "trial": trial,
            "seed": seed,
            "scheduler": schedule.scheduler,
            "lr": schedule.lr,
            "decay": schedule.decay,
            "warmup": schedule.warmup,
            **{f"{schedule.scheduler}.{name}": v for name, v in schedule.params.items()},
            "momentum": suggestion.momentum,
            "weight_decay": suggestion.weight_decay,
            metric.name: None if record.reason else record.val_mse(objective, metric),
            "best_epoch": None if record.reason else record.best_epoch(objective, metric),
            "epochs_run": len(record.curve),
            "reason": record.reason,
            "key": key,
        }
        self.write()


def _key(sweep: Sweep, suggestion: Suggestion) -> str:
    """What a run depends on beside its seed, in a few characters."""
    parts = [
        suggestion.schedule.to_dict(),
        suggestion.momentum,
        suggestion.weight_decay,
        sweep.config.comparable(),
        sweep.data.fingerprint if sweep.data else None,
    ]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _frame(rows: Sequence[dict[str, Any]], value: str) -> pd.DataFrame:
    last = [value, "best_epoch", "epochs_run", "reason", "key"]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in last))
    frame = pd.DataFrame(list(rows), columns=[*names, *last])
    searched = [n for n in frame if n not in ("momentum", "weight_decay") or frame[n].notna().any()]
    return frame[searched].astype({"best_epoch": "Int64"})


def read_runs(path: Path, value: str) -> Runs:
    """The rows of `confirm.csv` that need not be trained again; none if it is not there.

    One that diverged would do so again; one that failed (its worker was killed) may not.

    Args:
        path: The file.
        value: The column of what a run came to.
    """
    if not path.is_file():
        return {}
    frame = frame_from_csv(path)
    if not {"key", "seed", value, "reason"} <= set(frame):
        return {}
    frame = frame.astype(object).where(frame.notna(), None)
    rows = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    return {
        (row["key"], row["seed"]): row
        for row in rows
        if row[value] is not None or is_divergence(str(row["reason"]))
    }
