"""A study that has begun with auditions, and goes on without."""

from __future__ import annotations

import optuna

from sweep.search.strategies.pruners import build_pruner
from sweep.search.strategies.samplers import build_sampler, family_plan
from sweep.study.auditions import without_auditions
from sweep.study.settings import StudyConfig


def go_on_without_auditions(study: optuna.Study, config: StudyConfig) -> StudyConfig:
    """Give a study the sampler and the pruner of one whose trials have no auditions.

    Returns:
        Its settings from now on.
    """
    config = without_auditions(config)
    trials_before = len(study.get_trials(deepcopy=False))
    study.sampler = build_sampler(config.sampling, config.seed, trials_before, family_plan(config))
    study.pruner = build_pruner(config.pruning, config.epochs)
    return config
