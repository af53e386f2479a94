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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from sweep.confirmation import BASELINE, Confirmation, ranked
from sweep.coordinator import trial_spec
from sweep.divergence import is_divergence
from sweep.files import write_whole
from sweep.race import FIRST_SEEDS, race
from sweep.records import TrialRecord, read_record
from sweep.results import CONFIRM, schedule_of, standing, suggestion_of
from sweep.retraining import Retraining
from sweep.space import Suggestion
from sweep.training.engine import TrialSpec
from sweep.training.seeds import mix
from sweep.underway import Sweep
from sweep.workers import WorkerPool

_FEWEST = 2
"""Candidates, beside the constant rate, however small the budget is."""

_MOST_ALIKE = 0.4
"""Of the candidates, those of one scheduler."""

_WHAT = "confirming the best schedules on fresh seeds"

Runs = dict[tuple[str, int], dict[str, Any]]
"""Rows of confirm.csv by what was trained (see `_key`) and the seed."""


def confirm(
    sweep: Sweep,
    pool: WorkerPool,
    stop: threading.Event,
    on_epochs: Callable[[str, int, int], None],
    deadline: float = math.inf,
) -> Confirmation | None:
    """Race the best schedules of a search.

    Runs that `confirm.csv` holds already are not done again; every run is in it as it ends.

    Args:
        sweep: Its search is over, and has completed a trial.
        pool: The workers.
        stop: Set from anywhere to end soon.
        on_epochs: Told what is done, how many epochs have been trained, and of how many at most.
        deadline: When to start nothing more, as `time.monotonic` has it; the first round of a few
            candidates is trained all the same.

    Returns:
        What came of it; None if it was stopped.
    """
    config = sweep.config
    budget = affordable_runs(sweep, len(pool), deadline)
    trials = {trial.number: trial for trial in chosen(sweep, budget)}
    seeds = tuple(mix(config.seed, 5, index) for index in range(config.confirm.seeds))
    most_epochs = max(budget, FIRST_SEEDS * len(trials)) * config.epochs
    step = _Step(sweep, pool, stop, trials, seeds, lambda n: on_epochs(_WHAT, n, most_epochs))
    started = time.monotonic()

    def affordable(spent: int) -> int:
        if deadline == math.inf or not step.trained:
            return budget - spent
        run_secs = (time.monotonic() - started) / step.trained
        return min(budget - spent, int((deadline - time.monotonic()) / run_secs))

    losses = race(
        list(trials),
        step.train,
        most_seeds=len(seeds),
        affordable=affordable,
        drop=not config.fair,
    )
    if stop.is_set():
        return None
    step.write()
    schedules = {number: schedule_of(t, config.search_space) for number, t in trials.items()}
    metric = config.measure
    values = {trial: tuple(map(metric.loss, losses[trial])) for trial in losses}
    used = seeds[: max(map(len, values.values()))]
    found = Confirmation(ranked(schedules, values, metric), used, not config.fair, metric)
    if found.doubt:
        sweep.note(found.doubt)
    return found


def affordable_runs(sweep: Sweep, workers: int, deadline: float = math.inf) -> int:
    """Trainings that the budget allows: a share of what the search takes without pruning.

    Where there is a deadline, no more than the time that is left is enough for.
    """
    ended = [trial for trial in sweep.trials if trial.state.is_finished()]
    budget = round(sweep.config.confirm.share * len(ended))
    if deadline == math.inf:
        return budget
    seconds = [s for trial in ended for s in read_record(trial).column("seconds")]
    run_secs = sweep.config.epochs * sum(seconds) / max(len(seconds), 1) / workers
    left = max(deadline - time.monotonic(), 0.0)
    return min(budget, int(left / run_secs)) if run_secs else budget


def chosen(sweep: Sweep, budget: int) -> Iterator[FrozenTrial]:
    """The candidates: the best of the search, and the best constant rate.

    As many as the budget allows for, but at least _FEWEST, and no more than _MOST_ALIKE of them of
    one scheduler where there are several: near copies would crowd the others out. In a fair study,
    the best of each scheduler. Where no trial of the constant rate (or, in a fair study, of any
    scheduler) has completed, the one that came furthest stands in.

    Args:
        sweep: Its search is over.
        budget: Trainings that may be done.
    """
    config, space = sweep.config, sweep.config.search_space
    several = len(space.schedulers) > 1
    wished = config.confirm.most_candidates(budget)
    most = max(_FEWEST, min(wished, budget // FIRST_SEEDS - 1))
    alike = max(_FEWEST, math.ceil(_MOST_ALIKE * most)) if several else most
    taken: list[Suggestion] = []
    for trial in standing(sweep.trials, config.measure):
        suggestion = suggestion_of(trial, space)
        names = [other.schedule.scheduler for other in taken]
        name = suggestion.schedule.scheduler
        if several and (config.fair or name == BASELINE):
            wanted = name not in names
        else:
            others = sum(other != BASELINE or not several for other in names)
            room = others < most and names.count(name) < alike
            wanted = room and trial.state == TrialState.COMPLETE
        if wanted and suggestion not in taken:
            taken.append(suggestion)
            yield trial


class _Step:
    """Trains what the race asks for, and keeps it in confirm.csv.

    Attributes:
        trained: Runs that have ended, without those that the file held already.
    """

    def __init__(
        self,
        sweep: Sweep,
        pool: WorkerPool,
        stop: threading.Event,
        trials: dict[int, FrozenTrial],
        seeds: tuple[int, ...],
        on_epochs: Callable[[int], None],
    ) -> None:
        self.trained = 0
        self._sweep = sweep
        self._pool = pool
        self._stop = stop
        self._seeds = seeds
        self._on_epochs = on_epochs
        space = sweep.config.search_space
        self._suggestions = {n: suggestion_of(trial, space) for n, trial in trials.items()}
        self._keys = {n: _key(sweep, s) for n, s in self._suggestions.items()}
        self._path = sweep.location.folder / CONFIRM
        self._runs = read_runs(self._path, sweep.config.measure.name)

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
            on_epochs=lambda count: self._on_epochs(before + count),
            on_record=lambda spec, record: self._keep(*missing[spec.number], record),
        )
        asked.run(self._pool, specs)
        rows = {pair: self._row(*pair) for pair in pairs}
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
        write_whole(self._path, _frame(rows, metric.name).to_csv(index=False))

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
    frame = pd.read_csv(path)
    if not {"key", "seed", value, "reason"} <= set(frame):
        return {}
    frame = frame.astype(object).where(frame.notna(), None)
    rows = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    return {
        (row["key"], row["seed"]): row
        for row in rows
        if row[value] is not None or is_divergence(str(row["reason"]))
    }
