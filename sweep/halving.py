"""Our own pruner: at a few epochs, only the better part of all trials goes on."""

from __future__ import annotations

import math

import optuna
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial


class HalvingPruner(BasePruner):
    """Asynchronous successive halving (Li et al., arXiv 1810.05934) at epochs of one's choice.

    Optuna's SuccessiveHalvingPruner ties the share that goes on to the distance between the
    comparisons: with the better half it must compare at every doubling. Here both are free.

    At a rung, a trial goes on if fewer than `keep` times the number of trials that have a value
    there, itself included, are better than it; the best always goes on, and so do its equals. A
    value that is no number ends the trial. Nothing waits for trials that have completed, so it
    does the same however many are in flight.

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
        trials = study.get_trials(deepcopy=False)
        others = [
            other.intermediate_values[epoch]
            for other in trials
            if other.number != trial.number and epoch in other.intermediate_values
        ]
        minimize = study.direction == StudyDirection.MINIMIZE
        better = sum(other < value if minimize else other > value for other in others)
        places = math.floor((len(others) + 1) * self._shares[epoch] + 1e-9)
        return better >= max(places, 1)
