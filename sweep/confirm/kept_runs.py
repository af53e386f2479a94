"""Trainings on fresh seeds that are kept run by run in `confirm.csv`."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from sweep.base.csv_cells import frame_from_csv, frame_to_csv
from sweep.base.files import write_whole
from sweep.search.budget import ConfirmationCost, Spent, epochs_left
from sweep.search.context import RunContext
from sweep.search.storage.owners import in_turn, owner_of
from sweep.search.tables import beside_metric
from sweep.search.trials import Trial
from sweep.study.results_folder import CONFIRM
from sweep.study.sections import Question, deciding, other
from sweep.study.space import Suggestion
from sweep.training.contract import TrialSpec
from sweep.training.divergence import is_divergence
from sweep.training.record import TrialRecord
from sweep.training.specs import trial_spec
from sweep.training.workers.pool import Pool
from sweep.training.workers.retraining import Retraining
from sweep.training.workers.time_limit import TimeLimit

Runs = dict[tuple[str, int], dict[str, Any]]
"""Rows of confirm.csv by what was trained (see `_key`) and the seed."""


class KeptRuns:
    """Trains what the race asks for, and keeps it in confirm.csv.

    Args:
        context: The search is over.
        pool: The workers.
        stop: Set from anywhere to end soon.
        seeds: What each candidate is trained from.
        limit: When to be over.

    Attributes:
        kept: Runs that the file held already.
        trained: Runs that have ended, without those that the file held already.
        cut_off: Whether some that were asked for have not, for want of time or budget.
    """

    def __init__(
        self,
        context: RunContext,
        pool: Pool,
        stop: threading.Event,
        seeds: tuple[int, ...],
        limit: TimeLimit,
    ) -> None:
        self.trained = 0
        self.cost = ConfirmationCost(context.study, owner_of(context.location.folder))
        self.cut_off = False
        self._context = context
        self._pool = pool
        self._stop = stop
        self._seeds = seeds
        self._limit = limit
        self._on_epochs: Callable[[int], None] = lambda epochs: None
        self._suggestions: dict[int, Suggestion] = {}
        self._keys: dict[int, str] = {}
        self._beside: tuple[str, ...] = ()
        self._path = context.location.folder / CONFIRM
        self._metric = context.config.measure
        self._decides = deciding(context.config.objective)
        self._runs = read_runs(self._path, self._metric.name)
        self.kept = len(self._runs)

    def begin(self, trials: Mapping[int, Trial], on_epochs: Callable[[int], None]) -> None:
        """Take the candidates in; `on_epochs` is told how many epochs have been trained."""
        self._suggestions = {n: trial.suggestion for n, trial in trials.items()}
        self._keys = {n: _key(self._context, s) for n, s in self._suggestions.items()}
        told = (beside_metric(trial.record, self._context.config) for trial in trials.values())
        self._beside = tuple(dict.fromkeys(name for names in told for name in names))
        self._on_epochs = on_epochs

    def missing(self, trials: Mapping[int, Trial], seeds: int) -> int:
        """Runs that are still to be trained, for some candidates to have so many seeds."""
        return len(trials) * seeds - self.known(trials, seeds)

    def known(self, trials: Mapping[int, Trial], seeds: int | None = None) -> int:
        """Runs of some candidates that need not be trained, of the first seeds or of all."""
        keys = [_key(self._context, trial.suggestion) for trial in trials.values()]
        return sum((key, seed) in self._runs for key in keys for seed in self._seeds[:seeds])

    def train(self, pairs: list[tuple[int, int]]) -> dict[tuple[int, int], float]:
        """Trials and indices of seeds, and the loss that each came to."""
        missing = [pair for pair in pairs if self._row(*pair) is None]
        if not in_turn(self._context.study, lambda: self._promise(len(missing))):
            missing = []
        specs = [self._spec(number, *pair) for number, pair in enumerate(missing)]
        before = self.trained * self._context.config.epochs
        asked = Retraining(
            kind="confirmation run",
            epochs=self._context.config.epochs,
            metric=self._metric,
            stop=self._stop,
            note=self._context.note,
            limit=self._limit,
            on_epochs=lambda count: self._on_epochs(before + count),
            on_record=lambda spec, record: self._keep(*missing[spec.number], record),
        )
        asked.run(self._pool, specs)
        rows = {pair: self._row(*pair) for pair in pairs}
        self.cut_off |= None in rows.values()
        metric = self._metric
        return {
            pair: math.inf if pd.isna(row[metric.name]) else metric.loss(float(row[metric.name]))
            for pair, row in rows.items()
            if row is not None
        }

    def other_values(self, trial: int, count: int) -> tuple[float | None, ...]:
        """What a candidate's runs came to by the question that does not decide, of so many seeds.

        None of one that an earlier version wrote, without it; `Metric.worst` where it diverged or
        raised.
        """
        found: list[float | None] = []
        for index in range(count):
            row = self._row(trial, index) or {}
            value = row.get(self._column(other(self._decides)))
            failed = pd.isna(row.get(self._metric.name))
            known = None if pd.isna(value) else float(value)
            found.append(self._metric.worst if failed else known)
        return tuple(found)

    @property
    def affordable(self) -> float:
        """Runs that the budget has epochs for; infinite where there is none."""
        config = self._context.config
        if config.budget is None:
            return math.inf
        left = epochs_left(config, Spent.by(self._context.reader))
        return max(0, (left - self.cost.promised_elsewhere) // config.epochs)

    def _promise(self, runs: int) -> bool:
        """Promise the epochs of some runs to them, if there are enough."""
        is_enough = runs <= self.affordable
        if is_enough:
            self.cost.promise(runs * self._context.config.epochs)
        return is_enough

    def write(self) -> None:
        """Write the runs of the candidates, in the order of their trials and seeds."""
        value, decides = self._metric.name, self._column(self._decides)
        rows = [
            row | {decides: row[value]}
            for trial in sorted(self._keys)
            for index in range(len(self._seeds))
            if (row := self._row(trial, index)) is not None
        ]
        values = (value, self._column("best"), self._column("final"), *self._beside)
        write_whole(self._path, frame_to_csv(_frame(rows, values)))

    def _column(self, question: Question) -> str:
        return self._metric.named(f"{question}_value")

    def _row(self, trial: int, index: int) -> dict[str, Any] | None:
        return self._runs.get((self._keys[trial], self._seeds[index]))

    def _spec(self, number: int, trial: int, index: int) -> TrialSpec:
        spec = trial_spec(self._context.config, trial, self._suggestions[trial])
        name = f"confirm-{trial}-{index}"
        return replace(spec, number=number, seed=self._seeds[index], name=name)

    def _keep(self, trial: int, index: int, record: TrialRecord) -> None:
        self.trained += 1
        self.cost.add(len(record.curve), promised=self._context.config.epochs)
        objective, metric = self._context.config.objective, self._metric
        asked = other(self._decides)
        by_other = record.answer(asked, objective, metric)
        told = {} if record.reason else beside_metric(record, self._context.config)
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
            **suggestion.params,
            metric.name: None if record.reason else record.value(objective, metric),
            self._column(asked): None if record.reason else by_other,
            **{name: told.get(name) for name in self._beside},
            "best_epoch": None if record.reason else record.best_epoch(objective, metric),
            "epochs_run": len(record.curve),
            "reason": record.reason,
            "key": key,
        }
        self.write()


def _key(context: RunContext, suggestion: Suggestion) -> str:
    """What a run depends on beside its seed, in a few characters."""
    parts = [
        suggestion.schedule.to_dict(),
        suggestion.momentum,
        suggestion.weight_decay,
        context.config.comparable(),
        context.data.fingerprint if context.data else None,
        *([dict(suggestion.params)] if suggestion.params else []),
    ]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _frame(rows: Sequence[dict[str, Any]], values: Sequence[str]) -> pd.DataFrame:
    last = [*values, "best_epoch", "epochs_run", "reason", "key"]
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
