"""Dates among a table's columns: recognised in texts, and turned into numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    Texts = pd.Series[str]

Order = Literal["day-first", "month-first"]
Part = Literal["year", "month", "weekday", "hour"]
"""The numbers of a date."""

_CLOCK = (
    r"^(?P<day>.*?)(?:(?:^|[T,]\s*|\s+)(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)"
    r"(?::(?P<second>\d{2}(?:[.,]\d+)?))?"
    r"\s*(?P<half>[AaPp][Mm])?\s*(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?)?$"
)
_HOUR_ALONE = r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2})[T ](\d{1,2})$", r"\1 \2:00"
_NUMBERS = (
    r"^(?P<a>\d{4}|\d{1,2})(?P<separator>[-/.])(?P<b>\d{1,2})"
    r"(?:(?P=separator)(?P<c>\d{4}|\d{1,2}))?$"
)
_WEEKDAY = r"^(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+"
_WITH_MONTH_NAME = (
    "%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%Y %b %d", "%Y %B %d",
    "%d %b %y", "%b %Y", "%B %Y", "%Y %b", "%Y %B",
)  # fmt: skip


@dataclass(frozen=True)
class Dates:
    """What was found in a column's texts.

    Args:
        days: The days, without a time zone; NaT where a text is none.
        hours: 0 to 23 by the clock that the text gives, 0 if it gives a day alone; NaN where a text
            is neither day nor time.
        moments: Days with their time of day, all in one time zone, to be sorted by; NaT where a
            text has no day.
        order: How texts such as 03/04/2020 were read, where there are any; None if the column
            does not show it.
        is_ambiguous: Whether there are such texts and the column does not show their order.
    """

    days: pd.Series[Any]
    hours: pd.Series[Any]
    moments: pd.Series[Any]
    order: Order | None = None
    is_ambiguous: bool = False


def read_dates(texts: Texts, order: Order | None = None) -> Dates:
    """Read texts as dates.

    Years come first (2020-01-31, 2020/01/31, 2020-01) or last (31.01.2020, 1/31/20), months have
    numbers or English names; a time of day may follow, or stand alone. Whether days come before
    months is the same in all of a column, which shows it by a number above 12; with points, days
    come first.

    Args:
        texts: What to read; missing values stay missing.
        order: Of days and months in texts whose year comes last; None to find it out.
    """
    different = pd.Series(texts.dropna().unique(), dtype=object)
    parts = different.str.strip().str.replace(*_HOUR_ALONE, regex=True).str.extract(_CLOCK)
    hours = pd.to_numeric(parts["hour"]).fillna(0)
    half = parts["half"].str.lower()
    hours = hours.where(half.isna(), hours % 12 + 12 * (half == "pm"))
    heads = pd.Series(parts["day"].dropna().unique(), dtype=object)
    found = _read_days(heads, order)
    days = _looked_up(parts["day"], heads, found.days).where(hours < 24)
    is_time = (parts["day"] == "") & parts["hour"].notna() & (hours < 24)
    hours = hours.where(days.notna() | is_time)
    return replace(
        found,
        days=_looked_up(texts, different, days),
        hours=_looked_up(texts, different, hours),
        moments=_looked_up(texts, different, days + _since_midnight(parts, hours)),
    )


def _since_midnight(parts: pd.DataFrame, hours: pd.Series[Any]) -> pd.Series[Any]:
    """The time of day in UTC where a text says its zone, as a duration."""
    seconds = pd.to_numeric(parts["second"].str.replace(",", ".")).fillna(0)
    minutes = pd.to_numeric(parts["minute"]).fillna(0)
    zone = parts["zone"].str.extract(r"([+-])(\d{2}):?(\d{2})")
    offset = pd.to_numeric(zone[1]) * 60 + pd.to_numeric(zone[2])
    minutes = minutes - offset.where(zone[0] == "+", -offset).fillna(0)
    return pd.to_timedelta(hours.fillna(0) * 3600 + minutes * 60 + seconds, unit="s")


def _read_days(texts: Texts, order: Order | None) -> Dates:
    """The dates of texts without a time of day."""
    texts = texts.str.replace(_WEEKDAY, "", case=False, regex=True)
    numbers = texts.str.extract(_NUMBERS)
    a, b, c = (pd.to_numeric(numbers[name]) for name in "abc")
    years_first = numbers["a"].str.len() == 4
    whole = numbers["c"].str.len() == 4
    # 1.2.10 is rather a version than a day of 2010.
    padded = (numbers["a"].str.len() == 2) & (numbers["b"].str.len() == 2)
    short = (numbers["c"].str.len() == 2) & (padded | (numbers["separator"] == "/"))
    years_last = ~years_first & (whole | short)
    shown = _order_of(a[years_last], b[years_last], numbers["separator"][years_last])
    known = order or shown
    day, month = (b, a) if known == "month-first" else (a, b)
    century = np.where(c < 69, 2000, 1900)  # as POSIX reads two digits
    year = pd.Series(np.where(whole, c, c + century), index=texts.index)
    in_month = c.where(c.notna(), 1)  # 2020-01 is its first day
    days = _days(a, b, in_month, years_first).fillna(_days(year, month, day, years_last))
    named = texts[numbers["a"].isna() & texts.str.contains("[A-Za-z]{3}", na=False)]
    days = days.fillna(_by_month_name(named).reindex(days.index))
    return Dates(
        days=days,
        hours=days.notna().astype(float),
        moments=days,
        order=known if years_last.any() else None,
        is_ambiguous=bool(years_last.any()) and known is None,
    )


def _order_of(first: pd.Series[Any], second: pd.Series[Any], separator: Texts) -> Order | None:
    """Whether days or months come first, as most of the texts that show it have it."""
    day_first = int(((first > 12) & (second <= 12)).sum())
    month_first = int(((first <= 12) & (second > 12)).sum())
    if day_first == month_first:
        return "day-first" if len(separator) and (separator == ".").all() else None
    return "day-first" if day_first > month_first else "month-first"


def _days(
    year: pd.Series[Any], month: pd.Series[Any], day: pd.Series[Any], where: pd.Series[Any]
) -> pd.Series[Any]:
    """Days of numbers; NaT where there is no such day."""
    parts = [part.where(where).astype("Int64").astype("string") for part in (year, month, day)]
    return pd.to_datetime(
        parts[0].str.zfill(4) + "-" + parts[1].str.zfill(2) + "-" + parts[2].str.zfill(2),
        format="%Y-%m-%d",
        errors="coerce",
    )


def _by_month_name(texts: Texts) -> pd.Series[Any]:
    plain = texts.str.replace(r"[-,./\s]+", " ", regex=True).str.strip()
    plain = plain.str.replace(r"^sept\b|(?<=\s)sept\b", "sep", case=False, regex=True)
    days = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[ns]")
    for form in _WITH_MONTH_NAME:
        left = plain[days.isna()]
        if len(left):
            found = pd.to_datetime(left, format=form, errors="coerce")
            days = days.fillna(found.astype("datetime64[ns]"))
    return days


def _looked_up(texts: Texts, known: Texts, values: pd.Series[Any]) -> pd.Series[Any]:
    """The value of each text, by those of different texts; missing where there is none."""
    places = texts.map(pd.Series(values.index, index=known))
    found = values.reindex(places.to_numpy())
    return pd.Series(found.array, index=texts.index, name=texts.name)


def of_whole_numbers(numbers: pd.Series[Any]) -> Dates | None:
    """The dates in a column of numbers that all are days such as 20200131; else None."""
    known = numbers.dropna()
    if not known.between(19000101, 20991231).all() or (known % 1 != 0).any():
        return None
    dates = as_whole_numbers(numbers)
    if dates.days[known.index].isna().any() or dates.days.nunique() < 2:
        return None
    return dates


def as_whole_numbers(numbers: pd.Series[Any]) -> Dates:
    """Numbers as days such as 20200131; missing where one is none."""
    days = numbers.where(numbers.between(19000101, 20991231) & (numbers % 1 == 0)).dropna()
    stamps = pd.to_datetime(days.astype("int64").astype(str), format="%Y%m%d", errors="coerce")
    stamps = stamps.reindex(numbers.index)
    return Dates(stamps, stamps.dt.hour.astype(float), stamps)


def of_timestamps(column: pd.Series[Any]) -> Dates | None:
    """The dates of a column that holds dates, times of day or periods; None of durations."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("timedelta", "timedelta64"):
        return None
    if kind == "time":
        hours = column.map(lambda time: time.hour, na_action="ignore").astype(float)
        none = pd.Series(pd.NaT, index=column.index, dtype="datetime64[ns]")
        return Dates(none, hours, none)
    if kind == "period":
        column = column.map(lambda period: period.start_time, na_action="ignore")
    stamps = pd.to_datetime(column.map(_without_zone, na_action="ignore"), errors="coerce")
    moments = pd.to_datetime(column, errors="coerce", utc=True).dt.tz_localize(None)
    return Dates(stamps, stamps.dt.hour.astype(float), moments)


def _without_zone(stamp: Any) -> Any:
    """By the clock of its own time zone."""
    return stamp.replace(tzinfo=None) if getattr(stamp, "tzinfo", None) else stamp


def date_numbers(dates: Dates) -> dict[Part, pd.Series[Any]]:
    """Year, month, weekday (Monday is 0) and hour as float64; NaN where it is missing."""
    days = dates.days.dt
    parts: dict[Part, Any] = {
        "year": days.year,
        "month": days.month,
        "weekday": days.day_of_week,
        "hour": dates.hours,
    }
    return {name: values.astype(float) for name, values in parts.items()}
