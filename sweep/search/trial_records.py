"""A trial's record, written to its storage and read back."""

from __future__ import annotations

import math

import optuna
from optuna.trial import FrozenTrial

from sweep.search.attributes import is_number, text, whole_number
from sweep.study.metric import MSE, Metric
from sweep.study.sections import Objective
from sweep.training.record import CURVE_COLUMNS, TrialRecord, json_number

TRACEBACK = "traceback"
"""Of a trial that raised, in its attributes."""

_CURVE = "sweep:curve"


def write_record(
    trial: optuna.Trial,
    record: TrialRecord,
    objective: Objective,
    variance: float,
    metric: Metric = MSE,
) -> None:
    """Keep a record with a trial that is about to be told."""
    for name, value in record.user_attributes(objective, variance, metric).items():
        trial.set_user_attr(name, value)
    rows = [[json_number(value) for value in row] for row in record.curve]
    trial.storage.set_trial_system_attr(trial._trial_id, _CURVE, rows)


def read_record(trial: FrozenTrial) -> TrialRecord:
    """The record of a trial that has ended; an empty one if it has none, or a damaged one."""
    rows = trial.system_attrs.get(_CURVE)
    attributes = trial.user_attrs
    seed, reason = whole_number(attributes, "seed") or 0, text(attributes, "reason")
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        return TrialRecord(seed, (), reason)
    curve = tuple(tuple(math.nan if v is None else float(v) for v in row) for row in rows)
    return TrialRecord(seed, curve, reason)


def _is_row(row: object) -> bool:
    return (
        isinstance(row, list)
        and len(row) == len(CURVE_COLUMNS)
        and all(value is None or is_number(value) for value in row)
    )
