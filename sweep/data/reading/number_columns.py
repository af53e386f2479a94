"""Numbers as people write them: decimal commas, thousands, units, marks for what is missing.

What is ambiguous is decided once for all columns of a table, and told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sweep.base.errors import DataError
from sweep.base.wording import listed
from sweep.data.reading.number_convention import (
    GROUPERS,
    LAKHS,
    AsInTraining,
    Convention,
    Texts,
    convention,
    count,
    has,
    sample,
)
from sweep.data.reading.stand_ins import stand_in

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig

_MOST = 0.9
"""A column of so many numbers is one of numbers; its other cells are mistakes."""

_OTHERS = 1000
"""Cells without a column's unit that are looked at."""

MISSING = frozenset(
    "|#N/A|#N/A N/A|#NA|<NA>|N/A|NA|n/a|NULL|null|None|NaN|nan|-NaN|-nan|1.#IND|-1.#IND|1.#QNAN"
    "|-1.#QNAN".split("|")
)
"""What is missing in every column; pandas' own list."""

MARKS = {text.lower() for text in MISSING} | set(
    "\\n ? - -- --- \u2013 \u2014 . .. ... * n.a. n.a k.a. nil missing unknown "
    "#div/0! #value! #ref! #num! #name? #null! #nv #wert! #bezug! #zahl!".split()
)
"""What is missing, in small letters, where the other cells of a column are numbers."""

_TRUE, _FALSE = ("True", "TRUE", "true"), ("False", "FALSE", "false")

BLANKS = " \t\u00a0\u2007\u2009\u202f"
_EXPONENT = r"(?:[eEdD][+-]?\d+)?"
_CURRENCY = (
    "(?:[A-Z]{0,3}[$\u00a2-\u00a5\u20a0-\u20c0\uffe5]"
    "|USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|AUD|CAD|SEK|NOK|DKK|PLN|Rs)"
)

_QUOTES = "'\u2019"
_GAP = rf"[{BLANKS}]*"
_UNIT = r"[^\d\s.,+:/'()#*_;|\-][^\s:();|]{0,11}"
_CORE = rf"(?:\d|[.,]\d)(?:[\d.,{_QUOTES}]|[{BLANKS}]\d{{3}}\b)*{_EXPONENT}"
_WITH_UNIT = re.compile(
    rf"(?P<sign>[+-]?){_GAP}(?P<before>(?:{_CURRENCY})?){_GAP}(?P<number>[+-]?{_CORE})"
    rf"{_GAP}(?P<after>(?:{_UNIT})?)"
)

_APART = rf"^-[{BLANKS}]+([^\d\s]?[{BLANKS}]*\d.*)$"
_NEGATIVE = r"^\(([^()+-]*\d[^()+-]*)\)$", r"^([^()+-]*\d[^()+-]*)-$"
"""Negative numbers without a sign before them: accountants' (5.20), and SAP's 5.20-."""

_LOOKS_LIKE = rf"^[+-]?(?:\d|[.,]\d)[\d.,]*{_EXPONENT}$"


@dataclass(frozen=True)
class _Column:
    """A column as it was read, with what its cells say about the table.

    Args:
        name: Its name.
        cells: The texts as they are, null where MISSING (or what the settings say) is.
        numbers: The values where every cell is a plain number, else None.
        bodies: Its numbers without units and blanks, null where a mark stands for nothing; None
            where most cells are no numbers.
        unit: What was taken off each.
        marks: How often each mark stands for nothing.
        negative: One of its negative numbers, if their sign is not before them.
    """

    name: str
    cells: Texts
    numbers: Texts | None
    bodies: Texts | None = None
    unit: str = ""
    marks: Mapping[str, int] = field(default_factory=dict)
    negative: str = ""

    @property
    def written(self) -> Texts | None:
        """Its numbers as they are written; None where most cells are none."""
        return self.bodies if self.numbers is None else self.cells


