"""Where a table comes from: a built-in source, a file, or the user's own function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.base.errors import DataError, did_you_mean
from sweep.base.user_code import is_reference, load_object
from sweep.base.wording import counted, listed
from sweep.data.arrays import Arrays, arrays_of, as_array, is_a_table
from sweep.data.columns import alike
from sweep.data.reading.files import find_table, known_endings, read_file
from sweep.study.registries.sources import SOURCES

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig, PivotConfig, SplitConfig

OF_FILES = ("columns", "encoding", "separator", "decimal", "thousands", "missing")
"""Settings that say how a file is read."""

MAX_CODES = 1000
NO_HEADER_HINT = "; if the file has no header, name its columns with data.columns"


@dataclass(frozen=True)
class Table:
    """A table as it was read, before its columns are checked.

    Args:
        frame: The rows; every column name is a text and occurs once.
        place: What an error message calls the table.
        target: The column that is learnt unless the settings name another.
        notes: What happened on the way, a sentence each.
        hint: What to consider when a column seems to be missing.
        keys: Of an event log: what each row counts the events of, such as a user.
        decimal: The mark before the decimals of numbers in texts; empty where none has one.
    """

    frame: pd.DataFrame
    place: str
    target: str | None = None
    notes: tuple[str, ...] = ()
    hint: str = ""
    keys: pd.Series[Any] | None = None
    decimal: str = ""


GIVEN = "__main__:dataframe"
"""The source that stands for a table, or arrays, in the memory of this process."""

_given: list[Any] = []


def give(data: Any) -> str:
    """Keep a DataFrame, or arrays, for the source GIVEN, in the place of the last one."""
    _given[:] = [data.copy() if isinstance(data, pd.DataFrame) else data]
    return GIVEN


def read_source(config: DataConfig, folders: tuple[Path, ...] = ()) -> Table | Arrays:
    """Read the table that the settings name, pivoted if they ask for it, or the arrays.

    Args:
        config: The study's data settings.
        folders: Where relative paths and modules are looked for, in this order; the working
            folder if there are none.

    Raises:
        DataError: There is no such source, or it does not give a table.
    """
    name = config.source
    if name in SOURCES:
        _refuse(config, (*OF_FILES, "pivot"), f"the built-in source {name!r} is a table already")
        return Table(SOURCES[name].table(config), name, SOURCES[name].target)
    if is_reference(name) or ".py:" in name:
        called = _call(config, folders)
        if isinstance(called, Arrays):
            return called
        table = called
    elif "." in name or "/" in name or "\\" in name:
        table = _read_file(config, folders)
    else:
        raise DataError(
            f"data.source = {name!r}: unknown source{did_you_mean(name, SOURCES)} "
            f"({', '.join(SOURCES)}, a path ending in {known_endings()}, or 'module:function')"
        )
    _refuse_duplicates(table)
    if config.pivot is not None:
        table = pivoted(table, config.pivot, config.split)
    if len(table.frame) == 0:
        raise DataError(f"{table.place}: has no rows")
    return table


def pivoted(table: Table, pivot: PivotConfig, split: SplitConfig | None = None) -> Table:
    """The table of counts of a table of events, with the column that its rows are split by.

    Raises:
        DataError: A column of the pivot is not there, or has too many codes, or the rows cannot be
            split so.
    """
    columns = pivot.index, pivot.columns
    named = {"pivot.index": pivot.index, "pivot.columns": pivot.columns}
    if split:
        named["split"] = split.name
    problems = [
        f"data.{key} = {column!r}: {no_such_column(column, table)}"
        for key, column in named.items()
        if column not in table.frame.columns
    ]
    raise_together(table.place, problems)
    try:
        counts, notes = pivot_counts(table.frame, *columns, *([split.name] if split else []))
    except DataError as error:
        raise DataError(f"{table.place}: {error}") from None
    keys = counts.index.to_series(name=pivot.index).reset_index(drop=True)
    counts = counts.reset_index(drop=True)
    notes = (*table.notes, *notes)
    return Table(counts, table.place, table.target, notes, keys=keys, decimal=table.decimal)


def pivot_counts(
    events: pd.DataFrame, index: str, columns: str, along: str | None = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Count the events of an event log.

    Args:
        events: A row per event.
        index: The column whose values become rows, such as a user's number.
        columns: The column whose values, the codes, become columns.
        along: A column that is to stand beside the counts, such as what rows are split by.

    Returns:
        The counts, with a row per value of `index`, which they are indexed by, and a column per
        code, in sorted order and named by the code's text (4 and 4.0 become "4"); and notes on
        events left out because either value is missing, and on values that are probably the same.

    Raises:
        DataError: There are more codes than a table can sensibly have columns, or the events of
            one value of `index` differ in the column that is to stand beside the counts.
    """
    if index == columns:
        raise DataError(f"data.pivot: index and columns are both {index!r}; name two columns")
    known = events[[index, columns]].dropna()
    keys = [_codes(known[name]) for name in (index, columns)]
    if keys[1].nunique() > MAX_CODES:
        raise DataError(
            f"data.pivot.columns = {columns!r}: {keys[1].nunique()} different codes would become "
            f"as many columns (at most {MAX_CODES}); name the column that says what happened"
        )
    counts = known.groupby(keys, observed=True).size().unstack(fill_value=0)
    left_out = len(events) - len(known)
    notes = []
    if left_out:
        what = f"no {index!r} or no {columns!r}"
        notes.append(f"{left_out} of {len(events)} events left out: {what}")
    for name in (columns, index):
        if same := alike(known[name]):
            notes.append(f"values of {name!r} that differ by blanks or case are kept apart: {same}")
    table = _with_text_names(counts)
    if along is not None:
        table[along] = _one_of_each(events.loc[known.index, along], keys[0], along)
    return table, tuple(notes)


