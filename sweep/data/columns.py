"""What a column of a table holds: numbers, categories or dates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.data.dates import (
    Dates,
    Order,
    Part,
    date_numbers,
    of_timestamps,
    of_whole_numbers,
    read_dates,
)

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig

ID_NAME = re.compile(r"(?i:id|uuid|guid|index|unnamed: \d+|.*_(id|uuid|guid))|.*[a-z]I[dD]")
ID_SHARE = 0.95
MAX_TEXTS = 1000
MISSING = "(missing)"

MOST = 0.95
"""The share of a text column's values from which on they decide what it holds; the others are then
missing. A code of its own among numbers is usually more frequent than one in twenty."""

_LOOKED_AT = 1000
"""Texts that show whether a column may hold dates, before all of it is read as such."""

# What pandas calls the contents of a column of Python objects.
_NUMBER_KINDS = {"boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty"}
_DATE_KINDS = {"date", "datetime", "datetime64", "time", "timedelta", "timedelta64", "period"}


class Unusable(Exception):
    """A column that no model can learn from as it is; the text says why, and follows its name."""


@dataclass(frozen=True)
class Read:
    """A column of a table as it is understood.

    Args:
        columns: What takes its place, by name: float64 or texts, a date's parts; none if it is
            left out.
        notes: What was decided, a sentence each.
        parts: Of dates: which number of them each column holds.
        order: How its dates were read, where they need it.
    """

    columns: dict[str, pd.Series[Any]]
    notes: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    order: Order | None = None


def is_date(column: pd.Series[Any]) -> bool:
    """Whether it holds dates, times or durations by its type."""
    if pd.api.types.is_numeric_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return False
    return pd.api.types.infer_dtype(column, skipna=True) in _DATE_KINDS


def is_number(column: pd.Series[Any]) -> bool:
    """Whether it holds numbers by its type."""
    if pd.api.types.is_numeric_dtype(column):
        return True
    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    return pd.api.types.infer_dtype(column, skipna=True) in _NUMBER_KINDS


def as_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column of numbers as float64."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(values, index=column.index, name=column.name)


def numbers_in(column: pd.Series[Any]) -> pd.Series[Any]:
    """The numbers in a column of texts as float64, NaN where there is none."""
    values = pd.to_numeric(column.astype(object), errors="coerce").astype(np.float64)
    return values.where(np.isfinite(values))


def read_column(column: pd.Series[Any], config: DataConfig) -> Read:
    """Decide what a column holds, and read all of it as that.

    A column of texts is one of numbers, or of dates, if nearly all of its values are; all else in
    it is then missing, and a note says so.

    Args:
        column: A feature column as it was read.
        config: The study's data settings.

    Raises:
        Unusable: Nothing can be learnt from it.
    """
    name = str(column.name)
    explicit = config.features is not None
    if name in config.categories:
        return _categories(column, explicit)
    if is_number(column):
        values = as_numbers(column)
        days = None if name in config.numbers else of_whole_numbers(values)
        return _numbers(values, explicit) if days is None else _dates(column, days, config)
    if is_date(column):
        return _dates(column, of_timestamps(column), config)
    numbers = numbers_in(column)
    if name in config.numbers or (_are_most(numbers, column) and not _are_codes(column, numbers)):
        read = _numbers(numbers, explicit)
        return Read(read.columns, (*_told_number(column, numbers), *read.notes))
    order = config.dates if isinstance(config.dates, str) else None
    texts = column.where(column.isna(), column.astype(str))
    first = texts.dropna().head(_LOOKED_AT)
    if len(first) and _are_most(read_dates(first, order).hours, first, share=0.5):
        dates = read_dates(texts, order)
        if _are_most(dates.hours, column):
            return _dates(column, dates, config)
    return _categories(column, explicit)


def _are_most(found: pd.Series[Any], column: pd.Series[Any], share: float = MOST) -> bool:
    known = int(column.notna().sum())
    return known > 0 and int(found.notna().sum()) >= share * known


def _are_codes(column: pd.Series[Any], numbers: pd.Series[Any]) -> bool:
    """Whether a column was stored as texts for its leading zeros: 007 would be 7."""
    is_all = int(numbers.notna().sum()) == int(column.notna().sum())
    return is_all and bool(column.astype(str).str.match(r"\s*0\d").any())


def _told_number(column: pd.Series[Any], numbers: pd.Series[Any]) -> tuple[str, ...]:
    name = str(column.name)
    others = _others(column, numbers)
    if others:
        return (
            f"column {name!r} is taken as numbers, and as missing {others}; "
            f"data.categories = [{name!r}] takes it as categories",
        )
    return (
        f"column {name!r} holds texts that are numbers, and is taken as numbers; "
        f"data.categories = [{name!r}] takes it as categories",
    )


def _others(column: pd.Series[Any], found: pd.Series[Any]) -> str:
    """The values that are not what the column holds: how many, and the first; empty if none is."""
    others = column.index[found.isna() & column.notna()]
    if not len(others):
        return ""
    first = f"{str(column[others[0]])!r} in data row {others[0] + 1}"
    if len(others) == 1:
        return f"1 of {len(column)} values, {first}"
    return f"{len(others)} of {len(column)} values, the first {first}"


def _numbers(values: pd.Series[Any], explicit: bool) -> Read:
    if not explicit and _is_id(values):
        return _without_id(values)
    infinite = values.index[np.isinf(values)]
    if len(infinite):
        raise Unusable(
            f"is infinite in data row {infinite[0] + 1}; leave the row out, or put a number in "
            "its place"
        )
    return Read({str(values.name): values})


def _categories(column: pd.Series[Any], explicit: bool) -> Read:
    if is_number(column):
        column = as_numbers(column)
        if (column.dropna() % 1 == 0).all():
            column = column.astype("Int64")
    texts = column.astype(object).where(column.notna(), MISSING).astype(str)
    if not explicit and _is_id(texts):
        return _without_id(texts)
    numbers = numbers_in(column)
    known, found = int(column.notna().sum()), int(numbers.notna().sum())
    name, different, hint = str(column.name), texts.nunique(), ""
    if known / 2 < found < known:
        hint = (
            f"numbers, but for {_others(column, numbers)}; "
            f"data.numbers = [{name!r}] takes the others as missing"
        )
    if different > MAX_TEXTS or (different > 50 and different > len(texts) / 2):
        raise Unusable(
            f"has {different} different texts in {len(texts)} rows, too many for categories"
            + (f" ({hint})" if hint else "")
        )
    return Read({name: texts}, (f"column {name!r} is taken as categories: {hint}",) if hint else ())


def _dates(column: pd.Series[Any], dates: Dates | None, config: DataConfig) -> Read:
    name = str(column.name)
    if not config.dates or dates is None:
        what = "durations" if dates is None else "dates"
        remedy = (
            "turn them into numbers first"
            if dates is None
            else "data.dates = true makes numbers of them: year, month, weekday and hour"
        )
        if config.features is not None:
            raise Unusable(f"holds {what}; {remedy}")
        return Read({}, (f"column {name!r} left out: it holds {what}; {remedy}",))
    if dates.is_ambiguous:
        raise Unusable(
            f"holds dates such as {str(column.dropna().iloc[0])!r} that do not show whether days "
            'or months come first; say it with data.dates = "day-first" or "month-first"'
        )
    told = f"column {name!r} holds dates"
    if dates.order:
        told += f", {dates.order.replace('-', 's ')}"
    if others := _others(column, dates.hours):
        told += f"; taken as missing {others}"
    parts = date_numbers(dates)
    columns = {f"{name}.{part}": values for part, values in parts.items()}
    return Read(columns, (told,), {f"{name}.{part}": part for part in parts}, dates.order)


def _is_id(values: pd.Series[Any]) -> bool:
    """Whether a column is named like an id and is whole or a text, another in nearly every row."""
    if not ID_NAME.fullmatch(str(values.name)):
        return False
    if values.dtype == np.float64 and not (values.dropna() % 1 == 0).all():
        return False
    return bool(values.nunique() >= ID_SHARE * len(values))


def _without_id(values: pd.Series[Any]) -> Read:
    note = (
        f"column {values.name!r} left out: it tells rows apart ({values.nunique()} "
        f"different values in {len(values)} rows); name it in data.features to keep it"
    )
    return Read({}, (note,))


def alike(texts: pd.Series[Any], shown: int = 3) -> str:
    """The values that differ by blanks or case alone, with their counts; empty if none do.

    Args:
        texts: A column of texts.
        shown: Groups of such values at most; the others are counted.
    """
    counts = texts.value_counts()
    plain = counts.index.astype(str).str.split().str.join(" ").str.casefold()
    words = list(dict.fromkeys(plain[plain.duplicated()]))
    told = [
        ", ".join(f"{str(value)!r} ({count})" for value, count in counts[plain == word].items())
        for word in words[:shown]
    ]
    more = [f"and {len(words) - shown} more"] if len(words) > shown else []
    return "; ".join([*told, *more])
