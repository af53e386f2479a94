"""What an engine is told of a trial."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from sweep.study.settings import StudyConfig
from sweep.study.space import Suggestion
from sweep.study.training.optimizer import BatchSize
from sweep.training.contract import OptimizerSettings, TrialSpec
from sweep.training.seeds import mix


@dataclass(frozen=True)
class LaneKind:
    """What trials must have in common to be trained side by side as lanes.

    Args:
        optimizer: Its name.
        batch_size: Rows a step; `full` for all of them, the study's if left out.
    """

    optimizer: str
    batch_size: BatchSize | None = None

    @classmethod
    def of(cls, spec: TrialSpec) -> LaneKind:
        """That of a trial."""
        return cls(spec.optimizer.name, spec.batch_size)


def lane_kinds(config: StudyConfig) -> tuple[LaneKind, ...]:
    """Those that a study searches; of one optimizer, its batch sizes ascend."""
    optimizer = config.optimizer
    return tuple(LaneKind(*kind) for kind in product(optimizer.names, optimizer.batch_sizes))


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
    is_own = config.own_code is not None  # its parameters are told it, whatever their names
    optimizer = config.optimizer.of({} if is_own else suggestion.params)
    searched = {"momentum": suggestion.momentum, "weight_decay": suggestion.weight_decay}
    drawn = {name: value for name, value in searched.items() if value is not None}
    settings = OptimizerSettings(optimizer.names[0], **{**optimizer.arguments, **drawn})
    drawn_as = number if completed is None else completed
    seed = config.seed if config.shares_seed else mix(config.seed, 4, drawn_as)
    if is_own:
        return TrialSpec(number, seed, suggestion.schedule, settings, suggestion.params)
    several = config.optimizer.searched or suggestion.params
    batch_size = optimizer.batch_sizes[0] if several else None
    return TrialSpec(number, seed, suggestion.schedule, settings, batch_size=batch_size)
