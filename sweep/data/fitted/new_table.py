"""A table of new rows: read as the training table was, by the settings that it was read with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sweep.base.errors import DataError
from sweep.base.wording import listed
from sweep.data.reading.files import find_table, of_other_files, read_file
from sweep.data.reading.number_convention import AsInTraining
from sweep.data.reading.text import TextForm
from sweep.data.sources import Table, pivoted
from sweep.study.sections import DataConfig


@dataclass(frozen=True)
class NewTable:
    """Rows to predict; both frames are indexed from 0 on.

    Args:
        frame: The rows as `sweep` reads them; of an event log its counts.
        given: The same as they stand in their file, texts of what is written as text; of an event
            log what each row is of, and its counts.
        place: What an error message calls the table.
        notes: What happened on the way, a sentence each.
        form: How it was written, if it is a text file.
        missing: Texts that stand for nothing, beside empty ones; None for those that are usual.
        forced: Columns that are taken as numbers, and what is none in them as missing.
        key: Of an event log: the column that its rows are of.
    """

    frame: pd.DataFrame
    given: pd.DataFrame
    place: str
    notes: tuple[str, ...] = ()
    form: TextForm | None = None
    missing: Sequence[str] | None = None
    forced: Sequence[str] = ()
    key: str = ""


def read_new_table(
    path: Path,
    config: DataConfig,
    training: AsInTraining,
    own: Sequence[str] = (),
    name: str = "",
) -> NewTable:
    """Read a file of new rows.

    Args:
        path: The file.
        config: How the training table was read, and what is to be otherwise with this one.
        training: How its cells were written.
        own: The settings that were given for this file; the others are heeded where they fit it.
        name: What it is called; its path else.

    Raises:
        DataError: It cannot be read.
    """
    place, notes = name or str(path), []
    found = find_table(str(path), ())
    unfit = {key: None for key in of_other_files(found) if key not in own}
    if given := [f"data.{key}" for key in unfit if getattr(config, key) is not None]:
        notes.append(
            f"{listed(given)} not heeded: a file ending in {found.suffix} says that itself"
        )
    config = config.model_copy(update=unfit)
    try:
        read = read_file(found, config, training)
    except DataError as error:
        text = str(error)
        here = "; settings for this file alone: --set data.KEY=VALUE" if "data" in text else ""
        raise DataError(f"{place}: {text}{here}") from error
    made = _made(read.frame, read.given, place, config)
    notes += [*read.notes, *made.notes]
    return NewTable(
        made.frame,
        made.given,
        place,
        tuple(notes),
        read.form,
        config.missing,
        config.numbers,
        made.key,
    )


def new_table_of(frame: pd.DataFrame, config: DataConfig) -> NewTable:
    """The same of a DataFrame.

    Raises:
        DataError: It lacks the columns of the pivot, or has no rows.
    """
    rows = frame.reset_index(drop=True).set_axis([str(name) for name in frame.columns], axis=1)
    return _made(rows, rows, "the DataFrame", config)


def _made(frame: pd.DataFrame, given: pd.DataFrame, place: str, config: DataConfig) -> NewTable:
    """The rows, counted if they are events."""
    notes: tuple[str, ...] = ()
    key = ""
    if config.pivot is not None:
        counts = pivoted(Table(frame, place), config.pivot)
        assert counts.keys is not None
        frame, notes, key = counts.frame, counts.notes, config.pivot.index
        others: Any = frame.drop(columns=key, errors="ignore")
        given = pd.concat([counts.keys, others], axis="columns")
    if not len(frame):
        raise DataError(f"{place}: has no rows")
    return NewTable(
        frame, given, place, notes, missing=config.missing, forced=config.numbers, key=key
    )
