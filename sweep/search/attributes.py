"""Attributes of trials and studies, as far as they are what they should be.

Whoever can write to a storage can put anything there; what is of another type is as good as not
there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

import optuna
from optuna.trial import FrozenTrial

from sweep.search.storage.optuna_private import set_trial_attribute
from sweep.study.metric import Metric
from sweep.study.sections import Objective
from sweep.training.divergence import is_divergence
from sweep.training.record import CURVE_COLUMNS, Audition, TrialRecord, json_number

COMPLETES = "completes_trial"
"""The attribute that names the pruned trial which a trial trains to its end."""
TRACEBACK = "traceback"
"""Of a trial that raised."""
TOTAL_STEPS = "total_steps"
"""A trial's optimizer steps, where its own loop has told them."""
ADVICE = "advice"
"""What is wrong with the steps and rates of a trial that the user's own code has trained."""
_CURVE = "sweep:curve"
_AUDITION = "sweep:audition"
_HAS_PASSED = "sweep:has_passed_audition"
_METRICS = "sweep:metrics"


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that a float can hold, and finite."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max


def number(attributes: Mapping[str, Any], name: str) -> float | None:
    """A finite number."""
    value = attributes.get(name)
    return value if is_number(value) else None


def whole_number(attributes: Mapping[str, Any], name: str) -> int | None:
    """A whole number of at least 0."""
    value = number(attributes, name)
    return value if isinstance(value, int) and 0 <= value < 2**63 else None


def text(attributes: Mapping[str, Any], name: str) -> str:
    """A text; empty if there is none."""
    value = attributes.get(name)
    return value if isinstance(value, str) else ""


def table(attributes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A table; empty if there is none."""
    value = attributes.get(name)
    return value if isinstance(value, dict) else {}


def has_diverged(frozen: FrozenTrial) -> bool:
    """Whether a trial was stopped because a loss or gradient was not finite."""
    return is_divergence(text(frozen.user_attrs, "reason"))


def completes(trial: FrozenTrial | optuna.Trial) -> int | None:
    """The number of the pruned trial that a trial trains to its end; None for all others."""
    return whole_number(trial.user_attrs, COMPLETES)


def write_record(
    trial: optuna.Trial,
    record: TrialRecord,
    objective: Objective,
    variance: float,
    metric: Metric,
) -> None:
    """Keep a record with a trial that is about to be told."""
    for name, value in record.user_attributes(objective, variance, metric).items():
        trial.set_user_attr(name, value)
    set_trial_attribute(trial, _CURVE, _json_rows(record.curve))
    if record.metrics:
        told = {name: [*map(json_number, column)] for name, column in record.metrics.items()}
        set_trial_attribute(trial, _METRICS, told)


def read_record(frozen: FrozenTrial) -> TrialRecord:
    """The record of a trial that has ended; an empty one if it has none, or a damaged one."""
    rows = frozen.system_attrs.get(_CURVE)
    attributes = frozen.user_attrs
    seed, reason = whole_number(attributes, "seed") or 0, text(attributes, "reason")
    audition = _audition(frozen)
    if not _are_rows(rows):
        return TrialRecord(seed, (), reason, audition=audition)
    curve = _curve(rows)
    return TrialRecord(seed, curve, reason, _metrics(frozen, len(curve)), audition)


def write_audition(trial: optuna.Trial, audition: Audition, metric: Metric) -> None:
    """Keep an audition with a trial that is in training."""
    value = None if audition.value is None else json_number(audition.value)
    about = {"epochs": audition.epochs, "value": value, "curve": _json_rows(audition.curve)}
    set_trial_attribute(trial, _AUDITION, about)
    trial.set_user_attr(f"audition_{metric.name}", value)


def write_passed(trial: optuna.Trial) -> None:
    """Keep that a trial's audition has been decided on, and that it goes on."""
    set_trial_attribute(trial, _HAS_PASSED, True)


def has_passed(frozen: FrozenTrial) -> bool:
    """Whether a trial's audition has been decided on, so that the whole trial is trained."""
    return frozen.system_attrs.get(_HAS_PASSED) is True


def audition_horizon(frozen: FrozenTrial) -> int | None:
    """The epochs of a trial's audition, the step of its report; None if it has had none."""
    return whole_number(table(frozen.system_attrs, _AUDITION), "epochs")


def _audition(frozen: FrozenTrial) -> Audition | None:
    """A trial's audition; None if it has had none, or it is damaged."""
    about = table(frozen.system_attrs, _AUDITION)
    epochs, rows = whole_number(about, "epochs"), about.get("curve")
    if not epochs or not _are_rows(rows):
        return None
    return Audition(epochs, _curve(rows), number(about, "value"))


def _metrics(frozen: FrozenTrial, epochs: int) -> dict[str, tuple[float, ...]]:
    """What was told beside the metric, as far as it is a number for each epoch."""
    return {
        name: tuple(math.nan if value is None else float(value) for value in column)
        for name, column in table(frozen.system_attrs, _METRICS).items()
        if isinstance(name, str)
        and isinstance(column, list)
        and len(column) == epochs
        and all(value is None or is_number(value) for value in column)
    }


def texts(attributes: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts; empty if there is none."""
    value = attributes.get(name)
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _json_rows(curve: Iterable[Iterable[float]]) -> list[list[float | None]]:
    return [[json_number(value) for value in row] for row in curve]


def _curve(rows: Iterable[Iterable[float | None]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(math.nan if v is None else float(v) for v in row) for row in rows)


def _are_rows(rows: object) -> TypeGuard[list[list[float | None]]]:
    return isinstance(rows, list) and all(map(_is_row, rows))


def _is_row(row: object) -> bool:
    return (
        isinstance(row, list)
        and len(row) == len(CURVE_COLUMNS)
        and all(value is None or is_number(value) for value in row)
    )