def _one_of_each(values: pd.Series[Any], index: pd.Series[Any], name: str) -> pd.Series[Any]:
    """What a column says of each row of a pivot.

    Raises:
        DataError: Its events differ in it.
    """
    if values.name == index.name:
        return index.groupby(index).first()
    groups = values.groupby(index)
    different = groups.nunique(dropna=False)
    several = different[different > 1]
    if len(several):
        raise DataError(
            f"data.split = {name!r}: a row of the pivot counts all events of one {index.name!r}, "
            f"and those of {str(several.index[0])!r} have {several.iloc[0]} values of it; split by "
            f"a column that is the same in all events of one {index.name!r}, or leave data.split "
            "out: then each is on one side, at random"
        )
    return groups.first()


def _codes(values: pd.Series[Any]) -> pd.Series[Any]:
    """Codes that sort and print well: whole numbers without a point, all else as texts."""
    if pd.api.types.is_integer_dtype(values):
        return values
    if pd.api.types.is_float_dtype(values) and (values % 1 == 0).all():
        return values.astype("int64")
    return values.astype(str)


def _with_text_names(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis([str(name) for name in frame.columns], axis="columns")


def _read_file(config: DataConfig, folders: tuple[Path, ...]) -> Table:
    """The table in a file."""
    name = config.source
    path = find_table(name, folders)
    try:
        read = read_file(path, config)
    except DataError as error:
        text = str(error)
        raise DataError(f"{name}: {text}") from error
    numbers = config.columns is None and any(map(_is_number, read.frame.columns))
    hint = NO_HEADER_HINT if read.is_text and numbers else ""
    return Table(read.frame, name, notes=read.notes, hint=hint, decimal=read.decimal)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _call(config: DataConfig, folders: tuple[Path, ...]) -> Table | Arrays:
    """Call the user's function and make a table of what it returns, or find arrays in it."""
    name = config.source
    if name == GIVEN:
        if not _given:
            raise DataError(
                "the study's table was a DataFrame, or arrays, of another program, and is known "
                "there alone; give it again: run_study(..., data=dataframe)"
            )
        _refuse(config, OF_FILES, "it says how a file is read")
        is_frame = isinstance(_given[0], pd.DataFrame)
        return _returned(config, "the DataFrame" if is_frame else "data", _given[0])
    function = load_object(name, folders, DataError)
    if not callable(function):
        kind = type(function).__name__
        raise DataError(f"{name!r} is of type {kind}; expected a function without arguments")
    _refuse(config, OF_FILES, "it says how a file is read")
    try:
        result = function()
    except Exception as error:
        kind = type(error).__name__
        raise DataError(f"{name!r}: calling it failed: {kind}: {error}") from error
    return _returned(config, name, result)


def _returned(config: DataConfig, name: str, result: Any) -> Table | Arrays:
    """What a function of the user's own returned, as a table or as arrays."""
    if isinstance(result, pd.DataFrame):
        return Table(_with_text_names(result.reset_index(drop=True)), name)
    if isinstance(result, tuple | list) and len(result) in (2, 4, 6):
        _refuse(config, ("pivot",), f"{name!r} returned arrays, not an event log")
        if len(result) == 2 and _is_a_table(name, result[0], result[1]):
            target = config.target or "y"
            return Table(_join(name, result[0], result[1], target), name, target)
        return arrays_of(name, result, config)
    several = isinstance(result, tuple | list)
    of = f" with {counted(len(result), 'item')}" if several else ""
    raise DataError(
        f"{name!r} returned an object of type {type(result).__name__}{of}; "
        "expected a pandas DataFrame or a pair (x, y) of arrays or tensors, or four of them, "
        "(x, y, x_validation, y_validation), or six, with x_test, y_test"
    )


def _is_a_table(name: str, x: Any, y: Any) -> bool:
    try:
        return is_a_table(x, y)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{name!r} returned a pair, but not of arrays: {error}") from error


def _join(name: str, x: Any, y: Any, target: str) -> pd.DataFrame:
    """A table of a pair; columns are `x0`, `x1`, ... unless x is a DataFrame with names."""
    try:
        features, values = _array(x), _array(y)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{name!r} returned a pair, but not of arrays: {error}") from error
    if features.ndim == 1:
        features = features[:, None]
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if features.ndim != 2 or values.ndim != 1 or len(features) != len(values):
        raise DataError(
            f"{name!r} returned x of shape {np.shape(x)} and y of shape {np.shape(y)}; "
            "expected (rows, features) or (rows,) and (rows,) or (rows, 1)"
        )
    if isinstance(x, pd.DataFrame):
        frame = _with_text_names(x.reset_index(drop=True))
    else:
        names = [f"x{place}" for place in range(features.shape[1])]
        frame = pd.DataFrame(features, columns=names)
    column = pd.Series(values, name=target)
    return pd.concat([frame, column], axis="columns")


def _array(values: Any) -> np.ndarray[Any, Any]:
    """A NumPy array of an array or a list; of a tensor, of 64-bit floats."""
    array = as_array(values)
    return array.astype(np.float64) if hasattr(values, "detach") else array


def _refuse(config: DataConfig, keys: Sequence[str], reason: str) -> None:
    for key in keys:
        if getattr(config, key) is not None:
            raise DataError(f"data.{key} does not fit data.source = {config.source!r}: {reason}")


def _refuse_duplicates(table: Table) -> None:
    columns = table.frame.columns
    if twice := list(dict.fromkeys(columns[columns.duplicated()])):
        raise DataError(
            f"{table.place}: more than one column is named {listed(map(repr, twice))}{table.hint}"
        )


def no_such_column(name: str, table: Table) -> str:
    """What to say when a column that the settings name is not there."""
    columns = list(table.frame.columns)
    return f"no such column{did_you_mean(name, columns)} (columns: {listed(columns)}){table.hint}"


def raise_together(place: str, problems: Sequence[str]) -> None:
    """Raise one DataError for all problems with a table, if there are any."""
    if len(problems) == 1:
        raise DataError(f"{place}: {problems[0]}")
    if problems:
        raise DataError("\n  ".join([f"{place}: {len(problems)} problems", *problems]))
