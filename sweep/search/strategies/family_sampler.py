"""A sampler that chooses the scheduler first, and then what goes with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.search.attributes import completes, has_diverged
from sweep.search.origins import is_outside
from sweep.search.storage.optuna_private import shown_trials
from sweep.search.storage.trial_list import numbered
from sweep.search.strategies.axis import Axis
from sweep.search.strategies.lessons import Lessons, Others
from sweep.search.strategies.parzen import Floats, ParzenEstimator, recommended
from sweep.study.space import Space, Value

MOST_FIRST = 5
"""The most trials that a scheduler gets before the schedulers are compared."""
_FIRST_SHARE = 4
"""One trial in so many is spread evenly over the schedulers."""
_SPREAD_FIRST = 2
"""Trials of a scheduler that are spread over its space before its model is asked."""
_ENOUGH = 5
"""Completed trials before any model is asked: the first to end are those that were pruned."""
_CANDIDATES = 24
_TOP_SHARE = 0.05
_FLOOR = 0.2
_TEACHES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


def fair_minimum(trials: int, schedulers: int) -> int:
    """How many trials every scheduler gets at least, whatever its early luck.

    A quarter of the trials is spread evenly: at least 2 and at most MOST_FIRST each, and never
    more than there are.

    Args:
        trials: The study's total.
        schedulers: How many there are to choose from.
    """
    share = max(2, trials // (_FIRST_SHARE * schedulers))
    return min(share, MOST_FIRST, trials // schedulers)


@dataclass(frozen=True)
class FamilyPlan:
    """What a sampler of schedulers must know of its study.

    Args:
        space: What is searched.
        trials: The study's total.
        fair: Whether every scheduler gets the same number of trials, each tuned on its own.
    """

    space: Space
    trials: int
    fair: bool = False


class FamilySampler(BaseSampler):
    """Chooses the next trial's scheduler first, then its other parameters by a model of it.

    The scheduler: every one first gets `fair_minimum` trials, in turn. After that it is drawn with
    a probability that follows how often it is among the best twentieth of the trials, plus a
    floor, so that none is ever given up. In a fair study the schedulers take turns to the end.

    Its parameters: the first trials of a scheduler, and all until five have completed, are spread
    over its space; the next ones are drawn by a multivariate TPE (see `parzen`). It learns from
    the scheduler's own trials and, in the dimensions that both have, from those of the others;
    good are the best fifth of all, and the scheduler's own best. In a fair study a scheduler learns
    from its own trials alone. What a schedule ignores (decay of a constant rate, warm-up of
    one-cycle) has no part in its model, and others learn nothing from it. Trials that have not
    completed rank behind those that have, by how far they came; those in flight that have reported
    nothing count as poor ones, so that others beside them go elsewhere.

    A draw depends on the seed, the trial's number and the study's other trials, and on nothing
    that this process remembers: a study that is continued by another process, or run by several,
    is drawn as by one.

    Args:
        plan: The study's space, total and mode.
        seed: What draws derive from, together with a trial's number.
        learns: Whether parameters follow the trials before; all are random if not.
    """

    def __init__(self, plan: FamilyPlan, *, seed: int = 0, learns: bool = True) -> None:
        if seed < 0:
            raise ValueError(f"seed must be at least 0, but got {seed=}")
        space = plan.space
        self._seed = seed
        self._learns = learns
        self._fair = plan.fair
        self._names = space.schedulers
        self._minimum = fair_minimum(plan.trials, len(space.schedulers))
        self._random = optuna.samplers.RandomSampler(seed=seed)
        self._axes = {
            name: Axis(dimension)
            for name, dimension in space.dimensions().items()
            if name != "scheduler" and not dimension.fixed
        }
        self._rates = {name: Axis(rates) for name, rates in space.rates.items()}
        self._space = space
        self._columns = {name: column for column, name in enumerate(self._axes)}
        self._options = np.array([axis.options for axis in self._axes.values()], dtype=np.int64)
        self._asked = {
            scheduler: [name for name in space.dimensions_of(scheduler) if name in self._axes]
            for scheduler in self._names
        }
        self._used = np.array(
            [
                [name in self._asked[s] and name not in space.ignored_by(s) for name in self._axes]
                for s in self._names
            ],
            dtype=bool,
        ).reshape(len(self._names), len(self._axes))
        self._lessons = Lessons(len(self._axes), len(self._names))

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What may be asked of a trial: the scheduler, and every scheduler's parameters."""
        space = {name: axis.distribution() for name, axis in self._axes.items()}
        if len(self._names) > 1:
            space["scheduler"] = CategoricalDistribution(self._names)
        return space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The scheduler and its parameters, those that it ignores included."""
        if not search_space:
            return {}
        rng = np.random.default_rng((self._seed, trial.number))
        others = self._look(study, trial.number)
        family = self._family_of(trial)
        if family is None:
            family = self._next_family(others, rng)
        return self._parameters(family, self._next_point(family, others, rng))

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random value, for what is not in the study's space."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Nothing to do: a trial's number sets it apart from all others."""

    def first_trials(self) -> list[dict[str, Value]]:
        """The parameters of every scheduler's minimum of trials, spread over its space."""
        rounds = max(1, self._minimum)
        families = range(len(self._names))
        return [
            self._parameters(family, self._spread_point(family, turn))
            for turn in range(rounds)
            for family in families
        ]

    def _parameters(self, family: int, point: Floats) -> dict[str, Value]:
        """The values at a point, under the names that Optuna is asked for."""
        scheduler = self._names[family]
        values: dict[str, Value] = {"scheduler": scheduler} if len(self._names) > 1 else {}
        for name in self._asked[scheduler]:
            axis = self._axis(name, values.get("optimizer"))  # which is asked before
            values[name] = axis.value(float(point[self._columns[name]]))
        return values

    def _axis(self, name: str, optimizer: Any) -> Axis:
        """A dimension as a trial has it: of its optimizer's rates, a place is a place in them."""
        return self._rates.get(optimizer, self._axes[name]) if name == "lr" else self._axes[name]

    def _family_of(self, trial: FrozenTrial) -> int | None:
        """The position of a trial's scheduler; None if it has none yet, or is no part of this."""
        if is_outside(trial):
            return None
        if len(self._names) == 1:
            return 0
        fixed = trial.system_attrs.get("fixed_params", {})
        scheduler = trial.params.get("scheduler", fixed.get("scheduler"))
        return self._names.index(scheduler) if scheduler in self._names else None

    def _look(self, study: optuna.Study, number: int) -> Others:
        """What there is to know of all trials but the one of this number.

        Under Hyperband, `study` has those of one bracket alone; from them, the turns of every
        bracket would begin with the same points.
        """
        trials = shown_trials(study)
        known = self._lessons
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        count = trials[-1].number + 1 if trials else 0
        for open_one in known.open_ones(count):  # others stay the same
            trial = numbered(trials, open_one)
            if trial is None:
                known.leave_out(open_one)
                continue
            if not known.is_news(open_one, trial):
                continue
            known.learn(open_one, self._lesson_of(trial, _rank(trial, sign)))
            completed = completes(trial)
            if completed is not None:  # the two are one trial
                known.leave_out(completed if trial.state.is_finished() else open_one)
        return known.beside(number)

    def _lesson_of(self, trial: FrozenTrial, rank: tuple[float, float]) -> tuple[Any, ...]:
        """The fields of `_lesson`."""
        over = trial.state.is_finished()
        family = self._family_of(trial)
        if family is None:
            return over, -1, False, False, False, rank, [math.nan] * len(self._axes)
        has_value = trial.state != TrialState.RUNNING or bool(trial.intermediate_values)
        completed = trial.state == TrialState.COMPLETE
        row = self._row(trial, family)
        return over, family, trial.state in _TEACHES, has_value, completed, rank, row

    def _row(self, trial: FrozenTrial, family: int) -> list[float]:
        """A trial's coordinates; NaN where its schedule or optimizer ignores them or has none."""
        optimizer = trial.params.get("optimizer")
        ignored = self._space.ignored_by(self._names[family], optimizer)
        return [
            self._axis(name, optimizer).coordinate(trial.params[name])
            if used and name in trial.params and name not in ignored
            else math.nan
            for used, name in zip(self._used[family], self._axes, strict=True)
        ]

    def _next_family(self, others: Others, rng: np.random.Generator) -> int:
        fewest = int(np.argmin(others.started))
        if self._fair or others.started[fewest] < max(1, self._minimum):
            return fewest
        best = others.best_first[: math.ceil(_TOP_SHARE * len(others.best_first))]
        chances = np.bincount(others.families[best], minlength=len(self._names)) + _FLOOR
        return int(rng.choice(len(self._names), p=chances / chances.sum()))

    def _next_point(self, family: int, others: Others, rng: np.random.Generator) -> Floats:
        """Coordinates of all columns; random ones where the schedule ignores them."""
        point = rng.random(len(self._axes))
        used = self._used[family]
        if not self._learns or not used.any():
            return point
        known = others.families[others.best_first]
        unknown = others.completed < _ENOUGH or (self._fair and family not in known)
        if unknown or others.started[family] < _SPREAD_FIRST:
            return self._spread_point(family, int(others.started[family]))
        good, rest = (
            ParzenEstimator(others.rows[part][:, used], self._options[used])
            for part in others.split(family, alone=self._fair)
        )
        point[used] = recommended(good, rest, rng, _CANDIDATES)
        return point

    def _spread_point(self, family: int, turn: int) -> Floats:
        """A scheduler's point in its `turn`, from 0, of a sequence that fills its space evenly.

        The additive recurrence of M. Roberts, "The Unreasonable Effectiveness of Quasirandom
        Sequences" (2018), with the generalised golden ratio; a random start for each scheduler.
        """
        point = np.random.default_rng((self._seed, family, turn, 1)).random(len(self._axes))
        used = self._used[family]
        start = np.random.default_rng((self._seed, family, 2)).random(int(used.sum()))
        golden = 2.0
        for _ in range(30):
            golden = (1 + golden) ** (1 / (len(start) + 1))
        point[used] = (start + turn * golden ** -np.arange(1.0, len(start) + 1)) % 1.0
        return point


def _rank(trial: FrozenTrial, sign: float) -> tuple[float, float]:
    """Smaller is better: completed trials by value, pruned ones by how far they came, diverged.

    `sign` is -1 where a greater value is better.
    """
    if trial.state == TrialState.COMPLETE and trial.values:
        return (-math.inf, sign * trial.values[0])
    if has_diverged(trial):
        return (math.inf, math.inf)
    last = max(trial.intermediate_values, default=0)
    return (-last, sign * trial.intermediate_values.get(last, sign * math.inf))