def read_columns(
    names: Sequence[str],
    columns: Sequence[Texts],
    config: DataConfig,
    separator: str,
    line_of: Callable[[int], str],
    training: AsInTraining | None = None,
) -> tuple[list[pd.Series[Any]], Convention, list[str]]:
    """Columns of texts as numbers where they are numbers.

    Args:
        names: The columns' names.
        columns: Their cells.
        config: `decimal`, `thousands` and `missing` are heeded; what is None is found out.
        separator: What separates the cells in the file: a semicolon speaks for decimal commas.
        line_of: What an error calls a row, such as "line 3", by its position.
        training: Of new rows, how those of the training were written.

    Returns:
        Columns of int64, float64 (NaN for what is missing), bool, or texts; a column that is
        numbers but for a few cells is of texts, the numbers among them written plainly. How its
        numbers are written; and what happened on the way, a sentence each.

    Raises:
        DataError: A cell is written in another way than the rest of its column.
    """
    as_written = training.texts if training else ()
    read = [
        _look_at(name, texts, config, name in as_written)
        for name, texts in zip(names, columns, strict=True)
    ]
    written = [(column.name, column.written) for column in read if column.written is not None]
    way = convention(written, config, separator, training)
    notes = _Notes()
    series = [
        _texts(column.name, column.cells)
        if column.name in as_written
        else _converted(column, way, notes, line_of)
        for column in read
    ]
    numeric = (column for column in series if column.dtype in (np.float64, np.int64))
    told = [text for column in numeric if (text := stand_in(column))]
    return series, way, [*notes.sentences(), *([] if config.missing else told)]


def _look_at(name: str, texts: Texts, config: DataConfig, as_written: bool) -> _Column:
    missing = MISSING if config.missing is None else {*config.missing, ""}
    cells = _without(texts, texts, missing)
    numbers = None if as_written else _cast(cells, pa.float64())
    if numbers is not None or as_written:
        return _Column(name, cells, numbers)
    marks = MARKS if config.missing is None else {text.lower() for text in missing}
    if _most_are_numbers(_bodies(sample(cells), marks)):
        return _bodies(cells, marks, name)
    return _Column(name, cells, None)


def _bodies(cells: Texts, marks: Set[str], name: str = "") -> _Column:
    """The numbers of a column without what stands around them."""
    trimmed = pc.replace_substring(pc.utf8_trim(cells, BLANKS), "\u2212", "-")
    trimmed, negative = _sign_first(trimmed)
    lowered = pc.utf8_lower(trimmed)
    is_mark = pc.is_in(lowered, value_set=pa.array(sorted(marks), pa.string()))
    counts = Counter(pc.filter(trimmed, pc.and_(is_mark, pc.is_valid(trimmed))).to_pylist())
    bodies = _without(trimmed, lowered, marks)
    before, after = _affixes(bodies)
    if before or after:
        pattern = rf"^([+-]?){_GAP}{re.escape(before)}{_GAP}([+-]?{_CORE}){_GAP}{re.escape(after)}$"
        stripped = pc.replace_substring_regex(bodies, pattern, r"\1\2")
        same = pc.fill_null(pc.equal(stripped, bodies), False)
        others = pc.filter(bodies, same).slice(0, _OTHERS).to_pylist()
        if any(_WITH_UNIT.fullmatch(text) for text in others):  # in another unit, or in none
            return _Column(name, cells, None)
        bodies = stripped
    return _Column(name, cells, None, bodies, before or after, counts, negative)


def _sign_first(texts: Texts) -> tuple[Texts, str]:
    """Negative numbers with their sign first, and one that was written otherwise.

    Where some have it there, (5.20) means something else, and so it does in every cell of a column.
    """
    if has(texts, _APART):
        texts = pc.replace_substring_regex(texts, _APART, r"-\1")
    for pattern in () if has(texts, "^-") else _NEGATIVE:
        found = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
        if 0 < pc.sum(found).as_py() < len(texts) - texts.null_count:
            example = str(pc.filter(texts, found)[0])
            return pc.replace_substring_regex(texts, pattern, r"-\1"), example
    return texts, ""


