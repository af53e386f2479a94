"""Which studies do without auditions, though their pruner is the one that has them."""

from __future__ import annotations

import optuna

from sweep.search.storage.optuna_private import trial_ids
from sweep.search.strategies.pruners import build_pruner
from sweep.search.strategies.samplers import build_sampler, family_plan
from sweep.study.settings import StudyConfig

FEWEST_STEPS = 96
"""Optimizer steps that an audition must have: with fewer, too high rates look best."""


def without_auditions(config: StudyConfig) -> StudyConfig:
    """The same study, its trials compared as they train.

    Where it has a budget, fewer trials come of it, for which `auto` may be another sampler.
    """
    pruner = config.pruner.model_copy(update={"name": "halving"})
    return config.model_copy(update={"pruner": pruner}).expecting_trials()


def knowing_steps(config: StudyConfig, steps_per_epoch: int) -> tuple[StudyConfig, str]:
    """The study as it is run where the optimizer steps of an epoch are known.

    Returns:
        Its settings, and in a sentence why there are no auditions, if that is the reason.
    """
    steps = config.audition_epochs * steps_per_epoch
    if not steps or steps >= FEWEST_STEPS:
        return config, ""
    return without_auditions(config), too_few(steps)


def too_few(steps: int) -> str:
    """That an audition would have too few optimizer steps."""
    return (
        f"trials have no audition, for it would have {steps} optimizer steps, too few to tell "
        "anything of the whole schedule: they are compared as they train (pruner halving)"
    )


def go_on_without_auditions(study: optuna.Study, config: StudyConfig) -> StudyConfig:
    """Give a study the pruner of one whose trials have no auditions, and the sampler for as many.

    Returns:
        Its settings from now on.
    """
    config = without_auditions(config)
    trials_before = len(trial_ids(study))
    study.sampler = build_sampler(config.sampling, config.seed, trials_before, family_plan(config))
    study.pruner = build_pruner(config.pruning, config.epochs)
    return config
