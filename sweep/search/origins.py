"""Where trials come from that no sampler has drawn: another study, or the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from sweep.base.errors import ScheduleError
from sweep.schedules.schedule import Schedule
from sweep.search.attributes import number, table, text, whole_number
from sweep.study.baselines.points import parameters_of
from sweep.study.baselines.reading import Baseline
from sweep.study.space import Space, Suggestion, Value

SOURCE = "warm_start"
"""The attribute of a study whose first trials come from another one."""
BASELINE = "baseline"
"""The attribute of a trial of the user's own schedule: what it is called."""
_GIVEN = "baseline_trained_with"
"""All that such a trial is trained with, whether or not its study's space holds it."""


@dataclass(frozen=True)
class Source:
    """The study that trials were carried over from.

    Args:
        study: Its name; its folder if the names are the same.
        epochs: Of a whole trial there.
        maximize: Whether more is better there.
    """

    study: str
    epochs: int
    maximize: bool

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> Source | None:
        """From a study's attributes; None if its trials are all its own."""
        found = table(attributes, SOURCE)
        epochs = whole_number(found, "epochs")
        if epochs is None:
            return None
        return cls(text(found, "study"), epochs, found.get("maximize") is True)


@dataclass(frozen=True)
class CarriedFrom:
    """Where a trial comes from that another study has trained before.

    Args:
        study: The other study.
        trial: Its number there.
        value: What it came to there; None if it was stopped early.
    """

    study: str
    trial: int
    value: float | None

    @property
    def attributes(self) -> dict[str, Any]:
        """As they stand with the trial in the storage."""
        return {"from_study": self.study, "from_trial": self.trial, "from_value": self.value}

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> CarriedFrom | None:
        """From a trial's attributes; None if it comes from nowhere else."""
        trial = whole_number(attributes, "from_trial")
        if trial is None:
            return None
        return cls(text(attributes, "from_study"), trial, number(attributes, "from_value"))


def carry_over(study: optuna.Study, parameters: Mapping[str, Value], origin: CarriedFrom) -> None:
    """Let a trial of another study be trained in this one."""
    study.enqueue_trial(dict(parameters), user_attrs=origin.attributes)


def enqueue_baseline(study: optuna.Study, baseline: Baseline, space: Space | None) -> None:
    """Let a schedule of the user's own be trained.

    Where the space holds it, it has its parameters there, and the sampler learns from it. Else it
    has none, and samplers do not see it: it is at no point that they could draw.

    Args:
        study: Where.
        baseline: The schedule.
        space: The study's space; None if its sampler is not to learn from it.
    """
    parameters = parameters_of(space, baseline.suggestion) if space else None
    attributes = baseline_attributes(baseline.name, baseline.suggestion)
    study.enqueue_trial(parameters or {}, user_attrs=attributes)


def baseline_attributes(name: str, suggestion: Suggestion) -> dict[str, Any]:
    """What marks a trial of the user's own schedule in the storage."""
    given = {
        **vars(suggestion),
        "schedule": suggestion.schedule.to_dict(),
        "params": dict(suggestion.params),
    }
    return {BASELINE: name, _GIVEN: given}


def given_parameters(trial: FrozenTrial) -> dict[str, Value]:
    """The parameters that a trial was given instead of being drawn."""
    return dict(trial.system_attrs.get("fixed_params", {}))


def given_suggestion(trial: FrozenTrial | optuna.Trial) -> Suggestion | None:
    """What a trial of the user's own schedule is trained with; None for all others."""
    given = table(trial.user_attrs, _GIVEN)
    try:
        schedule = Schedule.from_dict(given.get("schedule", {})) if given else None
    except (ScheduleError, TypeError):
        return None
    if schedule is None:
        return None
    momentum, weight_decay = number(given, "momentum"), number(given, "weight_decay")
    return Suggestion(schedule, momentum, weight_decay, table(given, "params"))


def is_outside(trial: FrozenTrial) -> bool:
    """Whether a trial is of the user's own schedule, and at no point of its study's space."""
    return BASELINE in trial.user_attrs and not given_parameters(trial)
