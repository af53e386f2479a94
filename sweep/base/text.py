"""Text that somebody else may have written, made fit to stand where it could do harm."""

from __future__ import annotations

import re

_DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CONTROLS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_DIRECTIONS}]")
"""What moves a cursor, changes a terminal or the direction of writing; line breaks and tabs do
not count."""
_SOURCE_ENCODING = re.compile(r"coding(?=[:=])")


def without_controls(text: str) -> str:
    """The text without what a terminal would obey; line breaks and tabs stay."""
    return _CONTROLS.sub("", text)


def one_line(text: str) -> str:
    """The text with everything that cannot be printed in one line written as an escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def comment(text: str) -> str:
    """A text after `#` in Python: one line, which does not name the file's encoding (PEP 263)."""
    return "# " + _SOURCE_ENCODING.sub("coding ", one_line(text))
