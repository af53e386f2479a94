"""Whether numbers are of a size that can be learnt from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from sweep.base.wording import toml_list

MOST_SCALED, LEAST_SCALED = 1e70, 1e-70
MOST_UNSCALED, LEAST_UNSCALED = 1e15, 1e-15
"""Of values: variances of mean squared errors, and sums of squares over many rows, fit in float64
and in float32."""


_LEAST_STEPS = 1000
"""That 32-bit numbers have between the least and the greatest value."""


def out_of_range(values: pd.Series[Any], scale: bool) -> str:
    """Why numbers are too large or too small to be learnt from, and what helps; empty if not.

    Scaled values are learnt as they are, but means and variances are 64-bit numbers before; without
    scaling, 32-bit numbers must hold the squares of errors.

    Args:
        values: Float64, NaN where missing.
        scale: Whether they will be standardised.
    """
    known = values.dropna().to_numpy()
    if not len(known):
        return ""
    most, least = (MOST_SCALED, LEAST_SCALED) if scale else (MOST_UNSCALED, LEAST_UNSCALED)
    greatest = float(np.abs(known).max())
    kind = "64-bit" if scale else "32-bit"
    if greatest > most:
        factor = _power_of_ten(greatest)
        logs = f", or take logarithms with log1p = {toml_list([str(values.name)])}"
        return (
            f"has values up to {greatest:.3g}, whose squares are too large for {kind} numbers; "
            f"divide them by 1e{factor}{logs if known.min() >= 0 else ''}"
        )
    spread = float(known.max() - known.min())
    if 0 < spread < least:
        factor = -_power_of_ten(spread)
        return (
            f"varies by {spread:.3g} alone, whose square is too small for {kind} numbers; "
            f"multiply by 1e{factor}" + ("" if scale else ", or set data.scale = true")
        )
    if not scale and 0 < spread < _LEAST_STEPS * greatest * np.finfo(np.float32).eps:
        return (
            f"varies by {spread:.3g} alone around {known.mean():.6g}, of which 32-bit numbers keep "
            "little; set data.scale = true"
        )
    return ""


def _power_of_ten(value: float) -> int:
    return math.floor(math.log10(value))
