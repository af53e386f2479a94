"""Whether a table's numbers have decimal points or decimal commas.

Decided once for a whole table: by the values that leave no doubt, then by the training table where
new rows are read, then by columns that would be strange otherwise, then by the separator; what is
not sure is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from sweep.study.sections import DataConfig

Texts: TypeAlias = pa.Array
"""Texts, null where a cell is missing."""

GROUPERS = " \u00a0\u2007\u2009\u202f'\u2019"
"""What separates thousands without being a point or a comma."""

LAKHS = r"[1-9]\d?(?:,\d{2})+,\d{3}"
"""Whole numbers as India groups them: 12,34,567."""

_SAMPLE = 1000
"""Cells of a column, evenly spread, that are looked at before all of them are."""

_MANY = 30
"""So many values with three digits after the point, and none with fewer, owe it to no chance: of
decimals that are written without trailing zeros, one in ten has fewer."""


def _patterns(decimal: str, group: str) -> dict[str, str]:
    """Patterns of numbers with a point or a comma: what they say about which is the decimal."""
    d, g = re.escape(decimal), re.escape(group)
    lakhs = rf"|{LAKHS}(?:\.\d*)?" if decimal == "." else ""
    return {
        "sure": (
            rf"^[+-]?(?:\d{{1,3}}(?:{g}\d{{3}})+{d}\d*"  # 1,234.5
            rf"|[1-9]\d{{0,2}}(?:{g}\d{{3}}){{2,}}"  # 1,234,567
            rf"|\d*{d}(?:\d{{0,2}}|\d{{4,}})|0\d*{d}\d{{3}}|\d{{4,}}{d}\d{{3}}|{d}\d{{3}}"
            rf"|\d*{d}\d*[eEdD][+-]?\d+{lakhs})$"
        ),
        "either": rf"^[+-]?[1-9]\d{{0,2}}{d}\d{{3}}$",  # 4.146: that, or thousands
    }


_PATTERNS = {".": _patterns(".", ","), ",": _patterns(",", ".")}


Written: TypeAlias = tuple[str, Texts]
"""A column's name and its cells, without units."""


@dataclass(frozen=True)
class Convention:
    """How numbers are written in a table.

    Args:
        decimal: The point or the comma.
        thousands: What may separate thousands.
        why: What decided where the numbers themselves leave it open.
        is_settled: Whether the settings or a number say so; else there is none with a mark.
    """

    decimal: str
    thousands: str
    why: str = ""
    is_settled: bool = True

    @property
    def other(self) -> str:
        """The mark that is not before decimals."""
        return _other(self.decimal)


@dataclass(frozen=True)
class AsInTraining:
    """How the training table was written, for a table of new rows.

    Args:
        decimal: The mark before decimals; empty where no number had one.
        numbers: The columns of numbers; what others hold says nothing of these.
        texts: Columns whose cells are compared as they are written, and are made no numbers.
    """

    decimal: str = ""
    numbers: Set[str] = frozenset()
    texts: Set[str] = frozenset()


def convention(
    columns: Sequence[Written],
    config: DataConfig,
    separator: str,
    training: AsInTraining | None = None,
) -> Convention:
    """How numbers are written in a table, by the settings or by all of its columns.

    Args:
        columns: Its columns of numbers, and of what may be some.
        config: `decimal` and `thousands` are heeded.
        separator: What separates the cells in the file: a semicolon speaks for decimal commas.
        training: Of new rows, how those of the training were written.
    """
    why, is_settled = "", True
    training = training or AsInTraining()
    columns = [column for column in columns if column[0] in training.numbers] or columns
    if config.decimal is not None:
        decimal: str = config.decimal
    elif config.thousands in (".", ","):
        decimal = _other(config.thousands)
    else:
        decimal, why, is_settled = _decimal(columns, separator, training.decimal)
    thousands = _other(decimal) + GROUPERS if config.thousands is None else config.thousands
    return Convention(decimal, thousands, why, is_settled)


def _decimal(columns: Sequence[Written], separator: str, learnt: str) -> tuple[str, str, bool]:
    """The decimal mark, what to tell where some values leave it open, and whether one has it."""
    usual = "," if separator == ";" else "."
    for every in (False, True):
        looked = [texts if every else sample(texts) for _, texts in columns]
        votes = Counter(vote for texts in looked if (vote := _sure(_joined(texts))))
        if votes:
            tied = votes[","] == votes["."]
            decimal = (learnt or usual) if tied else max(votes, key=votes.__getitem__)
            other_than_learnt = learnt not in ("", decimal)
            told = _unlike_training if other_than_learnt else _against
            return decimal, told(columns, decimal), True
    if learnt:
        return learnt, _as_in_training(columns, learnt), True
    for name, texts, mark in _undecided(columns):
        if _groups_thousands(texts, mark):
            example = _example(texts, mark)
            why = (
                f"{example} in {name!r} is read as {example.replace(mark, '')}, since that column "
                f"has whole numbers below 1000 beside values with three digits after {mark!r}"
            )
            return _other(mark), why, True
    for name, texts, mark in _undecided(columns):
        read = _both_ways(name, _example(texts, mark), mark, usual)
        return usual, f"{read}: all values with {mark!r} have three digits after it", True
    return ".", "", False