def _affixes(bodies: Texts) -> tuple[str, str]:
    """What stands before and after nearly all numbers of a column."""
    known = pc.drop_null(sample(bodies)).to_pylist()
    found = [match for text in known if (match := _WITH_UNIT.fullmatch(text))]
    pairs = Counter((match["before"], match["after"]) for match in found)
    pair, count = pairs.most_common(1)[0] if pairs else (("", ""), 0)
    return pair if count >= _MOST * len(known) else ("", "")


def _most_are_numbers(column: _Column) -> bool:
    if column.bodies is None:
        return False
    known = pc.drop_null(column.bodies)
    plain = pc.replace_substring_regex(known, f"[{GROUPERS}]", "")
    return len(known) > 0 and count(plain, _LOOKS_LIKE) >= _MOST * len(known)


class _Notes:
    """What was read in another way than plainly, gathered over the columns."""

    def __init__(self) -> None:
        self.units: dict[str, list[str]] = {}
        self.marks: dict[str, list[str]] = {}
        self.zeros: list[str] = []
        self.grouped: dict[str, list[str]] = {}
        self.texts: list[str] = []

    def sentences(self) -> list[str]:
        notes = [
            f"{unit!r} stripped from the numbers in {listed(map(repr, names))}"
            for unit, names in self.units.items()
        ]
        notes += [
            f"{mark!r} read as missing in {listed(names)}" for mark, names in self.marks.items()
        ]
        notes += [
            f"{group!r} read as the thousands separator in {listed(map(repr, names))}"
            for group, names in self.grouped.items()
        ]
        if self.zeros:
            notes.append(f"codes with leading zeros read as numbers in {listed(self.zeros)}")
        return notes + self.texts


def _converted(
    column: _Column, way: Convention, notes: _Notes, line_of: Callable[[int], str]
) -> pd.Series[Any]:
    if column.numbers is not None and not (way.decimal == "," and has(column.cells, r"\.")):
        return _as_series(column.name, column.cells, column.numbers, notes)
    bodies = column.written
    truth = _truth(column)
    if truth is not None:
        return truth
    if bodies is None:
        return _texts(column.name, column.cells)
    d, groups = re.escape(way.decimal), f"[{re.escape(way.thousands)}]"
    grouped = rf"[1-9]\d{{0,2}}(?:{groups}\d{{3}})+|{LAKHS}|" if way.thousands else ""
    grammar = rf"^[+-]?(?:(?:{grouped}\d+){d}?\d*|{d}\d+){_EXPONENT}$"
    right = pc.match_substring_regex(bodies, grammar)  # null where a cell is missing
    known = len(bodies) - bodies.null_count
    good = pc.sum(right).as_py() or 0
    if good < _MOST * known or not known:
        if known and (example := _wrong(bodies, right)) is not None:
            notes.texts.append(
                f"column {column.name!r} is read as texts: {example[1]!r} is no number with "
                f'decimal = "{way.decimal}"'
            )
        return _texts(column.name, column.cells)
    plain = _plain(bodies, right, way)
    if good < known:
        _refuse_other_convention(column.name, bodies, right, way, line_of)
        numbers = None
    else:
        numbers = _cast(plain, pa.float64())
    _note(column, bodies, way, notes)
    if numbers is None:
        return _texts(column.name, plain)
    return _as_series(column.name, plain, numbers, notes)


def _plain(bodies: Texts, right: Texts, way: Convention) -> Texts:
    """The numbers among the bodies as Python writes them; the others as they are."""
    plain = bodies
    groups = f"[{re.escape(way.thousands)}]"
    if way.thousands and has(plain, groups):
        plain = pc.replace_substring_regex(plain, groups, "")
    if way.decimal == ",":
        plain = pc.replace_substring(plain, ",", ".")
    for pattern, new in (("[dD]", "e"), (r"^\+", "")):
        if has(plain, pattern):
            plain = pc.replace_substring_regex(plain, pattern, new)
    if pc.all(right).as_py():
        return plain
    return pc.if_else(pc.fill_null(right, True), plain, bodies)


