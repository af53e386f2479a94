"""What an engine is told of a trial."""

from __future__ import annotations

from sweep.study.settings import StudyConfig
from sweep.study.space import Suggestion
from sweep.training.contract import OptimizerSettings, TrialSpec
from sweep.training.seeds import mix


def trial_spec(
    config: StudyConfig, number: int, suggestion: Suggestion, completed: int | None = None
) -> TrialSpec:
    """What an engine is told of a trial: the study's settings and what was suggested.

    Args:
        config: The study's settings.
        number: The trial's.
        suggestion: What it is trained with.
        completed: The pruned trial that it trains to its end: it has that one's seed.
    """
    optimizer = config.optimizer
    default_decay = 0.01 if optimizer.name == "adamw" else 0.0  # torch's own defaults
    weight_decay = (suggestion.weight_decay, optimizer.weight_decay, default_decay)
    momentum = (suggestion.momentum, optimizer.momentum)
    settings = OptimizerSettings(
        name=optimizer.name,
        momentum=next(value for value in momentum if value is not None),
        nesterov=optimizer.nesterov,
        weight_decay=next(value for value in weight_decay if value is not None),
        betas=optimizer.betas,
        eps=optimizer.eps,
    )
    drawn_as = number if completed is None else completed
    seed = config.seed if config.shares_seed else mix(config.seed, 4, drawn_as)
    return TrialSpec(number, seed, suggestion.schedule, settings)
