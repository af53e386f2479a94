"""New rows of a table, read as the columns of its training rows were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sweep.base.errors import DataError, did_you_mean
from sweep.base.wording import counted, listed, verb
from sweep.data.columns import MISSING, MOST, as_numbers, is_date, is_number, numbers_in
from sweep.data.dates import (
    Dates,
    Order,
    as_whole_numbers,
    date_numbers,
    of_timestamps,
    read_dates,
)
from sweep.data.fitted.columns import CategoryColumn, Kind, NumberColumn, TablePreparation
from sweep.data.fitted.new_table import NewTable
from sweep.data.fitted.unseen import (
    Unseen,
    far_outside,
    more_missing,
    new_categories,
    not_constant,
)
from sweep.data.reading.number_columns import MARKS
from sweep.data.reading.number_columns import MISSING as MISSING_TEXTS

_KINDS: dict[Kind, str] = {"number": "numbers", "category": "categories", "date": "dates"}
_TRUTHS = {"True": "1", "TRUE": "1", "true": "1", "False": "0", "FALSE": "0", "false": "0"}


@dataclass(frozen=True)
class NewRows:
    """New rows as a preparation takes them.

    Args:
        frame: A column for each that is prepared.
        unseen: What no training row was like, column by column.
        notes: What else was decided, a sentence each.
    """

    frame: pd.DataFrame
    unseen: tuple[Unseen, ...]
    notes: tuple[str, ...]


def new_rows(table: NewTable, learnt: TablePreparation, target: str) -> NewRows:
    """Read the columns of new rows as those of the training rows were read.

    Args:
        table: The rows.
        learnt: From the training rows.
        target: The column that is predicted, which may lack.

    Raises:
        DataError: Columns are missing or hold something else; all such problems together.
    """
    frame, notes = _with_all_columns(table, learnt, target)
    columns: dict[str, pd.Series[Any]] = {}
    unseen: list[Unseen | None] = []
    problems: list[str] = []
    for name, kind in learnt.needed.items():
        try:
            if kind == "category":
                category = next(each for each in learnt.categories if each.column == name)
                given = table.given[name] if name in table.given else frame[name]
                columns[name] = texts = _categories(given, category, table)
                unseen += [
                    new_categories(category, texts),
                    more_missing(category, texts == MISSING),
                ]
                continue
            numbers = [each for each in learnt.numbers if each.column == name]
            read = (
                _dates(frame[name], numbers)
                if kind == "date"
                else _numbers(frame[name], numbers[0], table)
            )
        except _Unfit as problem:
            problems.append(f"column {name!r} {problem}")
            continue
        notes += read.notes
        for number in numbers:
            values = read.values[number.part]
            if number.log1p and (values < 0).any():
                row = values.index[values < 0][0]
                problems.append(
                    f"column {name!r} is {values[row]:g} in data row {row + 1}, and the logarithm "
                    "of 1 + value is learnt: leave rows with negative values out"
                )
                continue
            columns[number.name] = np.log1p(values) if number.log1p else values
            unseen.append(far_outside(number, columns[number.name]))
        unseen.append(more_missing(numbers[0], columns.get(numbers[0].name, frame[name]).isna()))
    unseen += [
        not_constant(frame[name], value, _is_constant(frame[name], table.given[name], value))
        for name, value in learnt.constants.items()
        if name in frame and name in table.given
    ]
    _raise(table.place, problems)
    return NewRows(
        pd.DataFrame(columns, index=frame.index), tuple(filter(None, unseen)), tuple(notes)
    )


class _Unfit(Exception):
    """A column is not what it was in the training rows; the text follows its name."""


@dataclass(frozen=True)
class _Read:
    values: Mapping[Any, pd.Series[Any]]  # by the part of a date; "" of numbers
    notes: tuple[str, ...] = ()


def _raise(place: str, problems: Sequence[str]) -> None:
    if len(problems) == 1:
        raise DataError(f"{place}: {problems[0]}")
    if problems:
        raise DataError("\n  ".join([f"{place}: {len(problems)} problems", *problems]))


def _with_all_columns(
    table: NewTable, learnt: TablePreparation, target: str
) -> tuple[pd.DataFrame, list[str]]:
    """The rows, with zeros for events of a log that none has, and what is told of its columns."""
    frame, needed, notes = table.frame, learnt.needed, list[str]()
    there = list(map(str, frame.columns))
    if twice := list(dict.fromkeys(name for name in there if there.count(name) > 1)):
        raise DataError(f"{table.place}: more than one column is named {listed(map(repr, twice))}")
    lacking = [name for name in needed if name not in there]
    if table.key:
        frame = frame.assign(**dict.fromkeys(lacking, 0))
        if lacking:
            notes.append(f"no event here is {listed(map(repr, lacking))}: counted as 0 in all rows")
    else:
        _raise(table.place, _lacking(lacking, there))
    strange = [name for name in there if name not in learnt.columns and name != target]
    if strange:
        what = "event" if table.key else "column"
        notes.append(
            f"{what}{'s' if len(strange) > 1 else ''} {listed(map(repr, strange))} not used: the "
            f"training table had none of {verb(len(strange), 'that name', 'these names')}"
        )
    return frame, notes


def _lacking(names: Sequence[str], there: Sequence[str]) -> list[str]:
    """What is wrong where columns lack: those in other letters together, the others one by one."""
    spelt = {name.casefold(): name for name in there}
    cased = {name: spelt[name.casefold()] for name in names if name.casefold() in spelt}
    problems = [
        f"no column {name!r}, which the model learnt from{did_you_mean(name, there)} "
        f"(columns: {listed(there)}); add it, with empty cells where it is not known"
        for name in names
        if name not in cased
    ]
    if cased:
        pairs = listed((f"{own!r} for {name!r}" for name, own in cased.items()), 10)
        problems.append(
            f"names differ from those that the model learnt from by capital letters: {pairs}; "
            "rename them as in the training table"
        )
    return problems


def _numbers(column: pd.Series[Any], learnt: NumberColumn, table: NewTable) -> _Read:
    name = str(column.name)
    if is_date(column):
        raise _Unfit(_other("number", column, column.notna()))
    if _is_truth(column) and not _is_of_truths(learnt):
        raise _Unfit(
            "holds True and False here, and other numbers than 0 and 1 in the training table; put "
            "numbers in their place, or leave its cells empty"
        )
    values = as_numbers(column) if is_number(column) else numbers_in(column)
    notes = _taken_as_missing(column, values, "number", strict=name not in table.forced)
    infinite = values.index[np.isinf(values)]
    if len(infinite):
        raise _Unfit(
            f"is infinite in data row {infinite[0] + 1}; leave the row out, or put a number in its "
            "place"
        )
    return _Read({"": values}, notes)


def _is_truth(column: pd.Series[Any]) -> bool:
    return pd.api.types.infer_dtype(column, skipna=True) == "boolean"


def _is_of_truths(learnt: NumberColumn) -> bool:
    """Whether all that was learnt is from 0 to 1; where nothing was, nothing contradicts."""
    ends = [0.0 if end is None else end for end in (learnt.least, learnt.greatest)]
    least, greatest = np.expm1(ends) if learnt.log1p else ends
    return bool(least >= 0 and greatest <= 1 + 1e-9)


def _dates(column: pd.Series[Any], parts: Sequence[NumberColumn]) -> _Read:
    order = next((part.order for part in parts if part.order), None)
    told: tuple[str, ...] = ()
    if is_date(column):
        dates = of_timestamps(column)
        if dates is None:
            raise _Unfit("holds durations, and held dates in the training table")
    elif is_number(column):
        dates = as_whole_numbers(as_numbers(column))
    else:
        texts = column.where(column.isna(), column.astype(str))
        dates = read_dates(texts, order)
        if order and (other := _in_other_order(texts, dates, order)):
            shown = texts.index[dates.hours.isna() & other.hours.notna()][0]
            told = (
                f"column {str(column.name)!r} is read with {_worded(other.order)}, as "
                f"{texts[shown]!r} in data row {shown + 1} shows, and had {_worded(order)} in the "
                "training table",
            )
            dates = other
        if dates.is_ambiguous:
            raise _Unfit(
                f"holds dates such as {str(column.dropna().iloc[0])!r}, whose order of day and "
                "month the training table does not show; write them as 2020-01-31"
            )
    notes = _taken_as_missing(column, dates.hours, "date")
    return _Read(date_numbers(dates), (*told, *notes))


def _in_other_order(texts: pd.Series[Any], dates: Dates, order: Order) -> Dates | None:
    """The dates with days and months the other way, if that reads all that the order does and more.

    Args:
        texts: What is read.
        dates: By the order of the training rows.
        order: That order.
    """
    known = dates.hours.notna()
    if known.sum() == texts.notna().sum():
        return None
    other = read_dates(texts, "day-first" if order == "month-first" else "month-first")
    read = other.hours.notna()
    return other if read[known].all() and read.sum() > known.sum() else None


def _worded(order: Order | None) -> str:
    return "months first" if order == "month-first" else "days first"


def _taken_as_missing(
    column: pd.Series[Any], found: pd.Series[Any], kind: Kind, strict: bool = True
) -> tuple[str, ...]:
    """What is told of values that are none of a kind, if they are few; the rule of the training.

    Raises:
        _Unfit: They are many.
    """
    others = found.isna() & column.notna()
    if not others.any():
        return ()
    if strict and others.sum() > (1 - MOST) * column.notna().sum():
        raise _Unfit(_other(kind, column, others))
    first = column.index[others][0]
    return (
        f"column {str(column.name)!r}: {counted(int(others.sum()), 'value')} taken as missing, "
        f"such as {str(column[first])!r} in data row {first + 1}",
    )


def _other(kind: Kind, column: pd.Series[Any], others: pd.Series[Any]) -> str:
    first = column.index[others][0]
    how_many = f"{int(others.sum())} of {counted(int(column.notna().sum()), 'value')}"
    return (
        f"held {_KINDS[kind]} in the training table, but here data row {first + 1} is "
        f"{str(column[first])!r} ({how_many} {verb(int(others.sum()), 'is', 'are')} no {kind}); "
        "mend it, or leave its cells empty"
    )


def _categories(given: pd.Series[Any], category: CategoryColumn, table: NewTable) -> pd.Series[Any]:
    """A column's texts, each as the training rows have it where they do."""
    known = {*category.categories, *category.rare}
    missing = MISSING_TEXTS if table.missing is None else {*table.missing, ""}
    marks = MARKS if table.missing is None else {text.lower() for text in missing}
    if given.notna().any() and is_date(given):
        raise _Unfit(_other("category", given, given.notna()))

    def text_of(value: Any) -> str:
        text = str(value)
        if text in missing:
            return MISSING
        found = next((each for each in _spellings(value) if each in known), None)
        if found is None and text.strip().lower() in marks:
            return MISSING
        return text if found is None else found

    texts = given.astype(object).where(given.notna(), MISSING)
    return texts.map({value: text_of(value) for value in texts.unique()}).astype(str)


def _is_constant(column: pd.Series[Any], given: pd.Series[Any], value: str) -> pd.Series[Any]:
    """Which rows have the value that all training rows had, or none."""
    wanted = {*_spellings(value)}
    same = column.isna()
    for values in (column, given):
        values = values.astype(object)
        same |= values.map(
            {v: bool(wanted & {*_spellings(v)}) for v in values.dropna().unique()}
        ).eq(True)
    return same


def _spellings(value: Any) -> Iterable[str]:
    """A value's texts, as one reader or another may have it: 4, 4.0, or 04 of a code."""
    text = str(value)
    yield text
    yield text.strip()
    try:
        number = float(_TRUTHS.get(text.strip(), text))
    except ValueError:
        return
    if number.is_integer():
        yield str(int(number))
    yield str(number)
