"""Tables of a target that depends on time, of which a split at random tells the answers."""

from __future__ import annotations

import re
from shlex import quote
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.base.languages.sentences import kept
from sweep.base.wording import number
from sweep.data.columns import MOST, as_numbers, is_date, is_number
from sweep.data.dates import of_timestamps, of_whole_numbers, read_dates
from sweep.data.examine.examined import Examined
from sweep.data.splitting import AT_RANDOM

Floats = npt.NDArray[Any]

_NAME = re.compile(
    r"(?i)(.*[ _])?(time|timestamp|date|datetime|ts|epoch|unix_?time|year|datum|zeit|zeitpunkt"
    r"|zeitstempel|jahr|fecha)([ _]?(s|sec|secs|seconds|ms|us|ns|utc))?|.*(日期|时间)"
)
"""Of columns of numbers that may be times; dates are known by their values."""

_LOOKED_AT = 1000
_LEAST_TIMES = 50
_LEAST_CORRELATION, _OF_SHUFFLED = 0.5, 0.9
"""Of the target with that of the time before. In rows of any order a date may be a mere feature,
such as a day of birth, on which much else than the neighbours' targets depends."""


def time_order(table: Examined) -> tuple[str, str]:
    """The column of time that the target depends on, and a sentence that says so.

    Both are empty if there is none.

    It must hold dates, or be named like a time, and the target (its mean, where several rows have
    the same time) must be near that of the time before: a row that is drawn for validation then has
    its neighbours among the training rows. Where the file's rows are not sorted by it, the target
    must be very near that of the row before, sorted by time.
    """
    if table.split.told != AT_RANDOM or table.is_built_in:
        return "", ""
    for name in table.source.columns:
        if name == table.target:
            continue
        moments = _moments(table.source[name])
        if moments is None:
            continue
        y: Floats = pd.Series(table.y).groupby(moments).mean().to_numpy()
        if len(y) < _LEAST_TIMES:
            continue
        is_sorted = _is_sorted(moments)
        if not is_sorted:
            y = table.y[np.argsort(moments, kind="stable")]
        correlation = _correlation(y)
        if correlation < (_LEAST_CORRELATION if is_sorted else _OF_SHUFFLED):
            continue
        facts = {
            "name": repr(name),
            "target": repr(table.target),
            "correlation": number(correlation),
            "split": quote(f"by={name}"),
        }
        if not is_sorted:
            return name, kept(
                "{name} is a time, and {target} is near that of the time before (correlation "
                "{correlation}): validation rows that are drawn at random have their neighbours "
                "among the training rows, and are easier than what is to come; --split {split} "
                "takes the last ones",
                **facts,
            )
        return name, kept(
            "rows are in the order of {name}, and {target} is near that of the time before "
            "(correlation {correlation}): validation rows that are drawn at random have their "
            "neighbours among the training rows, and are easier than what is to come; --split "
            "{split} takes the last ones",
            **facts,
        )
    return "", ""


def _moments(column: pd.Series[Any]) -> npt.NDArray[Any] | None:
    """What a column is sorted by if it is one of time, with no row missing; else None."""
    if column.isna().any():
        return None
    if is_number(column):
        numbers = as_numbers(column)
        is_time = _NAME.fullmatch(str(column.name)) or of_whole_numbers(numbers) is not None
        return numbers.to_numpy() if is_time else None
    if is_date(column):
        dates = of_timestamps(column)
    else:
        texts = column.astype(str)
        first = read_dates(texts.head(_LOOKED_AT))
        known = first.moments.dropna().to_numpy()
        if first.is_ambiguous or len(known) < MOST * len(first.moments):
            return None
        dates = read_dates(texts)
    if dates is None or dates.is_ambiguous or dates.moments.isna().any():
        return None
    return dates.moments.to_numpy()


def _is_sorted(moments: npt.NDArray[Any]) -> bool:
    later, earlier = moments[1:], moments[:-1]
    return bool((later >= earlier).all() or (later <= earlier).all())


def _correlation(y: Floats) -> float:
    """Of a series with itself, a step later; 0 if it does not vary."""
    later, earlier = y[1:], y[:-1]
    if not later.std() or not earlier.std():
        return 0.0
    return float(np.corrcoef(later, earlier)[0, 1])
