"""Tables in text files: what separates their cells, which line is the header, and their rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from sweep.base.errors import DataError
from sweep.base.wording import counted, listed
from sweep.data.reading.encodings import MARKED, PLAIN, decode
from sweep.data.reading.layout import (
    BLANKS,
    NUMBER,
    Layout,
    Record,
    layout_of,
    lines_of,
    records_of,
)
from sweep.data.reading.number_columns import read_columns
from sweep.data.reading.number_convention import AsInTraining, Convention

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig


@dataclass(frozen=True)
class TextForm:
    """How a table is written as text.

    Args:
        encoding: A name that Python knows.
        separator: Between cells.
        decimal: The mark before decimals.
    """

    encoding: str = PLAIN
    separator: str = ","
    decimal: str = "."


@dataclass(frozen=True)
class ReadTable:
    """A table as its file has it.

    Args:
        frame: Its rows; the file's own names, also where one occurs twice.
        notes: What is not plain about it, a sentence each.
        is_text: Whether it was a text file, which may lack a header.
        form: How it was written, if it was.
        as_given: Makes its rows as they stand in the file, texts where it is one; None where that
            is `frame`.
        decimal: The mark before the decimals of numbers in texts; empty where none has one.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...]
    is_text: bool = False
    form: TextForm | None = None
    as_given: Callable[[], pd.DataFrame] | None = None
    decimal: str = ""

    @property
    def given(self) -> pd.DataFrame:
        """Its rows as they stand in the file: nothing is made a number that was written as text."""
        return self.frame if self.as_given is None else self.as_given()


def read_text_table(
    data: bytes, config: DataConfig, plain_separator: str, training: AsInTraining | None = None
) -> ReadTable:
    """Read a table from the bytes of a text file.

    Args:
        data: The file's bytes, uncompressed.
        config: `encoding`, `separator`, `decimal`, `thousands`, `missing` and `columns` are heeded;
            what is None is found out.
        plain_separator: The separator that the file's ending stands for.
        training: Of new rows, how those of the training were written.

    Raises:
        DataError: The bytes are no text, or the rows have different numbers of cells, or a number
            is written in another way than the others; the line is named.
    """
    text, encoding = decode(data, config.encoding)
    text = text.rstrip("\r\n \x1a")  # the last is how DOS ended a text
    if not text.strip():
        raise DataError("is empty")
    layout = layout_of(text, config)
    columns = _cells(text, layout)
    names, columns, notes = _named(layout, columns, config)
    series, convention, more = read_columns(
        names,
        columns,
        config,
        layout.separator,
        lambda row: _line_of(text, layout, row),
        training,
    )
    frame = pd.concat(series, axis="columns") if series else pd.DataFrame()
    frame = frame.set_axis(list(names), axis="columns")
    if config.columns is None and _seems_a_row(names, series):
        notes.append(
            f"line {layout.header} ({listed(names, 6)}) is taken for the header and looks like a "
            "row; if the file has no header, name its columns with data.columns"
        )
    told = _told(encoding, layout.separator, plain_separator, convention, training is not None)
    separator = "," if layout.separator == BLANKS else layout.separator
    return ReadTable(
        frame,
        (*told, *layout.notes, *notes, *more),
        is_text=True,
        form=TextForm(encoding, separator, convention.decimal),
        as_given=lambda: pd.concat(
            [pd.Series(cells.to_pandas(), dtype=object) for cells in columns], axis="columns"
        ).set_axis(list(names), axis="columns"),
        decimal=convention.decimal if convention.is_settled else "",
    )


def _told(
    encoding: str, separator: str, plain: str, convention: Convention, is_new: bool
) -> list[str]:
    """How the table was read, as settings, where that is not the plain case."""
    settings = {
        "encoding": encoding if encoding not in (PLAIN, MARKED) else None,
        "separator": separator if separator not in (",", plain) else None,
        "decimal": convention.decimal if convention.decimal != "." else None,
    }
    shown = [f'{key} = "{_spelt(value)}"' for key, value in settings.items() if value]
    notes = [f"read with {', '.join(shown)}"] if shown else []
    if convention.why:
        setting = f'decimal = "{convention.other}" under [data]'
        if is_new:  # its rows are predicted: there is no study file
            setting = f"--set data.decimal={convention.other}"
        notes.append(f"{convention.why}; {setting} changes that")
    return notes


def _spelt(value: str) -> str:
    return value.replace("\t", "\\t")


def _body(text: str, first: int) -> str:
    """The text from a line on, counted from 1."""
    start = 0
    for _, line in zip(range(first - 1), lines_of(text), strict=False):
        start += len(line)
    return text[start:]


