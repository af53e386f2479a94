"""CSV files whose texts a spreadsheet shows, and does not compute.

A text that begins with `=`, `+`, `-`, `@`, a tab or a line break is a formula to a spreadsheet
(OWASP, "CSV Injection"); such a text gets an apostrophe before it, which reading takes away.
Carriage returns, which not every reader takes for part of a cell, become line breaks. Numbers are
left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\n]")
_MARKED = re.compile(r"''*[=+\-@\t\n]")


def cell(value: Any) -> Any:
    """A value as it is to stand in a file; all but some texts are as they were."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n") if "\r" in value else value
    return f"'{text}" if _FORMULA.match(text) else text


def value_of_cell(value: Any) -> Any:
    """The value that `cell` was given."""
    return value[1:] if isinstance(value, str) and _MARKED.match(value) else value


def cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is to stand in a file."""
    return {name: cell(value) for name, value in row.items()}


def frame_to_csv(frame: pd.DataFrame, float_format: str | None = None) -> str:
    """A table as the text of a file; `float_format` is that of pandas."""
    return _mapped(frame, cell).to_csv(index=False, float_format=float_format)


def frame_from_csv(path: Path, **given: Any) -> pd.DataFrame:
    """A table that `frame_to_csv` has written: an empty cell is missing, and `none` is a word.

    Args:
        path: The file.
        given: Of `pandas.read_csv`.
    """
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""], **given)
    return _mapped(frame, value_of_cell)


def _mapped(frame: pd.DataFrame, change: Any) -> pd.DataFrame:
    texts = [
        n
        for n in frame
        if pd.api.types.is_object_dtype(frame[n]) or pd.api.types.is_string_dtype(frame[n])
    ]
    return frame.assign(**{str(name): frame[name].map(change) for name in texts}).rename(
        columns=change
    )
