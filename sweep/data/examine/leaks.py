"""Columns that alone predict the target: often the target in another form."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

from sweep.base.languages.sentences import kept
from sweep.base.wording import listed, number, percent, toml_list
from sweep.data.examine.examined import Examined

Floats = npt.NDArray[Any]

_LEAST_R2, _LEAST_RANK_CORRELATION = 0.99, 0.95
"""The second, so that a few far values that two columns share do not pass for all of them."""

_MOST_WRONG, _OF_GUESSING = 0.01, 0.1
"""Of classes: the share of validation rows that may be wrong, also of those that the most frequent
class gets wrong."""

_LEAST_ROWS = 30
_MOST_ROWS, _MOST_VALUES = 5000, 1_000_000
"""Of each side that are looked at, so that wide tables take no time."""


def leaks(table: Examined) -> str:
    """Which columns predict the target alone, in a sentence; empty if none does.

    Each is tried on the validation rows, after the training rows: numbers by interpolation between
    the mean targets of their values, or a small tree for classes; categories by their mean target
    or most frequent class. A table of one feature has nothing else to learn from.
    """
    if len(table.frame.columns) < 2:
        return ""
    most = min(_MOST_ROWS, max(_MOST_VALUES // len(table.frame.columns), 10 * _LEAST_ROWS))
    train, validation = (_some(rows, most) for rows in (table.split.train, table.split.validation))
    y = table.y
    score = _right if table.is_of_classes else _explained
    found = {}
    for name in table.frame.columns:
        column = table.frame[name]
        known = column.notna().to_numpy()
        rows = [part[known[part]] for part in (train, validation)]
        if min(map(len, rows)) < _LEAST_ROWS:
            continue
        values = [column.iloc[part] for part in rows]
        told = score(values[0], y[rows[0]], values[1], y[rows[1]])
        if told is not None:
            found[name] = _named(name, told, table.is_of_classes)
    if not found:
        return ""
    facts = {
        "each": listed(found.values(), 5),
        "target": repr(table.target),
        "setting": f"drop = {toml_list(found)}",
    }
    if len(found) == 1:
        return kept(
            "column {each} alone predicts {target}: if not known at the time of a prediction, "
            "leave it out with {setting} under [data]",
            **facts,
        )
    return kept(
        "columns {each} alone predict {target}: if not known at the time of a prediction, leave "
        "them out with {setting} under [data]",
        **facts,
    )


def _some(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    return np.random.default_rng(0).choice(rows, most, replace=False)


def _named(name: object, told: float, is_of_classes: bool) -> str:
    if is_of_classes:
        return kept(
            "{name} (right in {share} of the validation rows)", name=repr(name), share=percent(told)
        )
    return kept("{name} (R² {value} on validation rows)", name=repr(name), value=number(told))


def _explained(x: pd.Series[Any], y: Floats, x_new: pd.Series[Any], y_new: Floats) -> float | None:
    """The R² of a number by a column; None if it is no leak."""
    means = pd.Series(y).groupby(x.to_numpy()).mean()
    if x.dtype == np.float64:
        guess: Floats = np.asarray(np.interp(x_new, means.index, means))
    else:
        guess = x_new.map(means).fillna(y.mean()).to_numpy(dtype=np.float64)
    variance = float(y_new.var())
    r2 = 1 - float(((y_new - guess) ** 2).mean()) / variance if variance else 0.0
    if r2 < _LEAST_R2:
        return None
    ranks = [pd.Series(values).rank().to_numpy() for values in (guess, y_new)]
    alike = float(np.corrcoef(ranks[0], ranks[1])[0, 1]) >= _LEAST_RANK_CORRELATION
    return r2 if alike else None


def _right(x: pd.Series[Any], y: Floats, x_new: pd.Series[Any], y_new: Floats) -> float | None:
    """The share of rows in which a column tells the class; None if it is no leak."""
    most = float(np.bincount(y.astype(np.int64)).argmax())
    if x.dtype == np.float64:
        leaves = max(8, 2 * len(np.unique(y)))
        tree = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=0)
        guess = tree.fit(x.to_numpy()[:, None], y).predict(x_new.to_numpy()[:, None])
    else:
        modes = pd.Series(y).groupby(x.to_numpy()).agg(lambda codes: codes.mode().iloc[0])
        guess = x_new.map(modes).fillna(most).to_numpy()
    wrong, by_guessing = float((guess != y_new).mean()), float((y_new != most).mean())
    if wrong > min(_MOST_WRONG, _OF_GUESSING * by_guessing) or not by_guessing:
        return None
    return 1 - wrong
