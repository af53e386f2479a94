"""Confirm the best schedules on fresh seeds, the same ones for each.

The winner of a search owes its place partly to luck: the best of many noisy values is too good.
So the best of the search, and the best constant rate, are trained again, paired: from each seed
all of them start with the same weights and see the rows in the same order.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from sweep.confirmation import BASELINE, Confirmation, ranked
from sweep.coordinator import trial_spec
from sweep.files import write_whole
from sweep.race import FIRST_SEEDS, race
from sweep.records import TrialRecord
from sweep.results import CONFIRM, completed, schedule_of, standing, suggestion_of
from sweep.retraining import Retraining
from sweep.schedules import Schedule
from sweep.training.engine import TrialSpec
from sweep.training.seeds import mix
from sweep.underway import Sweep
from sweep.workers import WorkerPool

_FEWEST = 2
"""Candidates, beside the constant rate, however small the budget is."""

_MOST_ALIKE = 2
"""Candidates of one scheduler."""

_WHAT = "confirming the best schedules on fresh seeds"

Runs = dict[tuple[int, int], dict[str, Any]]
"""Rows of confirm.csv by trial and seed."""


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
        deadline: When to start nothing more, as `time.monotonic` has it; the first round is
            trained all the same.

    Returns:
        What came of it; None if it was stopped.
    """
    config = sweep.config
    candidates = list(chosen(sweep))
    trials = {trial.number: trial for trial in candidates}
    budget = _affordable_runs(sweep)
    step = _Step(sweep, pool, stop, trials, on_epochs, max(budget, FIRST_SEEDS * len(trials)))
    started = time.monotonic()

    def affordable(spent: int) -> int:
        secs = (time.monotonic() - started) / max(spent, 1)
        in_time = math.inf if deadline == math.inf else (deadline - time.monotonic()) / secs
        return int(min(budget - spent, in_time))

    values = race(
        list(trials),
        step.train,
        most_seeds=config.confirm.seeds,
        affordable=affordable,
        drop=not config.fair,
    )
    if stop.is_set():
        return None
    schedules = {number: schedule_of(t, config.search_space) for number, t in trials.items()}
    used = max(map(len, values.values()))
    seeds = tuple(seed_of(sweep, index) for index in range(used))
    return Confirmation(ranked(schedules, values), seeds, raced=not config.fair)


def seed_of(sweep: Sweep, index: int) -> int:
    """A fresh seed: none that a trial of the search has been trained from."""
    return mix(sweep.config.seed, 5, index)


def _affordable_runs(sweep: Sweep) -> int:
    """Trainings that the budget allows: a share of what the search would take without pruning."""
    ended = sum(trial.state.is_finished() for trial in sweep.trials)
    return round(sweep.config.confirm.share * ended)


