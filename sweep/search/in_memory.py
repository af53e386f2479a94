"""A study's trials in memory, as Optuna's figures and importances are to see them."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from sweep.search.trials import Trial
from sweep.study.space import UNUSED, Range, Space, Value


def in_memory(
    study: optuna.Study,
    trials: Sequence[Trial],
    space: Space,
    names: Sequence[str] | None = None,
) -> optuna.Study:
    """A study of these trials that holds their parameters and values alone, in their order.

    All schedules share `decay` and `warmup` in the search, so a constant rate has drawn a decay
    that it ignores. Here it has that of its schedule: 1.

    Args:
        study: Theirs.
        trials: The first one becomes trial 0.
        space: What they were drawn from.
        names: The parameters to keep; all of them if None.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        found = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(verbosity)
    frozen = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    for trial in (frozen[trial.number] for trial in trials):
        kept = [name for name in trial.params if names is None or name in names]
        drawn = {name: _as_used(trial, name, space) for name in kept}
        found.add_trial(
            optuna.create_trial(
                state=trial.state,
                value=trial.value if trial.state == TrialState.COMPLETE else None,
                params={name: value for name, (value, _) in drawn.items()},
                distributions={name: distribution for name, (_, distribution) in drawn.items()},
            )
        )
    return found


def _as_used(trial: FrozenTrial, name: str, space: Space) -> tuple[Value, BaseDistribution]:
    """A parameter of a trial as its schedule uses it, and a distribution that holds it.

    The distribution is the same in all trials of a study, as Optuna's importances want it.
    """
    value, distribution = trial.params[name], trial.distributions[name]
    ignoring = [scheduler for scheduler in space.schedulers if name in space.ignored_by(scheduler)]
    if name == "lr" and space.rates:
        all_rates = space.shared[name]
        assert isinstance(all_rates, Range)
        return value, FloatDistribution(all_rates.low, all_rates.high, log=all_rates.log)
    if not ignoring or isinstance(distribution, IntDistribution):
        return value, distribution
    unused = UNUSED[name]
    is_ignored = trial.params.get("scheduler", space.schedulers[0]) in ignoring
    used = unused if is_ignored else value
    if isinstance(distribution, CategoricalDistribution):
        return used, CategoricalDistribution(tuple(dict.fromkeys([*distribution.choices, unused])))
    assert isinstance(distribution, FloatDistribution)
    if distribution.log and unused <= 0:  # a range of ratios has no place for it
        return value, distribution
    low, high = min(distribution.low, unused), max(distribution.high, unused)
    return used, FloatDistribution(low, high, log=distribution.log)
