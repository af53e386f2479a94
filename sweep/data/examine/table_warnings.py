"""What a person would warn of who looked at the rows before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sweep.base.languages.sentences import kept
from sweep.base.wording import counted
from sweep.data.examine.duplicates import duplicates
from sweep.data.examine.examined import Examined
from sweep.data.examine.leaks import leaks
from sweep.data.examine.targets import like_classes, skew
from sweep.data.examine.time_order import time_order

FEW_ROWS = 50
"""Of validation, below which schedules can hardly be told apart."""


def table_warnings(table: Examined) -> Iterator[str]:
    """Each in a sentence that says what to do."""
    time, told = time_order(table)
    # Between its neighbours in time, a row's target is known of itself: that is no leak.
    timeless = replace(table, frame=table.frame.drop(columns=time, errors="ignore"))
    found = (*leaks(timeless), duplicates(table), told, skew(table), like_classes(table))
    yield from filter(None, found)
    yield from few_rows(len(table.split.validation))


def few_rows(validation: int) -> Iterator[str]:
    """That there are few validation rows, if so."""
    if validation < FEW_ROWS:
        yield kept(
            "only {rows} to choose schedules by, fewer than {few}: a difference between them may "
            "be chance; give more rows, or a larger data.validation",
            rows=counted(validation, "validation row"),
            few=FEW_ROWS,
        )