def chosen(sweep: Sweep) -> Iterator[FrozenTrial]:
    """The candidates: the best schedules of the search, and the best constant rate.

    As many as the budget allows for, but at least _FEWEST, and no more than _MOST_ALIKE of one
    scheduler where there are several: near copies would crowd the others out. In a fair study, the
    best schedule of each scheduler. Where no trial of the constant rate (or, in a fair study, of
    any scheduler) has completed, the one that came furthest stands in.
    """
    config, space = sweep.config, sweep.config.search_space
    trials = standing(sweep.trials)
    done = len(completed(sweep.trials))
    most = max(_FEWEST, min(config.confirm.top, _affordable_runs(sweep) // FIRST_SEEDS - 1))
    alike = _MOST_ALIKE if len(space.schedulers) > 1 else most
    taken: list[Schedule] = []
    for place, trial in enumerate(trials):
        schedule = schedule_of(trial, space)
        same = sum(other.scheduler == schedule.scheduler for other in taken)
        if config.fair or schedule.scheduler == BASELINE:
            wanted = not same
        else:
            others = sum(other.scheduler != BASELINE for other in taken)
            wanted = place < done and others < most and same < alike
        if wanted and schedule not in taken:
            taken.append(schedule)
            yield trial


class _Step:
    """Trains what the race asks for, and keeps it in confirm.csv."""

    def __init__(
        self,
        sweep: Sweep,
        pool: WorkerPool,
        stop: threading.Event,
        trials: dict[int, FrozenTrial],
        on_epochs: Callable[[str, int, int], None],
        most_runs: int,
    ) -> None:
        self._sweep = sweep
        self._pool = pool
        self._stop = stop
        self._trials = trials
        self._on_epochs = on_epochs
        self._most_epochs = most_runs * sweep.config.epochs
        self._path = sweep.location.folder / CONFIRM
        seeds = {seed_of(sweep, index) for index in range(sweep.config.confirm.seeds)}
        self._runs = {
            (trial, seed): row
            for (trial, seed), row in read_runs(self._path).items()
            if trial in trials and seed in seeds
        }

    def train(self, pairs: list[tuple[int, int]]) -> dict[tuple[int, int], float]:
        """Trials and indices of seeds, and the validation MSE that each came to."""
        specs = [
            self._spec(number, trial, index)
            for number, (trial, index) in enumerate(pairs)
            if (trial, seed_of(self._sweep, index)) not in self._runs
        ]
        before = len(self._runs) * self._sweep.config.epochs
        asked = Retraining(
            kind="confirmation run",
            epochs=self._sweep.config.epochs,
            stop=self._stop,
            note=self._sweep.note,
            on_epochs=lambda count: self._on_epochs(_WHAT, before + count, self._most_epochs),
            on_record=lambda spec, record: self._keep(pairs[spec.number][0], spec, record),
        )
        asked.run(self._pool, specs)
        found = {
            (trial, index): self._runs.get((trial, seed_of(self._sweep, index)))
            for trial, index in pairs
        }
        return {
            pair: math.inf if pd.isna(row["val_mse"]) else float(row["val_mse"])
            for pair, row in found.items()
            if row is not None
        }

    def _spec(self, number: int, trial: int, index: int) -> TrialSpec:
        config = self._sweep.config
        suggestion = suggestion_of(self._trials[trial], config.search_space)
        spec = trial_spec(config, trial, suggestion)
        return replace(spec, number=number, seed=seed_of(self._sweep, index))

    def _keep(self, trial: int, spec: TrialSpec, record: TrialRecord) -> None:
        objective = self._sweep.config.objective
        schedule = spec.schedule
        self._runs[trial, spec.seed] = {
            "trial": trial,
            "seed": spec.seed,
            "scheduler": schedule.scheduler,
            "lr": schedule.lr,
            "decay": schedule.decay,
            "warmup": schedule.warmup,
            **{f"{schedule.scheduler}.{name}": v for name, v in schedule.params.items()},
            "val_mse": None if record.reason else record.val_mse(objective),
            "best_epoch": None if record.reason else record.best_epoch(objective),
            "epochs_run": len(record.curve),
            "reason": record.reason,
        }
        places = {seed_of(self._sweep, i): i for i in range(self._sweep.config.confirm.seeds)}
        rows = sorted(self._runs.values(), key=lambda row: (row["trial"], places[row["seed"]]))
        write_whole(self._path, _frame(rows).to_csv(index=False))


def _frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    last = ["val_mse", "best_epoch", "epochs_run", "reason"]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in last))
    frame = pd.DataFrame(list(rows), columns=[*names, *last])
    return frame.astype({"best_epoch": "Int64"})


def read_runs(path: Path) -> Runs:
    """The rows of `confirm.csv`; none if it is not there."""
    if not path.is_file():
        return {}
    frame = pd.read_csv(path)
    frame = frame.astype(object).where(frame.notna(), None)
    rows = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    return {(row["trial"], row["seed"]): row for row in rows}
