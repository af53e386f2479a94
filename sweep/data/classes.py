"""A target whose values are classes: words, booleans, or a few whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.base.errors import DataError
from sweep.base.wording import counted, listed, verb
from sweep.data.columns import as_numbers, is_date, is_number
from sweep.data.sources import Table

if TYPE_CHECKING:
    import numpy.typing as npt

    from sweep.study.registries.losses import Loss


def target_labels(table: Table, target: str, loss: Loss) -> pd.Series[Any]:
    """The target as texts, missing where it is.

    Raises:
        DataError: It holds dates, or numbers that are not whole.
    """
    column = table.frame[target]
    place = f"{table.place}: data.target = {target!r}"
    if is_date(column):
        raise DataError(f"{place}: it holds dates, not classes")
    if is_number(column) and not pd.api.types.is_bool_dtype(column):
        values = as_numbers(column)
        odd = values.index[values.notna() & (values != values.round())]
        if len(odd):
            raise DataError(
                f"{place}: data row {odd[0] + 1} is {values[odd[0]]:g}; classes are words, "
                f"booleans or whole numbers: for numbers, leave out --loss {loss.name} (training."
                "loss), or give mse, mae or huber"
            )
        return values.map("{:.0f}".format, na_action="ignore")
    return column.astype(object).map(lambda value: str(value).strip(), na_action="ignore")


def class_names(labels: pd.Series[Any], place: str, loss: Loss) -> tuple[str, ...]:
    """The classes among training rows, in their order: numbers by size, words by the alphabet.

    Raises:
        DataError: There is one only, or there are more than the loss takes.
    """
    named = f"{place}: data.target = {labels.name!r}"
    names = sorted(set(labels), key=class_order)
    if len(names) == 1:
        raise DataError(
            f"{named} is {names[0]!r} in all {len(labels)} training rows; there is nothing to learn"
        )
    if len(names) > loss.most_classes:
        many = f"{named} has {len(names)} different values in the training rows"
        if loss.most_classes == 2:
            raise DataError(f"{many}; {loss.name} is of two classes: give --loss cross_entropy")
        raise DataError(
            f"{many}, and at most {loss.most_classes} are classes: for numbers, give --loss mse, "
            "mae or huber; of words, put rare ones together"
        )
    return tuple(names)


def class_order(label: str) -> tuple[int, float, str]:
    """What classes are sorted by: numbers by size, and then words by the alphabet."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def known_rows(
    labels: pd.Series[Any], names: Sequence[str], rows: npt.NDArray[np.int64], kind: str
) -> tuple[npt.NDArray[np.int64], str]:
    """Those of some rows whose class is in the training rows, and what is to be said of others."""
    known = labels.iloc[rows].isin(list(names)).to_numpy()
    if known.all():
        return rows, ""
    strange = sorted(set(labels.iloc[rows[~known]]), key=class_order)
    left_out = int((~known).sum())
    return rows[known], (
        f"{counted(left_out, f'{kind} row')} left out: {listed(map(repr, strange))} "
        f"{verb(len(strange), 'is', 'are')} in no training row"
    )
