"""What a loop of the user's own tells of an epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sweep.base.errors import TrainingError, did_you_mean
from sweep.study.metric import Metric


@dataclass(frozen=True)
class Yielded:
    """An epoch of a loop, as it was yielded.

    Args:
        value: The study's metric.
        averaged: The same of averaged weights; None if it was not told.
        training: The same of the training rows; None if it was not told.
        state: What the loop can go on from; None if it was not told.
        metrics: The numbers beside these, by name.
        unused: The names of what is no number.
    """

    value: float
    averaged: float | None
    training: float | None
    state: Any
    metrics: Mapping[str, float]
    unused: tuple[str, ...]

    @classmethod
    def read(cls, yielded: Any, metric: Metric) -> Yielded:
        """From a number, or a dict with at least the metric.

        Raises:
            TrainingError: It is neither.
        """
        if not isinstance(yielded, Mapping):
            return cls(_number(metric.name, yielded), None, None, None, {}, ())
        if metric.name not in yielded:
            listed = ", ".join(map(str, yielded)) or "nothing"
            near = did_you_mean(metric.name, map(str, yielded))
            raise TrainingError(
                f"the loop yielded a dict without {metric.name!r}, the study's metric (it has "
                f"{listed}){near}"
            )

        def optional(name: str) -> float | None:
            return _number(name, yielded[name]) if name in yielded else None

        known = (metric.name, metric.averaged_name, metric.train_name, "state")
        others = {str(key): _float(value) for key, value in yielded.items() if key not in known}
        return cls(
            value=_number(metric.name, yielded[metric.name]),
            averaged=optional(metric.averaged_name),
            training=optional(metric.train_name),
            state=yielded.get("state"),
            metrics={key: value for key, value in others.items() if value is not None},
            unused=tuple(key for key, value in others.items() if value is None),
        )


def _float(value: Any) -> float | None:
    """None if it is no number."""
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _number(name: str, value: Any) -> float:
    found = math.nan if value is None else _float(value)
    if value is None or found is None:
        kind = type(value).__name__
        raise TrainingError(
            f"the loop yielded {_short(value)} ({kind}) as {name}; expected a number, or a dict "
            f"with the key {name!r}"
        )
    return found


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:40]} ..."
