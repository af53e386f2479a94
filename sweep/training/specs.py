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
    searched = {"momentum": suggestion.momentum, "weight_decay": suggestion.weight_decay}
    drawn = {name: value for name, value in searched.items() if value is not None}
    settings = OptimizerSettings(optimizer.name, **{**optimizer.arguments, **drawn})
    drawn_as = number if completed is None else completed
    seed = config.seed if config.shares_seed else mix(config.seed, 4, drawn_as)
    return TrialSpec(number, seed, suggestion.schedule, settings, suggestion.params)
