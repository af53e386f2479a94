"""Which rows are trained on, which are for validation and for the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.base.errors import DataError, did_you_mean
from sweep.base.wording import counted
from sweep.data.columns import MOST, as_numbers, is_date, is_number, numbers_in
from sweep.data.dates import of_timestamps, of_whole_numbers, read_dates

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig

Rows = npt.NDArray[np.int64]
Moments = npt.NDArray[Any]

AT_RANDOM = "at random"
PARTS = ("train", "validation", "test")
"""What a column says that rows are split by."""


@dataclass(frozen=True)
class Split:
    """Positions of rows.

    Args:
        train: Of those to train on.
        validation: Of those that schedules are chosen by.
        test: Of those that are looked at once, at the end.
        told: How they were split.
        last: Of those to train on, the ones of the last moment; none unless it is by time.
        is_by_dates: Whether it is by time, and that is dates, not numbers.
    """

    train: Rows
    validation: Rows
    test: Rows
    told: str = AT_RANDOM
    last: Rows | None = None
    is_by_dates: bool = False


def split_rows(
    place: str, rows: int, config: DataConfig, seed: int, column: pd.Series[Any] | None = None
) -> Split:
    """Which rows are on which side.

    Args:
        place: What an error message calls the table.
        rows: How many there are.
        config: The study's data settings.
        seed: What a split at random, and one by groups, derives from.
        column: Of the table, the one that rows are split by; missing in none, unless it says of
            each row where it belongs.

    Raises:
        DataError: There are too few, or the column does not say how to split them.
    """
    if column is None or config.split is None:
        split = _at_random(place, rows, config, seed)
    elif config.split.by:
        split = _by_time(f"{place}: data.split.by = {config.split.by!r}", column, config)
    elif config.split.group:
        split = _by_group(
            f"{place}: data.split.group = {config.split.group!r}", column, config, seed
        )
    else:
        split = _as_told(f"{place}: data.split.column = {config.split.column!r}", column)
    if len(split.train) < 2 or len(split.validation) < 2:
        raise DataError(
            f"{place}: too few rows: {len(split.train)} to train on and {len(split.validation)} "
            "for validation, where each needs at least 2"
        )
    return split


def _at_random(place: str, rows: int, config: DataConfig, seed: int) -> Split:
    test = round(rows * config.test)
    validation = round(rows * config.validation)
    train = rows - test - validation
    if train < 2 or validation < 2 or (config.test and not test):
        raise DataError(
            f"{place}: too few rows: of {rows} with a target, data.validation = "
            f"{config.validation:g} takes {validation} and data.test = {config.test:g} takes "
            f"{test}, which leaves {train} to train on; training and validation need at least 2, "
            "the test 1 unless data.test = 0"
        )
    order = np.random.default_rng(seed).permutation(rows)
    return Split(order[test + validation :], order[test : test + validation], order[:test])


def _by_time(named: str, column: pd.Series[Any], config: DataConfig) -> Split:
    """The last rows for the test, those before them for validation; equal times on one side."""
    moments, is_by_dates = moments_of(named, column, config)
    times, place, counts = np.unique(moments, return_inverse=True, return_counts=True)
    _check_sides(named, len(times), "different time", len(column), config)
    up_to = np.cumsum(counts)  # rows up to each time
    most = len(times) - 1
    tested = len(times)
    if config.test:
        tested = _nearest(up_to, len(column) * (1 - config.test), 2, most)
    chosen = _nearest(up_to, len(column) * (1 - config.test - config.validation), 1, tested - 1)
    train, validation, test = (
        np.flatnonzero((place >= low) & (place < high))
        for low, high in ((0, chosen), (chosen, tested), (tested, len(times)))
    )
    shown = [_shown(times[at], times) for at in (0, chosen - 1, chosen, tested - 1, most)]
    told = (
        f"by time, of {column.name!r}: to train on from {shown[0]} to {shown[1]}, for validation "
        f"from {shown[2]} to {shown[3]}"
    )
    if config.test:
        told += f", for the test from {_shown(times[tested], times)} to {shown[4]}"
    if len(times) < len(column):
        told += "; rows of the same time are on the same side"
    return Split(
        train,
        validation,
        test,
        told,
        last=np.flatnonzero(place == chosen - 1),
        is_by_dates=is_by_dates,
    )


def _nearest(up_to: Rows, rows: float, least: int, most: int) -> int:
    """How many of the first times have together about so many rows, from `least` to `most`."""
    distances = np.abs(up_to[least - 1 : most] - rows)
    return least + int(distances.argmin())


def _check_sides(named: str, found: int, what: str, rows: int, config: DataConfig) -> None:
    """That there is a time or a group for each side; else a DataError."""
    if found < (3 if config.test else 2):
        without_test = " (data.test = 0 needs none for the test)" if config.test else ""
        raise DataError(
            f"{named}: {counted(found, what)} in {counted(rows, 'row')}; each side needs one of "
            f"its own{without_test}: give a finer column, or leave data.split out for a split at "
            "random"
        )


def moments_of(named: str, column: pd.Series[Any], config: DataConfig) -> tuple[Moments, bool]:
    """What a column of time is sorted by, and whether it is dates.

    Raises:
        DataError: It holds something that cannot be put in order.
    """
    if is_number(column):
        numbers = as_numbers(column)
        dates = of_whole_numbers(numbers)
    elif is_date(column):
        numbers, dates = None, of_timestamps(column)
    else:
        numbers, dates = numbers_in(column), None
        if numbers.notna().mean() < MOST:
            order = config.dates if isinstance(config.dates, str) else None
            dates = read_dates(column.astype(str), order)
    found = numbers if dates is None else dates.moments
    if dates is not None and dates.is_ambiguous:
        raise DataError(
            f"{named}: dates such as {str(column.iloc[0])!r} do not show whether days or months "
            'come first; say it with data.dates = "day-first" or "month-first"'
        )
    if found is None:
        raise DataError(f"{named}: it holds durations; give a column of dates or numbers")
    wrong = column.index[found.isna() | (found == np.inf) | (found == -np.inf)]
    if len(wrong):
        others = f", nor are {len(wrong) - 1} more of {len(column)}" if len(wrong) > 1 else ""
        raise DataError(
            f"{named}: data row {wrong[0] + 1} is {str(column[wrong[0]])!r}, no date or number to "
            f"sort by{others}; mend it, or name in data.missing what stands for nothing"
        )
    return found.to_numpy(), dates is not None


def _shown(time: Any, times: Moments) -> str:
    """A date without its time of day where none of them has one; or a number."""
    if times.dtype.kind != "M":
        return f"{time:.15g}"
    stamp = pd.Timestamp(time)
    stamps = pd.DatetimeIndex(times)
    if (stamps == stamps.normalize()).all():
        return f"{stamp:%Y-%m-%d}"
    return f"{stamp:%Y-%m-%d %H:%M}" if (stamps.second == 0).all() else f"{stamp:%Y-%m-%d %X}"


def _by_group(named: str, column: pd.Series[Any], config: DataConfig, seed: int) -> Split:
    """Groups at random, so that their rows come near the shares."""
    codes, names = pd.factorize(column)
    _check_sides(named, len(names), "group", len(column), config)
    sizes = np.bincount(codes)
    left = [*np.random.default_rng(seed).permutation(len(names))]
    sides = []
    for share, leaves in ((config.test, 2), (config.validation, 1)):
        taken = _groups_near(len(column) * share, sizes, left, len(left) - leaves)
        left = [group for group in left if group not in taken]
        sides.append(taken)
    test, validation = sides
    told = (
        f"by group, of {column.name!r}: {counted(len(left), 'group')} to train on, "
        f"{len(validation)} for validation, {len(test)} for the test"
    )
    rows = [np.flatnonzero(np.isin(codes, list(side))) for side in (left, validation, test)]
    return Split(rows[0], rows[1], rows[2], told)


def _groups_near(rows: float, sizes: Rows, groups: list[int], most: int) -> set[int]:
    """Those of some groups that each bring the rows nearer to how many are wanted."""
    if not rows:
        return set()
    taken, has = set[int](), 0
    for group in groups:
        if len(taken) < most and abs(has + sizes[group] - rows) < abs(has - rows):
            taken.add(group)
            has += sizes[group]
    return taken or {min(groups, key=lambda group: sizes[group])}


def _as_told(named: str, column: pd.Series[Any]) -> Split:
    """As a column says of each row."""
    words = column.astype(object).map(lambda value: str(value).strip().casefold())
    words = words.where(column.notna(), "")
    wrong = column.index[~words.isin(PARTS)]
    if len(wrong):
        value = words[wrong[0]]
        is_told = f"is {str(column[wrong[0]])!r}" if value else "is empty"
        others = f", and so are {len(wrong) - 1} more" if len(wrong) > 1 else ""
        near = did_you_mean(value, PARTS) if value else ""
        raise DataError(
            f"{named}: data row {wrong[0] + 1} {is_told}{others}; expected train, validation or "
            f"test{near}"
        )
    train, validation, test = (np.flatnonzero(words == part) for part in PARTS)
    return Split(train, validation, test, f"as {column.name!r} says of each row")
