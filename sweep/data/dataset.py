"""Rows that are ready to be learnt from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.base.wording import counted
from sweep.data.fitted.arrays import ArrayPreparation
from sweep.data.fitted.columns import TablePreparation

Array = npt.NDArray[np.float32]
Inputs = npt.NDArray[Any]
Targets = npt.NDArray[Any]


Preparation = TablePreparation | ArrayPreparation


@dataclass(frozen=True)
class HeldOutRows:
    """Which rows the test rows are, and what they are in truth.

    Args:
        label: What tells rows apart: `row`, their numbers in the table or the arrays, from 1; of an
            event log, the column that its rows are of.
        names: That of each row, (rows,).
        targets: As the user has them, or the names of classes, (rows, ...).
    """

    label: str
    names: npt.NDArray[Any]
    targets: npt.NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """Rows to train on, to choose by and to test with.

    Args:
        x_train: Features, float32, shape (rows, features); x_validation and x_test likewise. Of
            arrays of the user's own any shape (rows, ...), and whole numbers as they are.
        y_train: The target, float32, shape (rows,), less `target_mean` and divided by
            `target_scale`; y_validation and y_test likewise. Of classes, their positions in
            `classes`, which are int64 where the loss wants whole numbers. Of arrays (rows, ...).
        target_mean: Mean of the training target in units of `unit`; 0 without scaling.
        target_scale: Standard deviation of the training target; 1 without scaling.
        features: The names of the prepared columns; none of arrays.
        target: The target's column.
        unit: What an error is measured in once scaled back: the target, or `log(1 + target)`.
        notes: What happened to the table on the way, a sentence each.
        warnings: What a person would warn of who looked at it, likewise.
        fingerprint: Changes when any value in the arrays does.
        missing: How many values are missing in a column of the table, where any are.
        constant: The columns that were left out for having one value in all training rows.
        classes: What the target's classes are called; empty if it is a number.
        split: How the rows were split.
        last: The mean target, standardised, of the training rows of the last moment, where rows
            are split by time and the target is a number; else None.
        held_out: Which rows the test rows are.
        preparation: What makes inputs of new rows; None of data that were made otherwise.
    """

    x_train: Inputs
    x_validation: Inputs
    x_test: Inputs
    y_train: Targets
    y_validation: Targets
    y_test: Targets
    target_mean: float
    target_scale: float
    features: tuple[str, ...]
    target: str
    unit: str
    notes: tuple[str, ...]
    fingerprint: str
    missing: Mapping[str, int] = field(default_factory=dict)
    constant: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    split: str = "at random"
    last: float | None = None
    warnings: tuple[str, ...] = ()
    held_out: HeldOutRows | None = None
    preparation: Preparation | None = None

    def to_target_units(self, y: Targets) -> npt.NDArray[np.float64]:
        """Standardised targets, or predictions of them, in units of `unit`; of the same shape."""
        return y.astype(np.float64) * self.target_scale + self.target_mean

    @property
    def inputs(self) -> str:
        """What a row is: `13 features`, or `arrays (1, 8, 8) of float32`."""
        if self.features:
            return counted(len(self.features), "feature")
        return f"arrays {self.x_train.shape[1:]} of {self.x_train.dtype}"

    @property
    def validation_variance(self) -> float:
        """Of the validation target, in squared units of `unit`, as the MSE."""
        return float(self.y_validation.var()) * self.target_scale**2


def fingerprint(*arrays: Inputs) -> str:
    """A text that changes when any value in the arrays does."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]
