"""Searches as a script for Optuna does them: ask, train, report every epoch, prune, tell.

The trials of one search are trained one after the other, and what it hands over with a smaller
budget is what it has when so many epochs are spent. Many searches go on side by side.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import optuna
from budget_tasks import EPOCHS, Task
from optuna import pruners, samplers
from optuna.trial import TrialState
from spaces import suggest

from sweep.schedules.schedule import Schedule
from sweep.study.space import Suggestion
from sweep.training.contract import EpochResult
from sweep.training.specs import trial_spec

Chosen = tuple[samplers.BaseSampler, pruners.BasePruner]


def _tpe(seed: int) -> samplers.BaseSampler:
    return samplers.TPESampler(seed=seed)


PEERS: dict[str, Callable[[int], Chosen]] = {
    "random": lambda seed: (samplers.RandomSampler(seed), pruners.NopPruner()),
    "tpe": lambda seed: (_tpe(seed), pruners.NopPruner()),
    "tpe-median": lambda seed: (_tpe(seed), pruners.MedianPruner()),
    "tpe-hyperband": lambda seed: (_tpe(seed), pruners.HyperbandPruner(1, EPOCHS)),
    "gp": lambda seed: (samplers.GPSampler(seed=seed), pruners.NopPruner()),
}
"""Sampler and pruner of each, by the search's number."""


class PeerSearch:
    """One search and what it hands over.

    Args:
        task: What is trained.
        method: Of PEERS.
        number: The search's; its sampler's seed.
        budgets: In whole trainings.
    """

    def __init__(self, task: Task, method: str, number: int, budgets: Sequence[int]) -> None:
        sampler, pruner = PEERS[method](number)
        # Hyperband draws a trial's bracket from the study's name.
        name = f"{task.name}-{number}"
        self.number = number
        self.config = task.config(number)
        self.handed_over: dict[int, dict[str, Any]] = {}
        self._study = optuna.create_study(study_name=name, sampler=sampler, pruner=pruner)
        self._task = task
        self._budgets = budgets
        self._spent = 0
        self._schedules: list[Schedule] = []

    @property
    def is_over(self) -> bool:
        """Whether the largest budget is spent."""
        return self._spent >= max(self._budgets) * EPOCHS

    def ask(self) -> tuple[int, Schedule]:
        """The next trial, its number and schedule."""
        self._trial = self._study.ask()
        self._best = math.inf
        self._schedules.append(suggest(self._trial, self._task.optimizer))
        return self._trial.number, self._schedules[-1]

    def hear(self, epoch: int, value: float) -> bool:
        """Take an epoch's value, NaN if training failed; whether the trial goes on."""
        self._spent += 1
        has_diverged = not math.isfinite(value)
        if not has_diverged:
            self._best = min(self._best, value)
            self._trial.report(value, epoch)
        goes_on = False
        if has_diverged or (epoch < EPOCHS and self._trial.should_prune()):
            self._study.tell(self._trial, state=TrialState.PRUNED)
        elif epoch == EPOCHS:
            self._study.tell(self._trial, self._best)
        else:
            goes_on = True
        budget, rest = divmod(self._spent, EPOCHS)
        if not rest and budget in self._budgets:
            schedule = self._schedules[self._best_trial()].to_dict()
            trials = len(self._schedules)
            self.handed_over[budget] = {"schedule": schedule, "trials": trials}
        return goes_on

    def _best_trial(self) -> int:
        """The best that has completed; if none has, that with the lowest value reported."""
        trials = self._study.get_trials(deepcopy=False)
        completed = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        if completed:
            return self._study.best_trial.number
        lowest = [min(trial.intermediate_values.values(), default=math.inf) for trial in trials]
        return lowest.index(min(lowest))


def run_peers(
    task: Task, method: str, searches: Sequence[int], budgets: Sequence[int]
) -> Iterator[PeerSearch]:
    """Searches, each as it is over.

    Give a loop of one's own a single one: loops that take turns share torch's random numbers.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    engine = task.engine(len(searches))
    numbers = itertools.count()
    running: dict[int, PeerSearch] = {}

    def begin(search: PeerSearch) -> None:
        number, schedule = search.ask()
        lane = next(numbers)
        engine.add(replace(trial_spec(search.config, number, Suggestion(schedule)), number=lane))
        running[lane] = search

    for number in searches:
        begin(PeerSearch(task, method, number, budgets))
    while running:
        for result in engine.train_epoch():
            search = running[result.number]
            value = result.value if isinstance(result, EpochResult) else math.nan
            goes_on = search.hear(result.epoch, value)
            if goes_on and not search.is_over:
                continue
            engine.remove(result.number)
            del running[result.number]
            if search.is_over:
                yield search
            else:
                begin(search)
