"""The sampler of studies whose trials have auditions, which it learns from."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from sweep.search.attributes import audition_horizon, has_diverged
from sweep.search.origins import is_outside
from sweep.search.storage.optuna_private import every_trial
from sweep.search.strategies.family_sampler import FamilyPlan, FamilySampler
from sweep.search.strategies.lessons import Others
from sweep.search.strategies.parzen import Floats
from sweep.study.training.optimizer import SEARCHED

RATES_FIRST = 8
"""Auditions that find the decade of the rate; nothing is decided before they are known."""
_FIRST_SCHEDULERS = ("cosine", "linear", "wsd", "onecycle", "exponential", "polynomial", "step")
"""Which schedule the rates are tried with: the first of these that is searched."""
_USUAL = {"decay": 0.01, "warmup": 0.05}
"""What else it has, as far as the ranges allow."""
_PRIOR = {"decay": (0.003, 0.03), "warmup": (0.03, 0.08)}
"""What good schedules are likely to have, until some are known: each counts as a good trial."""
_TOP_SHARE = 0.1


class AuditionSampler(FamilySampler):
    """Chooses what is auditioned next.

    First the decade of the rate is looked for: RATES_FIRST trials spread it evenly over its range,
    all with the same schedule and the middle of the other ranges; where optimizers or batch sizes
    are searched, these take turns. Then each scheduler gets a trial
    or two, and from there on it is drawn with a probability that follows how often it is among
    the best tenth, plus a floor.

    All of them are drawn by the model of `FamilySampler`, from the first rates on, with a mild
    prior: beside the good trials there are two more, with the rate of the best one, a low final
    rate and a short warm-up. It weighs less with every trial that is seen.

    Good are those that come first in this order: by their auditions, which all trials have; those
    that were compared once more change places among each other by what they came to there; those
    that have completed, by their values. So a trial that was trained on because it was begun early
    does not pass for a good one.

    Args:
        plan: The study's space, where its trials are compared, and to how many it may come.
        seed: What draws derive from, together with a trial's number.
    """

    def __init__(self, plan: FamilyPlan, *, seed: int = 0) -> None:
        self._compared = len(plan.comparisons) + 1
        super().__init__(plan, seed=seed)
        self._steps = plan.comparisons
        first = RATES_FIRST if "lr" in self._columns else 0
        self._rates_first = min(first, plan.trials // 2)
        schedulers = len(self._names)
        self._minimum = 1 if plan.trials < 8 * schedulers else 2

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The scheduler and its parameters, those that it ignores included."""
        turn = self._turn(study, trial)
        if not search_space or not _is_drawn(trial) or turn >= self._rates_first:
            return super().sample_relative(study, trial, search_space)
        usual = (name for name in _FIRST_SCHEDULERS if name in self._names)
        family = self._names.index(next(usual, self._names[0]))
        return self._parameters(family, self._first_point(turn))

    def _turn(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """How many trials were drawn before, counted up to the last of the first rates."""
        turn = 0
        for other in islice(every_trial(study), trial.number):
            turn += _is_drawn(other)
            if turn == self._rates_first:
                break
        return turn

    def _first_point(self, turn: int) -> Floats:
        """A rate in its turn, beside what is usual."""
        point = np.full(len(self._axes), 0.5)
        for name, value in _USUAL.items():
            if name in self._columns:
                point[self._columns[name]] = self._axes[name].nearest(value)
        rng = np.random.default_rng((self._seed, 3))
        place = int(rng.permutation(self._rates_first)[turn])
        point[self._columns["lr"]] = (place + rng.random()) / self._rates_first
        for name in SEARCHED if self._space.optimizers else ():  # they take turns along the rates
            if name in self._columns:
                place, option = divmod(place, self._axes[name].options)
                point[self._columns[name]] = (option + 0.5) / self._axes[name].options
        return point

    def _next_family(self, others: Others, rng: np.random.Generator) -> int:
        fewest = int(np.argmin(others.started))
        if others.started[fewest] < self._minimum:
            return fewest
        best = others.best_first[: math.ceil(_TOP_SHARE * len(others.best_first))]
        return self._drawn_family(others.families[best], rng)

    def _next_point(self, family: int, others: Others, rng: np.random.Generator) -> Floats:
        """Coordinates of all columns; random ones where the schedule ignores them."""
        point = rng.random(len(self._axes))
        used = self._used[family]
        if used.any():
            good, rest = (others.rows[part] for part in others.split(family, alone=False))
            good = np.vstack([good, self._prior(others)])
            point[used] = self._recommended(good[:, used], rest[:, used], self._options[used], rng)
        return point

    def _prior(self, others: Others) -> Floats:
        """What stands beside the good trials, (2, columns)."""
        rows = np.full((2, len(self._axes)), math.nan)
        for name, values in _PRIOR.items():
            if name in self._columns:
                rows[:, self._columns[name]] = [self._axes[name].nearest(v) for v in values]
        if "lr" in self._columns and len(others.best_first):
            column = self._columns["lr"]
            rows[:, column] = others.rows[others.best_first[0], column]
        return rows

    def _standing(self, trial: FrozenTrial, sign: float) -> tuple[float, ...]:
        """Its values at all comparisons and at its end, the less the better; NaN where none is.

        A diverged one has been everywhere, and was the worst.
        """
        if has_diverged(trial):
            return (math.inf,) * self._compared
        reports = trial.intermediate_values
        values = [sign * reports.get(step, math.nan) for step in self._steps]
        if values and audition_horizon(trial) != self._steps[0]:
            values[0] = math.nan  # of an epoch of the whole training
        completed = trial.state == TrialState.COMPLETE and bool(trial.values)
        return (*values, sign * trial.values[0] if completed else math.nan)

    def _order(self, standings: Floats) -> NDArray[np.int64]:
        """Positions of trials, (trials,), the best first; see the class."""
        known = ~np.isnan(standings)
        order = np.argsort(np.where(known[:, 0], standings[:, 0], np.inf), kind="stable")
        for column in range(1, self._compared):
            places = np.flatnonzero(known[order, column])
            among = order[places]
            order[places] = among[np.argsort(standings[among, column], kind="stable")]
        return order


def _is_drawn(trial: FrozenTrial) -> bool:
    """Whether a trial is not one whose parameters were given."""
    return not is_outside(trial) and "fixed_params" not in trial.system_attrs
