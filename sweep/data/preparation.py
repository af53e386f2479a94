"""From a table as it was read to numbers that a model can learn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.base.errors import DataError
from sweep.base.wording import listed, percent, toml_list
from sweep.data.columns import MISSING, Unusable, alike, as_numbers, is_date, is_number, read_column
from sweep.data.examine.event_log import counting_hint
from sweep.data.fitted.columns import RARE, TablePreparation, unique_name
from sweep.data.fitted.fitting import MAX_CATEGORIES, MIN_CATEGORY_SHARE, Source, fitted
from sweep.data.magnitude import out_of_range
from sweep.data.sources import Table, no_such_column, raise_together

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig

Rows = npt.NDArray[np.int64]


class UnusableColumns(DataError):
    """Columns that no model can learn from.

    Attributes:
        reasons: Why, by column; a sentence that follows the column's name.
    """

    def __init__(self, text: str, reasons: Mapping[str, str]) -> None:
        super().__init__(text)
        self.reasons = dict(reasons)


def target_name(table: Table, config: DataConfig) -> str:
    """The column that is learnt, after a check of every column that the settings name.

    Raises:
        DataError: No target is named, or a named column is not there or has two roles; all
            problems together.
    """
    target = config.target or table.target
    columns = list(table.frame.columns)
    if target is None:
        raise DataError(
            f"{table.place}: data.target is missing: name the column to predict "
            f"(columns: {listed(columns)})"
            f"{'' if config.pivot else counting_hint(table.frame, None)}"
        )
    features = config.features or []
    logs = config.log1p if isinstance(config.log1p, list) else []
    roles = {
        "target": [target],
        "features": features,
        "drop": config.drop,
        "log1p": logs,
        "categories": config.categories,
        "numbers": config.numbers,
    }
    if config.split:
        ((how, by),) = config.split.model_dump(exclude_none=True).items()
        roles[f"split.{how}"] = [by]
    problems = [
        f"data.{key} = {name!r}: {no_such_column(name, table)}"
        f"{counting_hint(table.frame, name) if key == 'target' and not config.pivot else ''}"
        for key, names in roles.items()
        for name in names
        if name not in columns
    ]
    problems += [
        f"data.{key} = {target!r}: it is the target"
        for key in roles
        if key not in ("target", "log1p") and target in roles[key]
    ]
    if config.split and config.split.column in features:
        problems.append(f"data.features = {config.split.column!r}: it says how rows are split")
    problems += [
        f"data.features = {name!r}: it is in data.drop, too"
        for name in features
        if name in config.drop
    ]
    problems += [
        f"data.numbers = {name!r}: it is in data.categories, too"
        for name in config.numbers
        if name in config.categories
    ]
    raise_together(table.place, problems)
    return target


def target_values(table: Table, target: str) -> pd.Series[Any]:
    """The target as float64, NaN where it is missing.

    Raises:
        DataError: A value is not a number, or infinite.
    """
    column = table.frame[target]
    if is_date(column):
        raise DataError(f"{table.place}: data.target = {target!r}: it holds dates, not numbers")
    if not is_number(column):
        numbers = pd.to_numeric(column.astype(object), errors="coerce")
        wrong = column.index[numbers.isna() & column.notna()]
        if len(wrong):
            raise DataError(
                f"{table.place}: data.target = {target!r}: data row {wrong[0] + 1} is "
                f"{column[wrong[0]]!r}, not a number{_remedy(len(wrong), int(column.count()))}"
            )
        column = numbers
    values = as_numbers(column)
    infinite = values.index[np.isinf(values)]
    if len(infinite):
        raise DataError(
            f"{table.place}: data.target = {target!r} is infinite in data row {infinite[0] + 1}; "
            "leave the row out, or put a number in its place"
        )
    return values


def _remedy(wrong: int, known: int) -> str:
    if 2 * wrong > known:
        return (
            "; a target is a number, such as 0 and 1 for no and yes; "
            "for classes give --loss cross_entropy"
        )
    others = f", nor are {wrong - 1} more of {known}" if wrong > 1 else ""
    return f"{others}; mend it, or name in data.missing what stands for nothing"


class Preparation:
    """The feature columns of a table: checked, made numbers, and fitted on the training rows.

    Args:
        table: The rows with a target.
        target: The column that is learnt.
        config: The study's data settings.

    Attributes:
        notes: What was left out, filled in and encoded, a sentence each.
        missing: How many values each column lacks, where it lacks any, once `fit` has run.
        constant: The columns left out for having one value in the training rows, once `fit` has
            run.

    Raises:
        DataError: A column cannot be learnt from, or none is left.
    """

    def __init__(self, table: Table, target: str, config: DataConfig) -> None:
        self.notes: list[str] = []
        self.missing: dict[str, int] = {}
        self.constant: tuple[str, ...] = ()
        self._place = table.place
        self._config = config
        by = [config.split.name] if config.split else []
        self._given = table.frame
        self._constants: dict[str, str] = {}
        self._columns = list(dict.fromkeys([*table.frame.columns, *by]))
        self._sources: dict[str, Source] = {}
        self._date_parts: set[str] = set()
        self._logs: set[str] = set()
        self._fixed: set[str] = set()
        chosen = config.features
        if chosen is None:
            chosen = [c for c in table.frame.columns if c != target and c not in config.drop]
        columns: dict[str, pd.Series[Any]] = {}
        taken = dict.fromkeys(chosen)
        unusable: dict[str, str] = {}
        for name in taken:
            try:
                read = read_column(table.frame[name], config)
            except Unusable as problem:
                unusable[name] = str(problem)
                continue
            if reason := next(filter(None, map(self._out_of_range, read.columns.values())), ""):
                unusable[name] = reason
                continue
            self.notes += read.notes
            for part, values in read.columns.items():
                own = part if part == name else unique_name(part, (*columns, *taken))
                columns[own] = values.rename(own)
                self._sources[own] = Source(name, read.parts.get(part, ""), read.order)
                if part != name:
                    self._date_parts.add(own)
        self._refuse(unusable)
        self._refuse_none(columns)
        self.frame = pd.DataFrame(columns)
        self.numbers = [name for name in columns if columns[name].dtype == np.float64]
        self.categories = [name for name in columns if name not in self.numbers]

    def _out_of_range(self, values: pd.Series[Any]) -> str:
        if values.dtype != np.float64:
            return ""
        logs = self._config.log1p
        if (logs is True or (logs and values.name in logs)) and values.min() >= 0:
            values = log1p(values, self._place)
        return out_of_range(values, self._config.scale is not False)

    def _refuse(self, reasons: Mapping[str, str]) -> None:
        """Refuse columns, all together, with what leaves them out.

        Raises:
            UnusableColumns: There are any.
        """
        if not reasons:
            return
        them = "it" if len(reasons) == 1 else "them"
        remedy = f"take {them} out of data.features"
        if self._config.features is None:
            dropped = toml_list(dict.fromkeys([*self._config.drop, *reasons]))
            remedy = f"leave {them} out with drop = {dropped} under [data]"
        if len(reasons) == 1:
            ((name, reason),) = reasons.items()
            text = f"column {name!r} {reason}; {remedy}"
        else:
            lines = [f"  {name!r} {reason}" for name, reason in reasons.items()]
            text = "\n".join(
                [f"{len(reasons)} columns cannot be learnt from", *lines, f"  {remedy}"]
            )
        raise UnusableColumns(f"{self._place}: {text}", reasons)

    def _refuse_none(self, left: Iterable[str]) -> None:
        if not list(left):
            reasons = "".join(f"\n  {note}" for note in self.notes)
            raise DataError(f"{self._place}: no feature column is left{reasons}")

    def take_logs(self, names: Iterable[str]) -> None:
        """Replace columns by log(1 + value).

        Raises:
            DataError: A column is not among the features or no number, or a value is negative.
        """
        for name in names:
            if name not in self.numbers:
                what = "it is not a number" if name in self.categories else "it is not a feature"
                raise DataError(f"{self._place}: data.log1p = {name!r}: {what}")
            self.frame[name] = log1p(self.frame[name], self._place)
            self._logs.add(name)

    def fit(self, train: Rows) -> TablePreparation:
        """Learn medians, scales and categories from the training rows.

        Args:
            train: Positions of the training rows.

        Returns:
            What makes a model's input of `frame`, and of new rows.

        Raises:
            DataError: No column is left.
        """
        self._treat_constant(train)
        self._leave_out_rare(train)
        self._note_missing()
        learnt = fitted(
            self.frame.iloc[train],
            self.numbers,
            self.categories,
            self._sources,
            scale=self._config.scale is not False,
            logs=self._logs,
            fixed=self._fixed,
            columns=self._columns,
            constants=self._constants,
        )
        if self.categories:
            self._note_categories(train, sum(len(each.prepared) for each in learnt.categories))
        return learnt

    def _treat_constant(self, train: Rows) -> None:
        """Leave out the columns with one value in all training rows, or keep them as it."""
        varied = self.frame.iloc[train].nunique() > 1
        constant = [name for name in self.frame.columns if not varied[name]]
        told = [name for name in constant if name not in self._date_parts]
        for name in told:
            known = self._given[self._sources[name].column].iloc[train].dropna()
            if len(known):
                self._constants[name] = str(known.iloc[0])
        columns = f"column{'s' if len(told) > 1 else ''} {_quoted(told)}"
        if self._config.constant == "keep":
            for name in told:
                # What varies in other rows alone cannot be learnt from.
                known = self.frame[name].iloc[train].dropna()
                self.frame[name] = known.iloc[0] if len(known) else np.nan
                self._fixed.add(name)
            left_out = [name for name in constant if name in self._date_parts]
            if told:
                self.notes.append(f"{columns} kept: one value in all training rows")
        else:
            left_out = constant
            self.constant = tuple(told)
            if told:
                self.notes.append(
                    f"{columns} left out: one value in all training rows "
                    f'(data.constant = "keep" keeps {"them" if len(told) > 1 else "it"})'
                )
        self._keep_only(name for name in self.frame.columns if name not in left_out)
        if parts := [name for name in self.numbers if name in self._date_parts]:
            self.notes.append(f"dates made into numbers: {_quoted(parts)}")
        self._refuse_none(self.numbers + self.categories)

    def _keep_only(self, names: Iterable[str]) -> None:
        kept = set(names)
        self.numbers = [name for name in self.numbers if name in kept]
        self.categories = [name for name in self.categories if name in kept]

    def _leave_out_rare(self, train: Rows) -> None:
        """Leave out columns of which no category is frequent enough for a column of its own."""
        for name in list(self.categories):
            counts = self.frame[name].iloc[train].value_counts()
            if len(counts) > 1 and counts.iloc[0] < MIN_CATEGORY_SHARE * len(train):
                self.categories.remove(name)
                self.notes.append(
                    f"column {name!r} left out: each of its {len(counts)} different texts is in "
                    f"less than {MIN_CATEGORY_SHARE:.0%} of the training rows"
                )
        self._refuse_none(self.numbers + self.categories)

    def _note_missing(self) -> None:
        gaps = {name: int(self.frame[name].isna().sum()) for name in self.numbers}
        gaps |= {name: int((self.frame[name] == MISSING).sum()) for name in self.categories}
        self.missing = {name: count for name, count in gaps.items() if count}
        counts = [f"{name!r} ({gaps[name]})" for name in self.numbers if gaps[name]]
        if counts:
            self.notes.append(f"missing values filled with the training median: {listed(counts)}")

    def _note_categories(self, train: Rows, encoded: int) -> None:
        told = listed(f"{name!r} ({self._levels(name, train)})" for name in self.categories)
        self.notes.append(f"texts encoded as {encoded} columns of 0 and 1: {told}")
        for name in self.categories:
            if same := alike(self.frame[name]):
                self.notes.append(
                    f"column {name!r} has categories that differ by blanks or case alone: {same}"
                )

    def _levels(self, name: str, train: Rows) -> str:
        """How many categories of a column have a column of their own, and how many share one."""
        counts = self.frame[name].iloc[train].value_counts()
        apart = counts[counts >= MIN_CATEGORY_SHARE * len(train)]
        if len(counts) > MAX_CATEGORIES or len(apart) < len(counts):
            apart = apart[: MAX_CATEGORIES - 1]
        if len(apart) == len(counts):
            return f"{len(counts)} categories"
        rare = float(1 - apart.sum() / len(train))
        return (
            f"{len(apart)} of {len(counts)} categories, the others, in {percent(rare)} of the "
            f"training rows, as {RARE}"
        )


def log1p(values: pd.Series[Any], place: str) -> pd.Series[Any]:
    """log(1 + value) of a column of counts or amounts.

    Raises:
        DataError: A value is negative.
    """
    negative = values.index[values < 0]
    if len(negative):
        row = negative[0]
        raise DataError(
            f"{place}: data.log1p = {values.name!r}: data row {row + 1} is {values[row]:g}; "
            "log(1 + value) needs values of at least 0"
        )
    return pd.Series(np.log1p(values.to_numpy()), index=values.index, name=values.name)


def _quoted(names: Sequence[str]) -> str:
    return listed(map(repr, names))
