"""Columns that alone predict the target: often the target in another form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

from sweep.base.languages.sentences import kept
from sweep.base.wording import listed, number, percent, toml_list
from sweep.data.examine.examined import Examined
from sweep.data.splitting import AT_RANDOM

Floats = npt.NDArray[Any]
Told = tuple[Literal["R²", "rank correlation", "share right"], float]
"""How well a column predicts the target."""

_LEAST_R2, _LEAST_RANK_CORRELATION = 0.99, 0.95
"""The second, so that a few far values that two columns share do not pass for all of them."""

_SAME_ORDER = 0.995
"""A rank correlation, whose square is as much as the least R², that tells by itself: of a skewed
target, R² is about its few greatest values."""

_MOST_WRONG, _OF_GUESSING = 0.01, 0.1
"""Of classes: the share of validation rows that may be wrong, also of those that the most frequent
class gets wrong."""

_LEAST_ROWS = 30
_MOST_ROWS, _MOST_VALUES = 5000, 1_000_000
"""Of each side that are looked at, so that wide tables take no time."""


def leaks(table: Examined) -> Iterator[str]:
    """Which columns predict the target alone, and what to do, a sentence each.

    Each is tried on the validation rows, after the training rows: numbers by interpolation between
    the mean targets of their values, or a small tree for classes; categories by their mean target
    or most frequent class. A table of one feature has nothing else to learn from.
    """
    found = {name: _named(name, *told) for name, told in _found(table).items()}
    times = [name for name in found if _is_like_a_time(table, name)]
    for name in times:
        yield kept(
            "column {each} alone predicts {target}, and only rises, or falls, from row to row, as "
            "a time does: validation rows that are drawn at random have their neighbours among the "
            "training rows, and are easier than what is to come; --split {split} takes the last "
            "ones",
            each=found.pop(name),
            target=repr(table.target),
            split=quote(f"by={name}"),
        )
    if not found:
        return
    facts = {
        "each": listed(found.values(), 5),
        "target": repr(table.target),
        "setting": f"drop = {toml_list(found)}",
    }
    if len(found) == 1:
        yield kept(
            "column {each} alone predicts {target}: if not known at the time of a prediction, "
            "leave it out with {setting} under [data]",
            **facts,
        )
        return
    yield kept(
        "columns {each} alone predict {target}: if not known at the time of a prediction, leave "
        "them out with {setting} under [data]",
        **facts,
    )


def _found(table: Examined) -> Mapping[str, Told]:
    """Columns that predict the target alone."""
    if len(table.frame.columns) < 2:
        return {}
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
            found[str(name)] = told
    return found


def _is_like_a_time(table: Examined, name: str) -> bool:
    """Whether a number rises, or falls, with each row, and the target does not by it."""
    column = table.frame[name]
    if table.is_of_classes or table.split.told != AT_RANDOM or column.dtype != np.float64:
        return False
    steps = np.diff(column.to_numpy())  # NaN where a value is missing
    if not ((steps > 0).all() or (steps < 0).all()):
        return False
    return abs(_rank_correlation(column.to_numpy(), table.y)) < _SAME_ORDER


def _some(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    return np.random.default_rng(0).choice(rows, most, replace=False)


def _named(name: str, measure: str, value: float) -> str:
    if measure == "share right":
        return kept(
            "{name} (right in {share} of the validation rows)",
            name=repr(name),
            share=percent(value),
        )
    facts = {"name": repr(name), "value": number(value)}
    if measure == "R²":
        return kept("{name} (R² {value} on validation rows)", **facts)
    return kept("{name} (rank correlation {value} on validation rows)", **facts)


def _explained(x: pd.Series[Any], y: Floats, x_new: pd.Series[Any], y_new: Floats) -> Told | None:
    """How well a column predicts a number; None if it is no leak."""
    means = pd.Series(y).groupby(x.to_numpy()).mean()
    if x.dtype == np.float64:
        guess: Floats = np.asarray(np.interp(x_new, means.index, means))
    else:
        guess = x_new.map(means).fillna(y.mean()).to_numpy(dtype=np.float64)
    variance = float(y_new.var())
    r2 = 1 - float(((y_new - guess) ** 2).mean()) / variance if variance else 0.0
    alike = _rank_correlation(guess, y_new)
    if r2 >= _LEAST_R2 and alike >= _LEAST_RANK_CORRELATION:
        return "R²", r2
    others = y_new != pd.Series(y).mode().iloc[0]  # where most are 0, these are told by any other
    if others.sum() < _LEAST_ROWS:
        return None
    alike = min(alike, _rank_correlation(guess[others], y_new[others]))
    return ("rank correlation", alike) if alike >= _SAME_ORDER else None


def _rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's; 0 if one of them does not vary."""
    ranks = [pd.Series(values).rank().to_numpy() for values in (a, b)]
    if not (ranks[0].std() and ranks[1].std()):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _right(x: pd.Series[Any], y: Floats, x_new: pd.Series[Any], y_new: Floats) -> Told | None:
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
    return "share right", 1 - wrong