def _both_ways(name: str, example: str, mark: str, decimal: str) -> str:
    point, whole = example.replace(mark, "."), example.replace(mark, "")
    read, else_ = (point, whole) if mark == decimal else (whole, point)
    return f"{example} in {name!r} is read as {read} and could be {else_}"


def _as_in_training(columns: Sequence[Written], learnt: str) -> str:
    """What to tell of numbers that the training table decides about, unless they are plain."""
    for name, texts, mark in _undecided(columns):
        if (mark, learnt) != (".", "."):
            read = _both_ways(name, _example(texts, mark), mark, learnt)
            return f"{read}: the training table's decimals follow {learnt!r}"
    return ""


def _unlike_training(columns: Sequence[Written], decimal: str) -> str:
    """What to tell of a table that shows another decimal mark than the training table's."""
    name, texts = next((name, texts) for name, texts in columns if _sure(_joined(texts)) == decimal)
    sure = pc.match_substring_regex(_joined(texts), _PATTERNS[decimal]["sure"])
    return (
        f"decimals follow {decimal!r} here, as {pc.filter(texts, sure)[0].as_py()} in {name!r} "
        f"shows, and {_other(decimal)!r} in the training table"
    )


def _against(columns: Sequence[Written], decimal: str) -> str:
    """What to tell of a column that other columns have decided about, and wrongly as it seems."""
    for name, texts, mark in _undecided(columns):
        if mark == decimal and _groups_thousands(texts, mark):
            example = _example(texts, mark)
            return (
                f"{example} in {name!r} is read as {example.replace(mark, '.')} as in other "
                f"columns, but could be {example.replace(mark, '')}: that column has whole numbers "
                f"below 1000 beside values with three digits after {mark!r}"
            )
    return ""


def _joined(texts: Texts) -> Texts:
    """Numbers without what separates thousands, if it is no point or comma."""
    pattern = f"[{GROUPERS}]"
    return pc.replace_substring_regex(texts, pattern, "") if has(texts, pattern) else texts


def _undecided(columns: Sequence[Written]) -> Iterator[tuple[str, Texts, str]]:
    """Columns with values such as 4.146 and none that shows what is the decimal mark."""
    for name, texts in columns:
        some = _joined(sample(texts))
        if (sign := _either(some)) and not _sure(some):
            every = _joined(texts)
            if not any(has(every, patterns["sure"]) for patterns in _PATTERNS.values()):
                yield name, every, sign


def _example(texts: Texts, mark: str) -> str:
    return str(pc.filter(texts, pc.match_substring_regex(texts, _PATTERNS[mark]["either"]))[0])


def _other(mark: str) -> str:
    return "." if mark == "," else ","


def _sure(texts: Texts) -> str:
    """The decimal mark that a column's values show, few contradict, and no other; or nothing."""
    counts = {sign: count(texts, _PATTERNS[sign]["sure"]) for sign in ".,"}
    sign = max(counts, key=counts.__getitem__)
    return sign if counts[sign] > 9 * (sum(counts.values()) - counts[sign]) else ""


def _either(texts: Texts) -> str:
    """The mark of a column's values such as 4.146; nothing if there are none."""
    found = [mark for mark in ".," if has(texts, _PATTERNS[mark]["either"])]
    return found[0] if len(found) == 1 else ""


def _groups_thousands(texts: Texts, mark: str) -> bool:
    """Whether values such as 4.146 stand beside 849, and were written 4.146 for another reason.

    Written with three decimals each, 849 would be 849.000; written without trailing zeros, one in
    ten would have fewer than three.
    """
    short, long = (has(texts, pattern) for pattern in (r"^[+-]?\d{1,3}$", r"^[+-]?\d{4,}$"))
    pattern = _PATTERNS[mark]["either"]
    trailing = has(texts, pattern.removesuffix(r"\d{3}$") + r"\d\d0$")
    return short and not long and (trailing or count(texts, pattern) >= _MANY)


def sample(texts: Texts) -> Texts:
    """Some of the cells, evenly spread."""
    if len(texts) <= _SAMPLE:
        return texts
    return texts.take(pa.array(np.linspace(0, len(texts) - 1, _SAMPLE, dtype=np.int64)))


def count(texts: Texts, pattern: str) -> int:
    """How many cells a regular expression is found in."""
    return pc.sum(pc.match_substring_regex(texts, pattern)).as_py() or 0


def has(texts: Texts, pattern: str) -> bool:
    """Whether a regular expression is found in a cell."""
    return bool(pc.any(pc.match_substring_regex(texts, pattern)).as_py())
