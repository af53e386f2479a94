"""Values that a study file may write in several ways: durations, commands, encodings, columns."""

from __future__ import annotations

import shlex
from typing import Any

from sweep.base.errors import did_you_mean


def seconds(value: Any) -> Any:
    """Read 90, "90s", "10m" or "2h" as seconds."""
    if not isinstance(value, str):
        return value
    units = {"s": 1, "m": 60, "h": 3600}
    number = value[:-1] if value[-1:] in units else value
    try:
        return float(number) * units.get(value[-1:], 1)
    except ValueError:
        raise ValueError("expected seconds, or a number with s, m or h: '10m'") from None


def words(value: Any) -> Any:
    """Read a command in one text as a shell would take it apart."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as problem:
        raise ValueError(f"not a command: {problem}") from None


def several(value: Any) -> Any:
    """Read one as a list of it."""
    return [value] if isinstance(value, str | dict) else value


COMMAND = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
DURATION = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^.*\d\.?\s*[smh]?\s*$"}]}


def known_encoding(value: str | None) -> str | None:
    """Check that a word is an encoding of texts that Python knows."""
    try:
        if value is not None:
            b"a".decode(value, errors="replace")
    except LookupError:
        known = ("utf-8", "utf-16", "gb18030", "cp1252", "latin-1", "shift_jis", "big5", "cp1251")
        raise ValueError(
            f"unknown encoding{did_you_mean(value or '', known)} ({', '.join(known)}, "
            "or another that Python knows)"
        ) from None
    return value


def one_separator(value: str | None) -> str | None:
    """Read a word for a separator as the sign that it stands for."""
    value = {"tab": "\t", "\\t": "\t", "blanks": " ", "blank": " "}.get(value or "", value)
    if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n'):
        raise ValueError('expected one sign, such as ";", or "tab", or "blanks" for one or more')
    return value


COLUMN_NAME = {"anyOf": [{"type": "string"}, {"type": "integer"}]}


def column_name(value: Any) -> Any:
    """Read a whole number as the column that has it as its name, such as a code of a pivot."""
    return str(value) if type(value) is int else value


def texts(value: Any) -> Any:
    """Read one text or number as a list of it, and numbers in a list as they are written."""
    values = value if isinstance(value, list | tuple) or value is None else [value]
    if values is None or any(isinstance(text, bool) for text in values):
        return values
    return [str(text) if isinstance(text, int | float) else text for text in values]


_TEXT = {"type": ["string", "number"]}
TEXT_OR_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
