"""A dimension of the space as a coordinate that samplers model."""

from __future__ import annotations

import math
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweep.study.space import Choice, Dimension, Value


class Axis:
    """One dimension as a coordinate from 0 to 1."""

    def __init__(self, dimension: Dimension) -> None:
        self._dimension = dimension
        self.options = len(dimension.options) if isinstance(dimension, Choice) else 0
        if isinstance(dimension, Choice):
            return
        half = 0.5 if dimension.integer else 0.0  # each whole number owns an interval of length 1
        low, high = dimension.low - half, dimension.high + half
        self._low, self._high = (math.log(low), math.log(high)) if dimension.log else (low, high)

    def distribution(self) -> BaseDistribution:
        """What Space.suggest asks Optuna for."""
        dimension = self._dimension
        if isinstance(dimension, Choice):
            return CategoricalDistribution(dimension.options)
        if dimension.integer:
            low, high = int(dimension.low), int(dimension.high)
            return IntDistribution(low, high, log=dimension.log)
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)

    def coordinate(self, value: Any) -> float:
        """The coordinate of a value."""
        if isinstance(self._dimension, Choice):
            return (self._dimension.options.index(value) + 0.5) / self.options
        if self._low == self._high:
            return 0.5
        number = math.log(value) if self._dimension.log else float(value)
        return (number - self._low) / (self._high - self._low)

    def value(self, coordinate: float) -> Value:
        """The value at a coordinate."""
        dimension = self._dimension
        if isinstance(dimension, Choice):
            return dimension.options[min(int(coordinate * self.options), self.options - 1)]
        number = self._low + coordinate * (self._high - self._low)
        number = math.exp(number) if dimension.log else number
        return dimension.value(min(max(number, dimension.low), dimension.high))
