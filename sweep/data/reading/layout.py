"""How a text lays out a table: what separates its cells, its titles, and its header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from sweep.base.errors import DataError
from sweep.base.wording import listed
from sweep.data.reading.number_columns import MISSING

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig

BLANKS = " "
"""The separator that stands for one or more blanks."""

_SEPARATORS = ("\t", ";", "|", ",", BLANKS)
"""Of two that fit equally well, the first: the more often a sign stands in a cell, the later."""

_FIT, _FIT_OF_BLANKS = 0.5, 0.9
"""A separator gives more than this share of the lines as many cells; texts have blanks in them."""

_HEAD = 1 << 18
"""Characters of a file that are looked at to find out how it is laid out."""

_SEP_LINE = re.compile(r'"?sep=(?P<separator>.)"?[;,\t]*\r?\n?', re.IGNORECASE)
NUMBER = re.compile(r"[^\w\s]{0,2}\s*[+-]?(\d|[.,]\d)[\d.,'\s]*([eEdD][+-]?\d+)?\s*(\D{0,3})")

Record = tuple[int, list[str]]
"""A row's first line in the file, from 1 on, and its cells."""


@dataclass(frozen=True)
class Layout:
    """How the cells of a text are laid out.

    Args:
        separator: What is between two cells.
        padded: Whether blanks follow each separator, which are no part of the cells.
        names: The columns' names; None if the file has none.
        header: The line of the header, from 1 on; 0 if there is none.
        first: The line of the first row.
        fields: Cells of each row.
        notes: What was left out before the rows, a sentence each.
    """

    separator: str
    padded: bool
    names: tuple[str, ...] | None
    header: int
    first: int
    fields: int
    notes: tuple[str, ...]


def lines_of(text: str) -> Iterator[str]:
    return iter(io.StringIO(text, newline=""))


def records_of(text: str, separator: str, padded: bool = False, first: int = 1) -> Iterator[Record]:
    """The rows of a text, without empty lines; the text's first line counts as `first`."""
    lines = lines_of(text)
    if separator == BLANKS:
        lines = (f"{line.strip()}\n".replace("\t", " ") for line in lines)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=padded or separator == BLANKS)
    before = 0
    try:
        for cells in reader:
            if cells:
                yield first + before, cells
            before = reader.line_num
    except csv.Error as error:
        raise DataError(f"line {first + before} cannot be read as CSV: {error}") from None


def layout_of(text: str, config: DataConfig) -> Layout:
    """How a text lays out a table.

    Args:
        text: It holds more than blanks.
        config: `separator` is heeded, else it is the one that gives most rows as many cells;
            `columns` says that the text has no header, which is found all the same if it has.

    Raises:
        DataError: The first row could be a header, although there should be none.
    """
    first = 1
    separators = (config.separator,) if config.separator else _SEPARATORS
    if found := _SEP_LINE.match(text):  # Excel's own way to say it
        separators = (config.separator or found["separator"],)
        text, first = text[found.end() :], 2
    above, body = _parted(text)
    head = body[:_HEAD]
    fits = []
    for place, separator in enumerate(separators):
        try:
            records = _head_records(head, body, separator, padded=True)
        except DataError:
            continue
        counts = Counter(len(cells) for _, cells in records)
        counts.pop(1, 0)
        share = max(counts.values(), default=0) / max(len(records), 1)
        if share > (_FIT_OF_BLANKS if separator == BLANKS else _FIT):
            fits.append((share, -place, separator))
    separator = max(fits)[2] if fits else config.separator or ","
    comments = _comments(above, _head_records(head, body, separator), separator, config)
    text = "".join([*above[comments:], body])
    notes = [
        f"line {line} left out, a comment: {comment.strip()!r}"
        for line, comment in enumerate(above[:comments], start=first)
        if comment.strip()
    ]
    layout = _with_header(text[:_HEAD], text, separator, first + comments, config)
    return replace(layout, notes=(*notes, *layout.notes))


def _parted(text: str) -> tuple[list[str], str]:
    """The lines above a table that begin with a hash sign or are empty, and the table."""
    above = list(takewhile(lambda line: line.startswith("#") or line.isspace(), lines_of(text)))
    body = text[sum(map(len, above)) :]
    return (above, body) if body.strip() else ([], text)


