"""Rows that are on two sides of a split."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sweep.base.languages.sentences import kept
from sweep.base.wording import counted
from sweep.data.examine.examined import Examined

_LEAST_SHARE, _LEAST_COUNT = 0.01, 3
"""Of the validation and test rows."""

_MOST_BY_CHANCE = 0.05
"""Training rows that are expected to be the same by chance, in the two rarest values of a row."""


def duplicates(table: Examined) -> str:
    """How many validation and test rows are training rows, too, in a sentence; empty if few.

    Features and target are the same. Where values are few, as in tables of counts or categories,
    rows are the same by chance: such ones do not count. A row's chance is taken from its two rarest
    values as if they were independent; of more columns, that would say too little.
    """
    frame = table.frame.assign(**{_free_name(table): table.y})
    hashes = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    split = table.split
    held_out = np.concatenate([split.validation, split.test])
    same = held_out[np.isin(hashes[held_out], hashes[split.train])]
    least = max(_LEAST_COUNT, _LEAST_SHARE * len(held_out))
    if len(same) < least:
        return ""
    shares = np.sort(
        [
            column.iloc[same].map(column.value_counts(dropna=False, normalize=True)).to_numpy()
            for _name, column in frame.items()
        ],
        axis=0,
    )  # (columns, rows), the rarest first
    by_chance = len(split.train) * shares[0] * shares[1]
    found = int((by_chance < _MOST_BY_CHANCE).sum())
    if found < least:
        return ""
    return kept(
        "{found} of {rows} are training rows, too, target included: what is learnt by heart is "
        "right there; take duplicates out of the file, or keep them on one side by split = "
        "{{group = ...}}",
        found=found,
        rows=counted(len(held_out), "validation and test row"),
    )


def _free_name(table: Examined) -> str:
    """A name that no feature has."""
    name = "y"
    while name in table.frame.columns:
        name += "'"
    return name
