"""Samplers by name: how the next trial's parameters are chosen."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import optuna
from optuna.samplers import BaseSampler

from sweep.base.errors import StudyFileError
from sweep.base.user_code import load_object
from sweep.base.wording import counted, verb
from sweep.search.strategies.arguments import build
from sweep.search.strategies.family_sampler import FamilyPlan, FamilySampler
from sweep.search.strategies.within_space import WithinSpace
from sweep.search.trials import Trial
from sweep.study.registries.samplers import SAMPLERS
from sweep.study.sections import SamplerConfig
from sweep.study.settings import StudyConfig
from sweep.study.space import Value

GRID_POINTS = 3
"""Values a dimension in a grid, unless the study file says otherwise."""


def build_sampler(
    config: SamplerConfig, seed: int, trials_before: int, plan: FamilyPlan
) -> BaseSampler:
    """The sampler of a name: ours, or one of Optuna's.

    `grid` has none: its points are enqueued when the study is created, and the sampler that
    this returns for it is never asked.

    Args:
        config: The name, and arguments for the sampler's class.
        seed: The study's.
        trials_before: Trials that the study already has. A continued study must not draw its
            first trials again, so this counts into the seed, unless the sampler draws on by itself.
        plan: What is searched, and how fairly.

    Raises:
        StudyFileError: An argument is unknown or refused.
    """
    if config.name == "grid":
        grid_points(config)
        return optuna.samplers.RandomSampler(seed=seed + trials_before)
    entry = SAMPLERS[config.name]
    entry = (entry.fair if plan.fair else None) or entry
    kind = load_object(str(entry.kind))
    is_ours = kind is FamilySampler
    defaults = {"plan": plan, **entry.defaults} if is_ours else entry.defaults
    arguments = {"seed": seed} | config.arguments
    if not entry.draws_on and isinstance(arguments["seed"], int):
        arguments["seed"] += trials_before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: BaseSampler = build(kind, "sampler", defaults, arguments)
    return sampler if is_ours else WithinSpace(sampler)


def family_plan(config: StudyConfig) -> FamilyPlan:
    """What a study's sampler must know of it."""
    return FamilyPlan(config.search_space, config.trials, config.fair)


def first_trials(config: StudyConfig, trials: Sequence[Trial] = ()) -> list[dict[str, Value]]:
    """The trials that are enqueued before a study's sampler is asked for any.

    The grid is nothing but such trials, and the family sampler sees to its own. The others do not
    know which schedulers have had their share, so each scheduler gets its minimum in advance, with
    all parameters given: a joint model draws the rest of a trial as if its scheduler were open.

    Args:
        config: The study's settings.
        trials: Those that it has already. What is left of a grid is what they leave; beside any,
            other samplers are told nothing. Schedules of the user's own are apart.
    """
    space, name = config.search_space, config.sampling.name
    trials = [trial for trial in trials if not trial.baseline]
    if name == "grid":
        had = {_same_point(trial.enqueued or trial.parameters) for trial in trials}
        every = space.grid(grid_points(config.sampling), config.seed)
        return [point for point in every if _same_point(point) not in had]
    if trials or name == "family" or config.fair or len(space.schedulers) == 1:
        return []
    return FamilySampler(family_plan(config), seed=config.seed).first_trials()[: config.trials]


def reachable_trials(config: StudyConfig, trials: Sequence[Trial] = ()) -> int:
    """How many trials a study can have: those that it asks for, unless its grid has fewer.

    Schedules of the user's own are among them; those that came to a study later may be too many.

    Args:
        config: The study's settings.
        trials: Those that it has already.
    """
    total = config.trials
    if config.sampling.name == "grid":
        points = len(trials) + len(first_trials(config, trials))
        total = points if config.budget is not None else min(total, points)
    return max(total, len(trials)) if any(trial.baseline for trial in trials) else total


def grid_note(config: StudyConfig, trials: Sequence[Trial] = ()) -> str:
    """How the grid and the number of trials fit, in a sentence; empty if nothing is to be said.

    Args:
        config: The study's settings.
        trials: Those that it has already.
    """
    if config.sampling.name != "grid":
        return ""
    points = counted(len(first_trials(config)), "point")
    left = len(first_trials(config, trials))
    total = len(trials) + left
    if config.budget is not None:
        return f"the grid has {points}; they are tried as long as the budget allows"
    if total > config.trials:
        return (
            f"the grid has {points}, more than {counted(config.trials, 'trial')} can try: those "
            f"that are tried are spread over it; --trials {total} tries all"
        )
    if total == config.trials:
        return ""
    return f"the grid has {points}: {counted(total, 'trial')} {verb(total, 'is', 'are')} run"


def _same_point(parameters: Mapping[str, Value]) -> frozenset[tuple[str, Value]]:
    """A point of a grid, whatever another machine has made of its last digits."""
    return frozenset(
        (name, value if isinstance(value, str) else float(f"{value:.12g}"))
        for name, value in parameters.items()
    )


def grid_points(config: SamplerConfig) -> int:
    """How many values a dimension the grid sampler takes.

    Raises:
        StudyFileError: `points` is no whole number above 0, or there are other arguments.
    """
    arguments = config.arguments
    points = arguments.pop("points", GRID_POINTS)
    if arguments:
        raise StudyFileError(f"sampler.{next(iter(arguments))}: the grid has one argument: points")
    if type(points) is not int or points < 1:
        raise StudyFileError(
            f"sampler.points: expected a whole number of at least 1, got {points!r}"
        )
    return points