def _comments(
    above: Sequence[str], records: Sequence[Record], separator: str, config: DataConfig
) -> int:
    """How many of the lines above a table are comments; what follows belongs to the table.

    A header can begin with a hash sign, as NumPy writes it. It has as many cells as the rows, and
    stands above a row: no other header. Without one, rows can begin with it as well.
    """
    rows = [[cell.strip() for cell in cells] for _, cells in records[:2]]
    missing = MISSING.union(config.missing or ())
    known = [any(NUMBER.fullmatch(cell) or cell in missing for cell in row) for row in rows]
    if known == [False, True] and config.columns is None:
        return len(above)  # the first of them is a header
    count = len(above)
    while count and (config.columns is not None or count == len(above)):
        cells = next((cells for _, cells in records_of(above[count - 1], separator)), [])
        if not cells or len(_header(cells, len(rows[0]))) != len(rows[0]):
            break
        count -= 1
    return count


def _head_records(
    head: str, text: str, separator: str, padded: bool = False, first: int = 1
) -> list[Record]:
    """The rows at the beginning of a text, without the one that is cut off."""
    records = list(records_of(head, separator, padded, first))
    return records[:-1] if len(head) < len(text) and len(records) > 1 else records


def _with_header(head: str, text: str, separator: str, first: int, config: DataConfig) -> Layout:
    records = _head_records(head, text, separator)
    padded = separator != BLANKS and _is_padded(records)
    records = _head_records(head, text, separator, padded, first)
    titles = _titles([cells for _, cells in records], config.columns is not None)
    notes = [
        f"line {line} left out, a title: {''.join(cells)!r}"
        for line, cells in records[:titles]
        if any(map(str.strip, cells))
    ]
    records = records[titles:]
    line, header = records[0]
    rest = [cells for _, cells in records[1:]] or [header]
    fields = Counter(map(len, rest)).most_common(1)[0][0]
    names: tuple[str, ...] | None = None
    header = _header(header, fields)
    if config.columns is None or _is_header(header, rest, config):
        names = tuple(header)
        if config.columns is not None:
            notes.append(
                f"line {line} left out, a header: {listed(header)}; data.columns names the columns"
            )
        if len(names) + 1 != fields or len(rest) < 2:  # else it is for _named to say
            fields = len(names)
        after = next((begin for begin, _ in records[1:2]), line + 1)
        return Layout(separator, padded, names, line, after, fields, tuple(notes))
    return Layout(separator, padded, None, 0, line, fields, tuple(notes))


def _header(cells: list[str], fields: int) -> list[str]:
    """The names in a header, without what is none: NumPy's `# `, a separator at the end."""
    names = list(cells)
    if names[0] == "#" and len(names) == fields + 1:
        names = names[1:]
    elif names[0].startswith("# "):
        names[0] = names[0][2:].strip()
    while len(names) > fields and not names[-1].strip():
        names.pop()
    return names


def _is_padded(records: Sequence[Record]) -> bool:
    """Whether a blank follows every separator."""
    followed = [cell for _, cells in records for cell in cells[1:] if cell]
    return bool(followed) and all(cell.startswith(" ") for cell in followed)


def _titles(rows: Sequence[Sequence[str]], named: bool) -> int:
    """How many rows at the beginning hold no more than one text, above those of the table.

    They are only titles if a header follows, or, where the columns are named, any row.
    """
    for place, row in enumerate(rows[:20]):
        known = [cell.strip() for cell in row if cell.strip()]
        if len(known) > 1:
            return place if named or not any(map(NUMBER.fullmatch, known)) else 0
        if known and (NUMBER.fullmatch(known[0]) or known[0] in MISSING):
            return 0
    return 0


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]], config: DataConfig) -> bool:
    """Whether a first row is a header, although `data.columns` names the columns.

    Raises:
        DataError: Some of its cells are names above numbers, and others could be numbers.
    """
    if [cell.casefold() for cell in first] == [name.casefold() for name in config.columns or ()]:
        return True
    missing = MISSING.union(config.missing or ())
    rows = [row for row in rest[:1000] if len(row) == len(first)]
    above = []
    for place, cell in enumerate(first):
        known = [row[place].strip() for row in rows if row[place].strip() not in missing]
        if known and all(NUMBER.fullmatch(text) for text in known) and cell.strip():
            above.append((cell, bool(NUMBER.fullmatch(cell.strip()))))
    texts = [
        cell
        for cell, number in above
        if not number and cell not in missing and re.search(r"\w", cell)
    ]
    if texts and len(texts) == len(above):
        return True
    if texts:
        raise DataError(
            f"the first row is {listed(first)}: if it is a header, leave data.columns out; if not, "
            f"{texts[0]!r} stands in a column of numbers, and data.missing can name it"
        )
    return False
