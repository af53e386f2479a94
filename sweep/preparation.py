"""From a table as it was read to numbers that a model can learn from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sweep.errors import DataError
from sweep.sources import Table, listed, no_such_column, raise_together

if TYPE_CHECKING:
    from sweep.settings import DataConfig

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Kind = Literal["number", "text", "date"]

ID_NAME = re.compile(r"(?i:id|uuid|guid|index|unnamed: \d+|.*_(id|uuid|guid))|.*[a-z]I[dD]")
ID_SHARE = 0.95
MAX_TEXTS = 1000
MAX_CATEGORIES = 20
MIN_CATEGORY_SHARE = 0.01
MISSING = "(missing)"
RARE = "(rare)"

# What pandas calls the contents of a column of Python objects.
NUMBER_KINDS = {"boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty"}
DATE_KINDS = {"date", "datetime", "datetime64", "time", "timedelta", "timedelta64", "period"}


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
        )
    features = config.features or []
    logs = config.log1p if isinstance(config.log1p, list) else []
    roles = {"target": [target], "features": features, "drop": config.drop, "log1p": logs}
    problems = [
        f"data.{key} = {name!r}: {no_such_column(name, table)}"
        for key, names in roles.items()
        for name in names
        if name not in columns
    ]
    problems += [
        f"data.{key} = {target!r}: it is the target"
        for key in ("features", "drop")
        if target in roles[key]
    ]
    problems += [
        f"data.features = {name!r}: it is in data.drop, too"
        for name in features
        if name in config.drop
    ]
    raise_together(table.place, problems)
    return target


def target_values(table: Table, target: str) -> pd.Series[Any]:
    """The target as float64, NaN where it is missing.

    Raises:
        DataError: A value is not a number, or infinite.
    """
    column = table.frame[target]
    kind = _kind(column)
    if kind == "date":
        raise DataError(f"{table.place}: data.target = {target!r}: it holds dates, not numbers")
    if kind == "text":
        numbers = pd.to_numeric(column.astype(object), errors="coerce")
        wrong = column.index[numbers.isna() & column.notna()]
        if len(wrong):
            raise DataError(
                f"{table.place}: data.target = {target!r}: data row {wrong[0] + 1} is "
                f"{column[wrong[0]]!r}, not a number"
            )
        column = numbers
    values = _as_numbers(column)
    _refuse_infinite(values, table.place)
    return values


class Preparation:
    """The feature columns of a table: checked, made numbers, and fitted on the training rows.

    Args:
        table: The rows with a target.
        target: The column that is learnt.
        config: The study's data settings.

    Attributes:
        notes: What was left out, filled in and encoded, a sentence each.
        names: The prepared columns' names, once `fit` has run.
        missing: How many values each column lacks, where it lacks any, once `fit` has run.

    Raises:
        DataError: A column cannot be learnt from, or none is left.
    """

    def __init__(self, table: Table, target: str, config: DataConfig) -> None:
        self.notes: list[str] = []
        self.names: tuple[str, ...] = ()
        self.missing: dict[str, int] = {}
        self._place = table.place
        self._scale = config.scale
        self._explicit = config.features is not None
        chosen = config.features
        if chosen is None:
            chosen = [c for c in table.frame.columns if c != target and c not in config.drop]
        columns = {}
        for name in dict.fromkeys(chosen):
            column = self._read(table.frame[name])
            if column is not None:
                columns[name] = column
        self._refuse_none(columns)
        self.frame = pd.DataFrame(columns)
        self.numbers = [name for name in columns if columns[name].dtype == np.float64]
        self.categories = [name for name in columns if name not in self.numbers]

    def _read(self, column: pd.Series[Any]) -> pd.Series[Any] | None:
        """The column as float64 or as texts; None if it is left out."""
        kind = _kind(column)
        if kind == "date":
            if self._explicit:
                raise DataError(
                    f"{self._place}: data.features = {column.name!r}: it holds dates; "
                    "turn them into numbers first"
                )
            self.notes.append(f"column {column.name!r} left out: it holds dates")
            return None
        values = _as_numbers(column) if kind == "number" else _as_texts(column)
        if not self._explicit and _is_id(values):
            self.notes.append(
                f"column {column.name!r} left out: it tells rows apart ({values.nunique()} "
                f"different values in {len(values)} rows); name it in data.features to keep it"
            )
            return None
        if kind == "text":
            _refuse_many_texts(values, self._place)
        else:
            _refuse_infinite(values, self._place)
        return values

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

    def fit(self, train: Rows) -> Floats:
        """Learn medians, scales and categories from the training rows, and prepare all rows.

        Args:
            train: Positions of the training rows.

        Returns:
            All rows, shape (rows, prepared columns).
        """
        self._leave_out_constant(train)
        self._note_missing()
        steps = [SimpleImputer(strategy="median"), *([StandardScaler()] if self._scale else [])]
        encoder = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=MIN_CATEGORY_SHARE,
            max_categories=MAX_CATEGORIES,
            sparse_output=False,
            feature_name_combiner=_category_name,
        )
        transformer = ColumnTransformer(
            [("numbers", make_pipeline(*steps), self.numbers), ("texts", encoder, self.categories)],
            verbose_feature_names_out=False,
        )
        transformer.fit(self.frame.iloc[train])
        self.names = tuple(map(str, transformer.get_feature_names_out()))
        self._note_categories()
        return np.asarray(transformer.transform(self.frame), dtype=np.float64)

    def _leave_out_constant(self, train: Rows) -> None:
        varied = self.frame.iloc[train].nunique() > 1
        constant = [name for name in self.frame.columns if not varied[name]]
        if constant:
            columns = f"column{'s' if len(constant) > 1 else ''} {_quoted(constant)}"
            self.notes.append(f"{columns} left out: one value in all training rows")
        self.numbers = [name for name in self.numbers if varied[name]]
        self.categories = [name for name in self.categories if varied[name]]
        self._refuse_none(self.numbers + self.categories)

    def _note_missing(self) -> None:
        gaps = {name: int(self.frame[name].isna().sum()) for name in self.numbers}
        gaps |= {name: int((self.frame[name] == MISSING).sum()) for name in self.categories}
        self.missing = {name: count for name, count in gaps.items() if count}
        counts = [f"{name!r} ({gaps[name]})" for name in self.numbers if gaps[name]]
        if counts:
            self.notes.append(f"missing values filled with the training median: {listed(counts)}")

    def _note_categories(self) -> None:
        if self.categories:
            encoded = len(self.names) - len(self.numbers)
            self.notes.append(
                f"texts encoded as {encoded} columns of 0 and 1: {_quoted(self.categories)}"
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


def _kind(column: pd.Series[Any]) -> Kind:
    if pd.api.types.is_numeric_dtype(column):
        return "number"
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "text"
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in NUMBER_KINDS:
        return "number"
    return "date" if kind in DATE_KINDS else "text"


def _as_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(values, index=column.index, name=column.name)


def _as_texts(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype(object).where(column.notna(), MISSING).astype(str)


def _refuse_infinite(values: pd.Series[Any], place: str) -> None:
    infinite = values.index[np.isinf(values)]
    if len(infinite):
        raise DataError(
            f"{place}: column {values.name!r} is infinite in data row {infinite[0] + 1}; "
            "leave the row out, or put a number in its place"
        )


def _is_id(values: pd.Series[Any]) -> bool:
    """Whether a column is named like an id and is whole or a text, another in nearly every row."""
    if not ID_NAME.fullmatch(str(values.name)):
        return False
    if values.dtype == np.float64 and not (values.dropna() % 1 == 0).all():
        return False
    return bool(values.nunique() >= ID_SHARE * len(values))


def _refuse_many_texts(texts: pd.Series[Any], place: str) -> None:
    """Refuse a column of texts that are no categories."""
    different = texts.nunique()
    if different <= MAX_TEXTS and (different <= 50 or different <= len(texts) / 2):
        return
    message = (
        f"{place}: column {texts.name!r} has {different} different texts in {len(texts)} rows, "
        f'too many for categories; leave it out with drop = ["{texts.name}"] under [data]'
    )
    wrong = texts.index[pd.to_numeric(texts, errors="coerce").isna() & (texts != MISSING)]
    if 0 < len(wrong) < len(texts) / 2:
        message += f"; most of them are numbers, but data row {wrong[0] + 1} is {texts[wrong[0]]!r}"
    raise DataError(message)


def _category_name(feature: str, category: object) -> str:
    return f"{feature}={RARE if category == 'infrequent_sklearn' else category}"


def _quoted(names: Sequence[str]) -> str:
    return listed(map(repr, names))
