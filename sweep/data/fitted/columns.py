"""Columns as they were understood and fitted: what a model's file keeps of a table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from sweep.data.dates import Order, Part

Floats = npt.NDArray[np.float64]
Kind = Literal["number", "category", "date"]
Share = Annotated[float, Field(ge=0, le=1)]

RARE = "(rare)"


class FilePart(BaseModel):
    """What a file holds that may come from anyone: nothing but what is declared, of its type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class NumberColumn(FilePart):
    """A prepared column of numbers.

    Attributes:
        name: The prepared column's own.
        column: The table's column that it is made of.
        part: Of a date: which number of it this is; empty where the column holds numbers.
        order: How dates such as 03/04/2020 are read; None where there were none.
        log1p: Whether log(1 + value) is learnt; all that follows is of that.
        median: What takes the place of a missing value.
        mean: What is taken off; 0 without scaling.
        scale: What is divided by after that; 1 without scaling.
        least: The least value of the training rows; None if all were missing.
        greatest: The greatest.
        missing: The share of the training rows without a value.
        fixed: Whether all rows have the median in it: it did not vary in the training rows.
    """

    name: str
    column: str
    part: Part | Literal[""] = ""
    order: Order | None = None
    log1p: bool = False
    median: float
    mean: float
    scale: float
    least: float | None
    greatest: float | None
    missing: Share
    fixed: bool = False


class CategoryColumn(FilePart):
    """A column of categories, which becomes columns of 0 and 1.

    Attributes:
        column: The table's column.
        categories: The texts with a column of their own, in the columns' order.
        rare: The texts that share one more column, which comes last, with all that no training row
            had; there is none if this is empty, and new texts then have 0 in all columns.
        missing: The share of the training rows without a value, whose text is `(missing)`.
        fixed: Whether all rows have its only category: it did not vary in the training rows.
    """

    column: str
    categories: list[str]
    rare: list[str]
    missing: Share
    fixed: bool = False

    @property
    def prepared(self) -> list[str]:
        """What its columns of 0 and 1 are called."""
        labels = [*self.categories, RARE] if self.rare else self.categories
        return [f"{self.column}={label}" for label in labels]

    def columns_of(self, texts: pd.Series[Any]) -> Floats:
        """Columns of 0 and 1, (rows, columns)."""
        places = {text: place for place, text in enumerate(self.categories)}
        codes = texts.map(places).fillna(len(places)).to_numpy(np.int64)
        return np.eye(len(places) + 1)[codes][:, : len(self.prepared)]


class TablePreparation(FilePart):
    """From columns of a table to what a model gets: numbers first, then categories.

    Attributes:
        numbers: The columns of numbers.
        categories: The columns of categories.
        others: Columns of the training table that nothing is learnt from.
        constants: Of those that had one value in all training rows, that value as a text.
        decimal: The mark before the decimals of numbers in texts; empty where none had one.
    """

    kind: Literal["table"] = "table"
    numbers: list[NumberColumn]
    categories: list[CategoryColumn]
    others: list[str]
    constants: dict[str, str]
    decimal: Literal["", ".", ","] = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The prepared columns' names, each once."""
        names = [number.name for number in self.numbers]
        for column in self.categories:
            for name in column.prepared:
                names.append(unique_name(name, names))
        return tuple(names)

    @property
    def needed(self) -> dict[str, Kind]:
        """The columns that a table must have, and what each holds."""
        kinds: dict[str, Kind] = {
            number.column: "date" if number.part else "number"
            for number in self.numbers
            if not number.fixed
        }
        return kinds | {each.column: "category" for each in self.categories if not each.fixed}

    @property
    def columns(self) -> set[str]:
        """All columns of the training table that are known, needed or not."""
        learnt = {number.column for number in self.numbers}
        return {*learnt, *(each.column for each in self.categories), *self.others}

    def matrix(self, frame: pd.DataFrame) -> Floats:
        """What a model gets, before it is 32-bit: (rows, prepared columns).

        Args:
            frame: A column of float64 for each of the numbers, by its name, NaN where it is
                missing; one of texts for each of the categories. Those that are fixed may lack.
        """
        parts = [self._scaled(frame)] if self.numbers else []
        for each in self.categories:
            lone = pd.Series(each.categories[:1] * len(frame), index=frame.index)
            parts.append(each.columns_of(lone if each.fixed else frame[each.column]))
        return np.hstack(parts)

    def _scaled(self, frame: pd.DataFrame) -> Floats:
        values = np.empty((len(frame), len(self.numbers)))
        for place, number in enumerate(self.numbers):
            given = np.nan if number.fixed else frame[number.name].to_numpy(np.float64)
            values[:, place] = np.where(np.isnan(given), number.median, given)
        values -= np.array([number.mean for number in self.numbers])
        values /= np.array([number.scale for number in self.numbers])
        return values


def unique_name(name: str, taken: list[str] | tuple[str, ...]) -> str:
    """A name, with a number behind it if there is one like it."""
    number, unique = 2, name
    while unique in taken:
        number, unique = number + 1, f"{name} ({number})"
    return unique
