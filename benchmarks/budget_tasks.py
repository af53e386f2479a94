"""The tasks of budget.py: what is trained, and trainings of it in any number side by side."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from spaces import space_section
from tables import table

from sweep.data.load import load_dataset
from sweep.data.sources import give
from sweep.schedules.schedule import Schedule
from sweep.study.settings import StudyConfig
from sweep.study.space import Suggestion
from sweep.training.build import build_engine, build_loop_engine
from sweep.training.contract import Engine, EpochResult, LoopSettings, TrainingSettings
from sweep.training.seeds import mix
from sweep.training.specs import trial_spec

HERE = Path(__file__).parent
EPOCHS = 32
"""Of a whole training."""

_LANES = 24
_JUDGES = 0xB0D6
"""Seeds that schedules are judged by derive from it, and from nothing that a search knows."""


@dataclass(frozen=True)
class Task:
    """One model to be trained, on a table by the engine or by a loop of one's own.

    Args:
        name: What it is called in results.
        purpose: Whether rules were chosen by how they do on it, or are only judged there.
        optimizer: That of tables; a loop has its own of the same name.
        table: Of tables.py; empty for a loop.
        rows: How many of the table's there are, at most; four fifths are trained on.
        batch_size: Of a table; with it, an epoch has 50 to 100 steps.
        model: What is trained on a table.
    """

    name: str
    purpose: Literal["choose", "judge"]
    optimizer: str
    table: str = ""
    rows: int = 4_000
    batch_size: int = 32
    model: str = "mlp"

    def settings(self, seed: int) -> dict[str, Any]:
        """What a study file says of it, the data apart."""
        common = {"epochs": EPOCHS, "seed": seed, "space": space_section(self.optimizer)}
        if not self.table:
            loop = f"{HERE / 'budget_loops.py'}:{self.name}"
            return {**common, "loop": loop, "metric": "val_loss", "threads": 1}
        model = {"name": self.model} | ({"hidden": [32, 32]} if self.model == "mlp" else {})
        optimizer = {"name": self.optimizer, "batch_size": self.batch_size}
        return {**common, "model": model, "optimizer": optimizer}

    def data(self, seed: int) -> dict[str, Any]:
        """The table and its target, for `sweep.run_study`; nothing for a loop.

        A study's seed splits its rows. They are arranged so that each seed takes the same rows
        for validation: searches and judges would not be comparable otherwise.
        """
        if not self.table:
            return {}
        frame, target = _head(self.table, self.rows)
        taken = np.random.default_rng(seed).permutation(len(frame))
        arranged = frame.iloc[np.argsort(taken)].reset_index(drop=True)
        return {"data": arranged, "target": target}

    def config(self, seed: int) -> StudyConfig:
        """The settings of a study of it."""
        settings = self.settings(seed)
        if self.table:
            given = self.data(seed)
            settings["data"] = {"source": give(given["data"]), "target": given["target"]}
        return StudyConfig.model_validate(settings)

    def engine(self, lanes: int = 1) -> Engine:
        """What trains it."""
        torch.set_num_threads(1)
        if not self.table:
            return self._loop_engine()
        sets = [load_dataset((config := self.config(seed)).data, seed) for seed in (1, 0)]
        if not np.array_equal(sets[0].x_validation, sets[1].x_validation):
            raise SystemExit("studies split their rows in another way now: mend Task.data")
        return build_engine(sets[1], config.model, (), TrainingSettings.of(config), lanes=lanes)

    def _loop_engine(self) -> Engine:
        """That of a loop, once all that it imports is.

        Garbage is collected after each trial, which takes longer than these trainings if libraries
        are gone through, too.
        """
        config = self.config(0)
        engine = build_loop_engine(LoopSettings.of(config), (HERE,))
        engine.add(trial_spec(config, 0, Suggestion(Schedule("constant", 1e-3))))
        engine.train_epoch()
        engine.remove(0)
        gc.freeze()
        return engine


TASKS = {
    task.name: task
    for task in (
        Task("behaviour-sgd", "choose", "sgd", "behaviour_counts", 1_000, 16, "order-pre"),
        Task("diamonds-adamw", "choose", "adamw", "diamonds"),
        Task("randhie-sgd", "choose", "sgd", "randhie"),
        Task("digits", "choose", "sgd"),
        Task("diabetes-sgd", "judge", "sgd", "diabetes", 442, 4),
        Task("txhousing-sgd", "judge", "sgd", "txhousing"),
        Task("loans-adamw", "judge", "adamw", "loans"),
        Task("sunspots", "judge", "adamw"),
    )
}


@cache
def _head(name: str, rows: int) -> tuple[pd.DataFrame, str]:
    frame, target = table(name)
    return frame.head(rows), target


def fresh_values(task: Task, schedules: Iterable[Schedule], seeds: int) -> list[list[float]]:
    """What schedules come to on fresh seeds, the same ones for all.

    Returns:
        For each schedule and seed the lowest validation value over the epochs; infinite if there
        is none.
    """
    schedules = list(schedules)
    config, engine = task.config(0), task.engine(_LANES)
    waiting = iter(
        replace(
            trial_spec(config, place * seeds + index, Suggestion(schedule)),
            seed=mix(_JUDGES, index),
        )
        for place, schedule in enumerate(schedules)
        for index in range(seeds)
    )
    lowest = [[math.inf] * seeds for _ in schedules]
    running: set[int] = set()
    while True:
        for spec in itertools.islice(waiting, engine.lanes - len(running)):
            engine.add(spec)
            running.add(spec.number)
        if not running:
            return lowest
        for result in engine.train_epoch():
            place, index = divmod(result.number, seeds)
            is_trained = isinstance(result, EpochResult) and math.isfinite(result.value)
            if isinstance(result, EpochResult) and is_trained:
                lowest[place][index] = min(lowest[place][index], result.value)
            if not is_trained or result.epoch == EPOCHS:
                engine.remove(result.number)
                running.remove(result.number)
