"""What a table's warnings are found in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.data.splitting import Split


@dataclass(frozen=True)
class Examined:
    """A table whose rows are split, before its features are scaled and encoded.

    Args:
        source: The whole table as it was read, of the same rows.
        frame: Its features: float64, NaN where missing, or texts.
        target: The target's column.
        y: Its values as they are learnt, without scale, or the codes of classes; (rows,).
        split: Which rows are on which side.
        is_of_classes: Whether the target is a class.
        loss: What is minimised.
        has_log: Whether the target's logarithm is learnt.
        is_built_in: Whether the table comes with this package.
    """

    source: pd.DataFrame
    frame: pd.DataFrame
    target: str
    y: npt.NDArray[np.float64]
    split: Split
    is_of_classes: bool
    loss: str
    has_log: bool
    is_built_in: bool

    @property
    def y_train(self) -> pd.Series[Any]:
        """The targets of the training rows."""
        return pd.Series(self.y[self.split.train])
