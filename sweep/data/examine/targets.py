"""Targets that want another loss, or their logarithm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sweep.base.languages.sentences import kept
from sweep.base.wording import listed, number, toml_list
from sweep.data.examine.examined import Examined

_SQUARED = ("mse", "huber")
"""Losses in which a few large values decide, or nearly."""

_STRONG_SKEW, _LEFT_OF_IT = 2.5, 1 / 3
"""Of an exponential distribution it is 2; a normal one with a few mistakes keeps it in logs."""

_LEAST_VALUES, _LEAST_ROWS = 20, 100
_MOST_CLASSES, _LEAST_SHARE = 10, 0.01
"""Of the training rows in each class; the greatest of counts and of marks are rare."""


def skew(table: Examined) -> str:
    """That a target wants its logarithm, in a sentence; empty if not."""
    y = table.y_train
    if table.is_of_classes or table.has_log or table.is_built_in or table.loss not in _SQUARED:
        return ""
    if len(y) < _LEAST_ROWS or y.nunique() < _LEAST_VALUES or y.min() < 0:
        return ""
    plain, logs = _skewness(y.to_numpy()), _skewness(np.log1p(y.to_numpy()))
    if plain < _STRONG_SKEW or abs(logs) > _LEFT_OF_IT * plain:
        return ""
    return kept(
        "{target} is positive and strongly skewed (skewness {skewness}, of its logarithm {logs}), "
        "so a few large values decide the loss: log1p = {targets} under [data] learns the "
        "logarithm, and the MSE is then in log units",
        target=repr(table.target),
        skewness=number(plain),
        logs=number(logs),
        targets=toml_list([table.target]),
    )


def _skewness(values: npt.NDArray[np.float64]) -> float:
    """Of a normal distribution it is 0; 0 of values that are all the same."""
    apart = values - values.mean()
    spread = float(apart.std())
    return float((apart**3).mean()) / spread**3 if spread else 0.0


def like_classes(table: Examined) -> str:
    """That a target of numbers may be of classes, in a sentence; empty if not."""
    y = table.y_train
    if table.is_of_classes or table.has_log or (y % 1 != 0).any():
        return ""
    values = sorted(y.unique())
    rarest = float(y.value_counts(normalize=True).min())
    is_count = len(values) > 2 and rarest < _LEAST_SHARE
    if len(values) > _MOST_CLASSES or len(y) < _LEAST_ROWS or is_count:
        return ""
    return kept(
        "{target} is learnt as a number, and has only {count} values, all whole ({values}): if "
        "these are classes, give --loss cross_entropy",
        target=repr(table.target),
        count=len(values),
        values=listed(f"{value:.0f}" for value in values),
    )