def _note(column: _Column, bodies: Texts, way: Convention, notes: _Notes) -> None:
    if column.unit:
        notes.units.setdefault(column.unit, []).append(column.name)
    if column.negative:
        notes.texts.append(f"{column.negative!r} and its like read as negative in {column.name!r}")
    for mark, times in column.marks.items():
        notes.marks.setdefault(mark, []).append(f"{column.name!r} ({times})")
    if not way.thousands or not has(bodies, rf"\d[{re.escape(way.thousands)}]\d{{3}}"):
        return
    for group in way.thousands:
        if has(bodies, rf"\d{re.escape(group)}\d{{3}}"):
            names = notes.grouped.setdefault(" " if group in BLANKS else group, [])
            names.extend([column.name][: column.name not in names])


def _wrong(bodies: Texts, right: Texts) -> tuple[int, str] | None:
    """The first cell that looks like a number, but is none as numbers are written here."""
    looks = pc.match_substring_regex(bodies, r"^[+-]?\d+[.,]\d+" + _EXPONENT + "$")
    place = pc.index(pc.and_(looks, pc.invert(right)), True).as_py()
    return None if place < 0 else (place, bodies[place].as_py())


def _refuse_other_convention(
    name: str, bodies: Texts, right: Texts, way: Convention, line_of: Callable[[int], str]
) -> None:
    found = _wrong(bodies, right)
    if found is None:
        return
    raise DataError(
        f"{line_of(found[0])}: {found[1]!r} in column {name!r} does not fit the other numbers, "
        f'which are read with decimal = "{way.decimal}"; mend it, or name decimal and '
        "thousands under [data]"
    )


def _as_series(name: str, plain: Texts, numbers: Texts, notes: _Notes) -> pd.Series[Any]:
    """Whole numbers as integers, if none is missing or a float could not hold one."""
    whole = _cast(plain, pa.int64())
    if whole is None and count(plain, r"^-?\d+$") == len(plain) - plain.null_count > 0:
        exact = [None if text is None else int(text) for text in plain.to_pylist()]
        return pd.Series(exact, name=name, dtype=object)
    if whole is not None and has(plain, r"^-?0\d"):
        if pc.count_distinct(plain).as_py() > pc.count_distinct(whole).as_py():
            notes.texts.append(
                f"column {name!r} is read as texts: its codes differ by leading zeros alone"
            )
            return _texts(name, plain)
        notes.zeros.append(f"{name!r}")
    if whole is None or len(whole) == whole.null_count:
        return pd.Series(_floats(numbers), name=name)
    if not whole.null_count:
        return pd.Series(whole.to_numpy(zero_copy_only=False), name=name)
    if pc.max(pc.abs(numbers)).as_py() < 2**53:
        return pd.Series(_floats(numbers), name=name)
    return pd.Series(whole.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get), name=name)


def _floats(numbers: Texts) -> np.ndarray[Any, Any]:
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)


def _truth(column: _Column) -> pd.Series[Any] | None:
    """A column of True and False; as numbers if some are missing."""
    known = pc.is_in(sample(column.cells), value_set=pa.array([*_TRUE, *_FALSE, None]))
    if column.numbers is not None or not pc.all(known).as_py():
        return None
    if not pc.all(pc.is_in(column.cells, value_set=pa.array([*_TRUE, *_FALSE, None]))).as_py():
        return None
    values = pc.is_in(column.cells, value_set=pa.array(_TRUE)).to_numpy(zero_copy_only=False)
    if not column.cells.null_count:
        return pd.Series(values, name=column.name)
    gaps = pc.is_null(column.cells).to_numpy(zero_copy_only=False)
    return pd.Series(np.where(gaps, np.nan, values), name=column.name)


def _texts(name: str, cells: Texts) -> pd.Series[Any]:
    return pd.Series(cells.to_pandas(), name=name)


def _cast(texts: Texts, kind: pa.DataType) -> Texts | None:
    try:
        pc.cast(sample(texts), kind)  # where all cells fail, pyarrow words an error for each
        return pc.cast(texts, kind)
    except pa.ArrowInvalid:
        return None


def _without(texts: Texts, keys: Texts, missing: Set[str]) -> Texts:
    """The texts, null where the key is one of the missing."""
    gaps = pc.is_in(keys, value_set=pa.array(sorted(missing), pa.string()))
    return pc.if_else(gaps, pa.scalar(None, pa.string()), texts)
