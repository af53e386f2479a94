"""Our own pruner: at a few epochs, only the better part of all trials goes on."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from sweep.search.attributes import audition_horizon, completes
from sweep.search.storage.optuna_private import shown_trials
from sweep.search.storage.trial_list import numbered


class HalvingPruner(BasePruner):
    """Asynchronous successive halving (Li et al., arXiv 1810.05934) at epochs of one's choice.

    Optuna's SuccessiveHalvingPruner ties the share that goes on to the distance between the
    comparisons: with the better half it must compare at every doubling. Here both are free.

    At a rung, a trial goes on if fewer than `keep` times the number of trials that have a value
    there, itself included, are better than it; the best always goes on, and so do its equals. A
    value that is no number ends the trial. Nothing waits for trials that have completed, so it
    does the same however many are in flight. What auditions came to is compared with auditions of
    the same horizon alone, for an epoch of a whole trial is another thing.

    Args:
        rungs: The epochs, rising.
        keep: The share that goes on, above 0 and below 1: one for all rungs, or one for each.

    Raises:
        TypeError: An argument is neither a number nor a list of numbers.
        ValueError: A rung or a share is out of range, or there are more of one than of the other.
    """

    def __init__(self, rungs: list[int], keep: float | list[float] = 0.5) -> None:
        if not isinstance(rungs, list) or not all(type(rung) is int for rung in rungs):
            raise TypeError(f"rungs must be a list of epochs, but got {rungs=}")
        if any(low >= high for low, high in zip([0, *rungs], rungs, strict=False)):
            raise ValueError(f"rungs must rise from at least 1, but got {rungs=}")
        shares = keep if isinstance(keep, list) else [keep] * len(rungs)
        if not all(type(share) in (int, float) for share in shares):
            raise TypeError(f"keep must be a number or a list of numbers, but got {keep=}")
        if not all(0 < share < 1 for share in shares):
            raise ValueError(f"keep must be above 0 and below 1, but got {keep=}")
        if len(shares) != len(rungs):
            raise ValueError(f"keep must have a share for each rung, but got {rungs=}, {keep=}")
        self._shares = dict(zip(rungs, shares, strict=True))
        self._reported: WeakKeyDictionary[optuna.Study, _Reported] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        """Without what was read of studies: that cannot be pickled, and is soon read again."""
        return {name: value for name, value in vars(self).items() if name != "_reported"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._reported = WeakKeyDictionary()

    @property
    def shares(self) -> dict[int, float]:
        """The share that goes on at each rung."""
        return dict(self._shares)

    @property
    def rungs(self) -> frozenset[int]:
        """The epochs at which a trial may be stopped."""
        return frozenset(self._shares)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether a trial ends here."""
        epoch = trial.last_step
        if epoch is None or epoch not in self._shares:
            return False
        value = trial.intermediate_values[epoch]
        if math.isnan(value):
            return True
        reported = self._reported.get(study)
        if reported is None:
            reported = self._reported[study] = _Reported(self.rungs, _sign(study))
        better, others = reported.beside(study, trial, epoch, value)
        places = math.floor((others + 1) * self._shares[epoch] + 1e-9)
        return better >= max(places, 1)


class _Reported:
    """What a study's trials have reported at the rungs; each report is read once.

    Args:
        rungs: The epochs.
        sign: 1 where less is better, else -1.
    """

    def __init__(self, rungs: frozenset[int], sign: int) -> None:
        self._rungs = rungs
        self._sign = sign
        self._looked_at = 0
        self._open: dict[int, FrozenTrial | None] = {}  # as they were seen last
        self._taken: defaultdict[int, set[int]] = defaultdict(set)  # rungs of those, by number
        # by epoch, and whether it is an audition's horizon; rising
        self._losses: defaultdict[tuple[int, bool], list[float]] = defaultdict(list)

    def beside(
        self, study: optuna.Study, judged: FrozenTrial, epoch: int, value: float
    ) -> tuple[int, int]:
        """How many trials but this one are better at an epoch, and how many have a value there."""
        trials = shown_trials(study)
        count = trials[-1].number + 1 if trials else 0
        self._open |= dict.fromkeys(range(self._looked_at, count))
        self._looked_at = count
        for number, before in list(self._open.items()):
            trial = numbered(trials, number)
            if trial is not None and trial is not before:  # a change makes another object of it
                self._open[number] = trial
                self._take(trial, trials)
        losses = self._losses[epoch, audition_horizon(judged) == epoch]
        others = len(losses) - (epoch in self._taken[judged.number])
        return bisect_left(losses, self._sign * value), others

    def _take(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> None:
        """Read what a trial has reported since it was seen last."""
        taken = self._taken[trial.number]
        for rung in self._rungs & _own_epochs(trial, trials) - taken:
            taken.add(rung)
            insort(self._losses[rung, audition_horizon(trial) == rung], self._loss(trial, rung))
        if trial.state.is_finished():
            del self._open[trial.number], self._taken[trial.number]

    def _loss(self, trial: FrozenTrial, epoch: int) -> float:
        """Less is better; what is no number is worst."""
        value = trial.intermediate_values[epoch]
        return math.inf if math.isnan(value) else self._sign * value


def _own_epochs(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> set[int]:
    """The epochs that a trial has reported, without those of a pruned one that it completes."""
    completed = completes(trial)
    pruned = None if completed is None else numbered(trials, completed)
    return trial.intermediate_values.keys() - (pruned.intermediate_values if pruned else ())


def _sign(study: optuna.Study) -> int:
    return 1 if study.direction == StudyDirection.MINIMIZE else -1