def _cells(text: str, layout: Layout) -> list[pa.Array]:
    """The columns of a text's rows, as texts."""
    body = _body(text, layout.first)
    if not body.strip():
        return [pa.array([], pa.string())] * layout.fields
    _refuse_open_quote(body, layout)
    if layout.padded or layout.separator == BLANKS:
        rows = [cells for _, cells in _checked(body, layout)]
        return [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    names = [f"f{place}" for place in range(layout.fields)]
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(f"{body}\n".encode()),
            pyarrow.csv.ReadOptions(autogenerate_column_names=True, block_size=1 << 24),
            pyarrow.csv.ParseOptions(delimiter=layout.separator, newlines_in_values='"' in body),
            pyarrow.csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        for _ in _checked(body, layout):  # names the line
            pass
        raise DataError(f"cannot be read as CSV: {error}") from error
    if table.num_columns != layout.fields:
        for _ in _checked(body, layout):
            pass
    return [pa.concat_arrays(column.chunks) for column in table.columns]


def _checked(body: str, layout: Layout) -> Iterator[Record]:
    """The rows, after a check of their numbers of cells.

    Raises:
        DataError: A row has another number of cells than the header, or the rows before it.
    """
    wrong: list[Record] = []
    for line, cells in records_of(body, layout.separator, layout.padded, layout.first):
        if len(cells) != layout.fields:
            wrong.append((line, cells))
        else:
            yield line, cells
    if not wrong:
        return
    line, cells = wrong[0]
    others = counted(len(wrong) - 1, "more line") if len(wrong) > 1 else ""
    more = f"; {others} with another number than {layout.fields}" if others else ""
    raise DataError(f"line {line} has {counted(len(cells), 'field')}, {_others(layout)}{more}")


def _refuse_open_quote(body: str, layout: Layout) -> None:
    """Refuse a quotation mark that is not closed: it makes one cell of the rest of the file."""
    if body.count('"') % 2 == 0:
        return
    rows = records_of(body, layout.separator, layout.padded, layout.first)
    line, cells = deque(rows, maxlen=1)[0]
    if "\n" in cells[-1]:
        raise DataError(f'line {line}: a quotation mark (") is opened and not closed')


def _others(layout: Layout) -> str:
    """How many cells a row should have had."""
    if layout.names is None:
        return f"and the other lines have {layout.fields}"
    return f"and the header (line {layout.header}) has {len(layout.names)}"


def _named(
    layout: Layout, columns: list[pa.Array], config: DataConfig
) -> tuple[Sequence[str], list[pa.Array], list[str]]:
    """The columns with their names, and what was found out about them."""
    names: Sequence[str] | None = layout.names
    notes: list[str] = []
    if names is not None and len(names) + 1 == len(columns):
        if not any(columns[-1].to_pylist()):
            columns = columns[:-1]  # a separator ends each row
        elif _are_row_names(columns[0]):
            names = ("", *names)
            notes.append("rows have one field more than the header: the first is the rows' names")
        else:
            raise DataError(
                f"line {layout.first} has {counted(len(columns), 'field')}, {_others(layout)}"
            )
    if config.columns is not None:
        if len(config.columns) != len(columns):
            first = [str(column[0]) for column in columns if len(column)]
            raise DataError(
                f"data.columns has {len(config.columns)} names, but the file has "
                f"{len(columns)} columns; its first row is {listed(first)}"
            )
        names = config.columns
    assert names is not None
    names = [name.strip() for name in names]
    return [name or f"Unnamed: {place}" for place, name in enumerate(names)], columns, notes


def _seems_a_row(names: Sequence[str], columns: Sequence[pd.Series[Any]]) -> bool:
    """Whether a header has numbers above all numbers, and above texts one of these texts."""
    kinds = [pd.api.types.is_numeric_dtype(column) for column in columns]
    above = [name for name, numeric in zip(names, kinds, strict=True) if numeric]
    if not above or not all(map(NUMBER.fullmatch, above)):
        return False
    if all(kinds):
        return any("." in name for name in above)
    pairs = zip(names, columns, kinds, strict=True)
    return any(bool((column == name).any()) for name, column, numeric in pairs if not numeric)


def _are_row_names(column: pa.Array) -> bool:
    """Whether a column's values tell the rows apart: numbers from 0 or 1 on, or texts."""
    values = column.to_pylist()
    numbers = [str(number) for number in range(len(values) + 1)]
    if values in (numbers[1:], numbers[:-1]):
        return True
    return len(set(values)) == len(values) and not any(map(NUMBER.fullmatch, values))


def _line_of(text: str, layout: Layout, row: int) -> str:
    """What to call a row, by its position."""
    body = _body(text, layout.first)
    for place, (line, _) in enumerate(
        records_of(body, layout.separator, layout.padded, layout.first)
    ):
        if place == row:
            return f"line {line}"
    return f"data row {row + 1}"


def read_texts_of(
    frame: pd.DataFrame, config: DataConfig, training: AsInTraining | None = None
) -> ReadTable:
    """A table whose columns of texts are read as those of a text file are.

    Args:
        frame: A table whose file tells numbers from texts, but not every writer does.
        config: `decimal`, `thousands` and `missing` are heeded.
        training: Of new rows, how those of the training were written.

    Raises:
        DataError: A number is written in another way than the others of its column.
    """
    texts = [
        place
        for place in range(frame.shape[1])
        if pd.api.types.infer_dtype(frame.iloc[:, place], skipna=True) == "string"
    ]
    columns = [
        pa.array(frame.iloc[:, place].tolist(), pa.string(), from_pandas=True) for place in texts
    ]
    names = [str(frame.columns[place]) for place in texts]
    series, convention, notes = read_columns(
        names, columns, config, ",", lambda row: f"data row {row + 1}", training
    )
    parts: list[pd.Series[Any]] = [frame.iloc[:, place] for place in range(frame.shape[1])]
    for place, column in zip(texts, series, strict=True):
        parts[place] = column
    told = _told(PLAIN, ",", ",", convention, training is not None)
    joined = pd.concat(parts, axis="columns") if parts else frame
    return ReadTable(
        joined,
        (*told, *notes),
        as_given=lambda: frame,
        decimal=convention.decimal if convention.is_settled else "",
    )
