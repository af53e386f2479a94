"""A model's numbers as answers in the target's own terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class TargetForm:
    """What a model's numbers mean.

    Args:
        mean: What is added to them once they are multiplied.
        scale: What they are multiplied by.
        is_log: Whether log(1 + target) is then what they are.
        classes: What the classes are called; none if the target is a number.
        shape: What a row's target has: nothing for one number.
    """

    mean: float
    scale: float
    is_log: bool
    classes: tuple[str, ...]
    shape: tuple[int, ...]

    def columns(self, values: Values) -> dict[str, Values]:
        """The columns of predictions, by name.

        `prediction`: numbers in the target's own unit, or likeliest classes; beside these
        `p(class)`, each one's probability, where a row has one target. Of several numbers in a row
        `prediction0`, `prediction1` ...

        Args:
            values: As the model has them, (rows, ...); of classes their probabilities, (rows, ...,
                classes). Those of another shape than the target's, by a loss of the user's own,
                stay as they are.
        """
        if self.classes:
            names = np.array(self.classes, dtype=object)
            columns = columns_of("prediction", names[values.argmax(-1)])
            single = values.ndim == 2
            shares = {f"p({name})": values[:, i] for i, name in enumerate(names) if single}
            return columns | shares
        if values.shape[1:] == self.shape:
            values = values.astype(np.float64) * self.scale + self.mean
            values = np.expm1(values) if self.is_log else values
        return columns_of("prediction", values)


def columns_of(name: str, values: Values) -> dict[str, Values]:
    """The columns of values, (rows, ...): `y`, or `y0`, `y1` ... of several in a row."""
    if values.ndim == 1:
        return {name: values}
    places = np.ndindex(values.shape[1:])
    return {f"{name}{'_'.join(map(str, at))}": values[(slice(None), *at)] for at in places}


def to_seven_digits(values: Values) -> Values:
    """Numbers as files have them: as many digits as 32-bit ones have; all else as it is."""
    if values.dtype.kind != "f":
        return values
    return np.array([float(f"{value:.7g}") for value in values], dtype=np.float64)
