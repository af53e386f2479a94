"""Numbers that may stand for what is missing, such as -99 among ages."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

_CODE = re.compile(r"-?(77+|88+|99+)(\.7+|\.8+|\.9+|\.0)?")
_LEAST_TIMES = 3
_LEAST_SHARE = 0.005
_LEAST_OTHERS = 3


def stand_in(column: pd.Series[Any]) -> str:
    """What to tell of a value that may mean that there is none; empty if none does.

    It is the least or the greatest, occurs several times, and is far from all others: a code of
    sevens, eights or nines at more than their range, or a negative number where all others are not.

    Args:
        column: Numbers as they were read.
    """
    values = column.dropna().to_numpy(dtype=np.float64)
    if len(values) < _LEAST_TIMES:
        return ""
    for extreme in (values.min(), values.max()):
        is_it = values == extreme
        others, times = values[~is_it], int(is_it.sum())
        if times < max(_LEAST_TIMES, _LEAST_SHARE * len(values)):
            continue
        if len(np.unique(others)) < _LEAST_OTHERS:
            continue
        low, high = others.min(), others.max()
        gap = low - extreme if extreme < low else extreme - high
        is_code = _CODE.fullmatch(str(float(extreme))) is not None and gap > high - low
        is_negative = extreme <= -9 and extreme % 1 == 0 and low >= 0 and 3 * gap > high - low
        if is_code or is_negative:
            return (
                f"{extreme:g} in {str(column.name)!r} ({times} times) is read as a number, far "
                f"from all others ({low:g} to {high:g}); if it means missing, name it in "
                "data.missing"
            )
    return ""
