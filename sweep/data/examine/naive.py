"""Predictions that need no model, which every model should beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.base.languages.sentences import kept
from sweep.base.wording import percent
from sweep.data.dataset import Dataset
from sweep.study.registries.losses import LOSSES

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NaivePrediction:
    """The same prediction for every row, learnt from the targets of the training rows alone.

    Args:
        what: It, as in "predicting the mean of the training rows".
        validation: What it comes to on the validation rows, in the unit that models are told in, by
            the name of a loss or a score: `mse`, `r2`, `cross_entropy`, `accuracy`.
        test: The same on the test rows; empty if there are none.
    """

    what: str
    validation: Mapping[str, float]
    test: Mapping[str, float]

    @classmethod
    def read(cls, kept: object) -> NaivePrediction | None:
        """From what a storage has of it; None if that is something else."""
        if not isinstance(kept, dict) or not isinstance(kept.get("what"), str):
            return None
        return cls(kept["what"], _numbers(kept.get("validation")), _numbers(kept.get("test")))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; what is not finite is left out."""
        return {
            "what": self.what,
            "validation": _numbers(self.validation),
            "test": _numbers(self.test),
        }


def _numbers(values: object) -> dict[str, float]:
    """Names and finite numbers, as far as they are."""
    given = values.items() if isinstance(values, Mapping) else ()
    return {
        name: float(value)
        for name, value in given
        if isinstance(name, str)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and np.isfinite(value)
    }


def naive_predictions(data: Dataset, loss: str) -> tuple[NaivePrediction, ...]:
    """Those that go with a target: its mean, or the shares of its classes.

    Where rows are split by time, the last value that was trained on, too.

    Args:
        data: The rows.
        loss: What a model minimises: of the mean absolute error, the median is the best guess.
    """
    if data.classes:
        return (_of_classes(data),)
    y = data.y_train.astype(np.float64)
    median, mean = kept("the median of the training rows"), kept("the mean of the training rows")
    middle, which = (np.median, median) if loss == "mae" else (np.mean, mean)
    guesses = [(which, middle(y, axis=0))]
    if data.last is not None:
        last = kept("the last value in time that was trained on")
        guesses.append((last, np.float64(data.last)))
    return tuple(
        NaivePrediction(
            what,
            dict(_of_numbers(data, data.y_validation, guess)),
            dict(_of_numbers(data, data.y_test, guess)),
        )
        for what, guess in guesses
    )


_ERRORS: dict[str, Callable[[Floats], Floats]] = {
    "mse": np.square,
    "mae": np.abs,
    "huber": lambda e: np.where(np.abs(e) <= 1, e**2 / 2, np.abs(e) - 0.5),
}
"""Of standardised targets, as the losses of these names have them."""


def _of_numbers(data: Dataset, y: Floats, guess: Floats) -> Iterator[tuple[str, float]]:
    if not len(y):
        return
    errors = y.astype(np.float64) - guess
    for name, of in _ERRORS.items():
        yield name, float(of(errors).mean()) * data.target_scale ** LOSSES[name].power
    if variance := float(y.var(dtype=np.float64)):
        yield "r2", 1 - float(np.square(errors).mean()) / variance


def _of_classes(data: Dataset) -> NaivePrediction:
    codes = data.y_train.ravel().astype(np.int64)
    shares = np.bincount(codes, minlength=len(data.classes)) / len(codes)
    most = int(shares.argmax())
    told = kept(
        "each class by its share of the training rows, of which most are {name} ({share})",
        name=repr(data.classes[most]),
        share=percent(float(shares[most])),
    )

    def scores(y: npt.NDArray[Any]) -> dict[str, float]:
        if not len(y):
            return {}
        told = y.ravel().astype(np.int64)
        found = {"accuracy": float((told == most).mean())}
        if shares[told].all():  # else a class that is in no training row has an infinite loss
            found["cross_entropy"] = float(-np.log(shares[told]).mean())
            if len(shares) == 2:
                found["binary_cross_entropy"] = found["cross_entropy"]
        return found

    return NaivePrediction(told, scores(data.y_validation), scores(data.y_test))
