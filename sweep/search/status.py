"""Where a sweep stands: how many trials ended how, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.search.completion import completes, standing_for_themselves
from sweep.search.trials import has_diverged
from sweep.study.metric import MSE, Metric


class Lane(NamedTuple):
    """A trial in training: its number, its scheduler, and the epochs that are known of it."""

    number: int
    scheduler: str
    epochs: int


class Family(NamedTuple):
    """How many trials of a scheduler have ended, and the best of those that completed."""

    ended: int
    best: FrozenTrial | None


@dataclass(frozen=True)
class Status:
    """Where a sweep stands.

    Args:
        total: Trials asked for.
        completed: Trials trained to their last epoch, earlier runs included.
        pruned: Trials stopped early by the pruner.
        diverged: Trials whose loss or gradient became infinite or NaN.
        failed: Trials that raised.
        running: Trials in training now.
        best: The best completed trial, or None.
        epochs: Epochs trained in this run.
        elapsed_secs: Since this run's first trial was handed out.
        remaining_secs: Estimate from the trials of this run, and from its time limit; None before
            the first has ended where there is no limit.
        lanes: The trials in training, by number.
        course: The best value after each trial that has completed; it grows while the sweep runs.
        families: What became of each scheduler, by name.
    """

    total: int
    completed: int
    pruned: int
    diverged: int
    failed: int
    running: int
    best: FrozenTrial | None
    epochs: int
    elapsed_secs: float
    remaining_secs: float | None
    lanes: tuple[Lane, ...]
    course: Sequence[float]
    families: Mapping[str, Family]

    @property
    def finished(self) -> int:
        """Trials that have ended, in whatever way."""
        return self.completed + self.pruned + self.diverged + self.failed


@dataclass
class Tally:
    """How many trials a study has of each kind, and its best one.

    One that has been trained to its end after it was pruned is counted as that, and once.
    `to_complete` are those that wait for it.
    """

    started: int = 0
    to_complete: int = 0
    completed: int = 0
    pruned: int = 0
    diverged: int = 0
    failed: int = 0
    best: FrozenTrial | None = None
    metric: Metric = MSE
    course: list[float] = field(default_factory=list)
    families: dict[str, Family] = field(default_factory=dict)

    @classmethod
    def of(cls, study: optuna.Study, metric: Metric) -> Tally:
        """Counted from the storage."""
        trials = study.get_trials(deepcopy=False)
        states = [(trial.state, completes(trial) is None) for trial in trials]
        started = sum(state != TrialState.WAITING and counts for state, counts in states)
        tally = cls(started, states.count((TrialState.WAITING, False)), metric=metric)
        for trial in standing_for_themselves(trials):
            tally.count(trial)
        return tally

    def count(self, trial: FrozenTrial) -> None:
        """Take in a trial that has ended; others do not count."""
        if trial.state == TrialState.COMPLETE:
            self.completed += 1
            self.best = self._better(self.best, trial)
            self.course.append(self.best.values[0])
        elif trial.state == TrialState.PRUNED and has_diverged(trial):
            self.diverged += 1
        elif trial.state == TrialState.PRUNED:
            self.pruned += 1
        elif trial.state == TrialState.FAIL:
            self.failed += 1
        if trial.state.is_finished():
            self._count_in_family(trial)

    def _count_in_family(self, trial: FrozenTrial) -> None:
        """A study of one scheduler does not record it: its family has no name."""
        name = str(trial.params.get("scheduler", ""))
        ended, best = self.families.get(name, (0, None))
        if trial.state == TrialState.COMPLETE:
            best = self._better(best, trial)
        self.families[name] = Family(ended + 1, best)

    def _better(self, one: FrozenTrial | None, other: FrozenTrial) -> FrozenTrial:
        """The better of two completed trials, in whatever order they have ended."""
        rank = self.metric.rank
        return min(one or other, other, key=lambda trial: rank(trial.values[0], trial.number))
