"""What new rows have and no training row had: there a model's answer is a guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sweep.base.wording import counted, listed, number, percent
from sweep.data.columns import MISSING
from sweep.data.fitted.columns import RARE, CategoryColumn, NumberColumn

FAR = 0.1
"""A value is far outside if it is beyond the training rows' by more than this share of their
range."""


@dataclass(frozen=True)
class Unseen:
    """What some rows have in a column.

    Args:
        sentence: Of all rows.
        rows: Which rows have it, (rows,).
        texts: What each of these has: `city = Bern`.
    """

    sentence: str
    rows: pd.Series[Any]
    texts: pd.Series[Any]


def unseen_of_rows(found: tuple[Unseen, ...], index: pd.Index[Any]) -> pd.Series[Any]:
    """For each row what it has that no training row had, as a text; empty if nothing."""
    told = pd.Series("", index=index, dtype=object)
    for each in found:
        before = told[each.rows]
        told[each.rows] = np.where(before == "", each.texts, before + "; " + each.texts)
    return told


def far_outside(learnt: NumberColumn, values: pd.Series[Any]) -> Unseen | None:
    """Numbers far beyond those of the training rows.

    Args:
        learnt: The column.
        values: As they are learnt from: logarithms, where these are.
    """
    if learnt.least is None or learnt.greatest is None:
        return None
    most = FAR * (learnt.greatest - learnt.least)
    rows = (values < learnt.least - most) | (values > learnt.greatest + most)
    if not rows.any():
        return None

    def plain(value: float) -> float:
        return float(np.expm1(value)) if learnt.log1p else float(value)

    def told(value: float) -> str:
        return number(plain(value))

    name = f"{learnt.column}.{learnt.part}" if learnt.part else learnt.column
    ends = f"{told(learnt.least)} to {told(learnt.greatest)}"
    far = values[rows]
    reached = [told(far.min())] if far.min() < learnt.least else []
    reached += [told(far.max())] if far.max() > learnt.greatest else []
    return Unseen(
        f"{name!r} is far outside of the training rows ({ends}) in "
        f"{_of_all(rows)}: {' and '.join(reached)}",
        rows,
        far.map(lambda value: f"{name} = {plain(value):.12g}"),
    )


def new_categories(learnt: CategoryColumn, texts: pd.Series[Any]) -> Unseen | None:
    """Texts that no training row has."""
    known = [*learnt.categories, *learnt.rare]
    rows = ~texts.isin(known) & (texts != MISSING)
    if not rows.any():
        return None
    counts = texts[rows].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    named = listed((f"{text!r} ({count})" for text, count in counts.items()), 5)
    taken = f"as {RARE}" if learnt.rare else "as none of its categories"
    return Unseen(
        f"{learnt.column!r} has categories of no training row in {_of_all(rows)}: {named}; taken "
        f"{taken}",
        rows,
        texts[rows].map(lambda text: f"{learnt.column} = {text}"),
    )


def more_missing(learnt: NumberColumn | CategoryColumn, rows: pd.Series[Any]) -> Unseen | None:
    """Missing values, if their share is more than twice that of the training rows."""
    if not rows.any() or rows.mean() <= 2 * learnt.missing:
        return None
    filled = "filled with the training median"
    if isinstance(learnt, CategoryColumn):
        known = MISSING in (*learnt.categories, *learnt.rare)
        filled = f"taken as the category {MISSING}" if known else "taken as none of its categories"
        if learnt.rare and not known:
            filled = f"taken as {RARE}"
    share = f"in {percent(learnt.missing)}" if learnt.missing else "in none"
    return Unseen(
        f"{learnt.column!r} is missing in {_of_all(rows)}, and {share} of the training rows; "
        f"{filled}",
        rows,
        pd.Series(f"{learnt.column} is missing", index=rows.index[rows]),
    )


def not_constant(column: pd.Series[Any], value: str, same: pd.Series[Any]) -> Unseen | None:
    """Other values than the one that all training rows had.

    Args:
        column: The new rows' values.
        value: The training rows'.
        same: Which of the new rows have it.
    """
    rows, name = ~same, str(column.name)
    if not rows.any():
        return None
    others = listed((repr(str(other)) for other in column[rows].unique()), 5)
    return Unseen(
        f"{name!r} is {value!r} in all training rows, and something else in {_of_all(rows)}: "
        f"{others}; the model cannot tell",
        rows,
        column[rows].map(lambda other: f"{name} = {other}"),
    )


def _of_all(rows: pd.Series[Any]) -> str:
    return f"{int(rows.sum())} of {counted(len(rows), 'row')}"
