"""Arrays as they were fitted: the shape of a row, and how it is scaled."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import PositiveInt

from sweep.data.fitted.columns import FilePart

Values = npt.NDArray[Any]


class ArrayPreparation(FilePart):
    """From arrays as they were given to what a model gets.

    Attributes:
        shape: Of a row.
        dtype: What the model gets: `float32`, or whole numbers as they were.
        means: What is taken off each number of a row, flattened; empty without scaling.
        scales: What is divided by after that.
        least: The least value of the training rows, unscaled.
        greatest: The greatest.
    """

    kind: Literal["arrays"] = "arrays"
    shape: list[PositiveInt]
    dtype: str
    means: list[float]
    scales: list[float]
    least: float
    greatest: float

    @classmethod
    def of(cls, train: Values, scaled: bool) -> ArrayPreparation:
        """Learnt from training rows, (rows, ...), that are of the type that a model gets."""
        means, scales = np.zeros(0), np.zeros(0)
        if scaled and train.dtype.kind == "f":
            means = train.mean(0, dtype=np.float64).ravel()
            spread = train.std(0, dtype=np.float64).ravel()
            scales = np.where(spread > 0, spread, 1.0)
        return cls(
            shape=[*train.shape[1:]],
            dtype=str(train.dtype),
            means=means.tolist(),
            scales=scales.tolist(),
            least=float(train.min()),
            greatest=float(train.max()),
        )

    def scaled(self, x: Values) -> Values:
        """What a model gets of rows of its type, (rows, ...)."""
        if not self.means:
            return x
        means, scales = (np.reshape(each, self.shape) for each in (self.means, self.scales))
        scaled: Values = ((x - means) / scales).astype(np.float32)
        return scaled
