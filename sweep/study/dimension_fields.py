"""How a study file writes what a parameter may be: a range, a list, or one value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from sweep.study.space import Choice, Dimension, Range, Value, is_number

_NUMBER = r"\s*[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][+-]?\d+)?\s*"
_WHOLE = re.compile(r"\s*[+-]?\d[\d_]*\s*")
_RANGE = f"^{_NUMBER}(:{_NUMBER}(:log)?)?$"

RANGE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number"},
        {"type": "string", "pattern": _RANGE},
        {"type": "array", "items": {"type": "number"}, "minItems": 1},
    ]
}
"""What an editor takes for `LOW:HIGH`, `LOW:HIGH:log`, one number or a list of numbers."""

_VALUE_TYPES = ["number", "boolean", "string"]
OWN_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": _VALUE_TYPES},
        {"type": "array", "items": {"type": _VALUE_TYPES}, "minItems": 1},
    ]
}
"""The same with words beside numbers."""


def numbers(value: Any, integer: bool = False) -> Dimension:
    """Read a range of numbers, a list of them, or one.

    Args:
        value: As a study file has it.
        integer: Whether only whole numbers are meant.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, list | tuple):
        return value if isinstance(value, Choice) else Range.parse(value, integer)
    choice = _choice_of(value)
    if not choice.numbers:
        raise ValueError("expected a list of numbers")
    if integer and any(number != int(number) for number in choice.numbers):
        raise ValueError("expected a list of whole numbers")
    options = tuple(int(n) if integer else n for n in choice.numbers)
    return Range(options[0], options[0], integer=integer) if choice.fixed else Choice(options)


def _choice_of(values: Sequence[Any]) -> Choice:
    """One of the values of a list.

    Raises:
        ValueError: One is neither a finite number nor a word, or stands there twice, or there is
            none.
    """
    if not values or not all(map(_is_option, values)):
        raise ValueError("expected a list of numbers or words")
    if len(set(values)) < len(values):
        raise ValueError("a value stands in the list more than once")
    return Choice(tuple(sorted(values) if all(map(is_number, values)) else values))


def _is_option(value: Any) -> bool:
    if is_number(value):
        return math.isfinite(value)
    return isinstance(value, bool) or (isinstance(value, str) and value != "")


def numbers_or_words(value: Any) -> Dimension:
    """Read what a parameter of the user's own may be: a range, a list, or one number or word.

    A range whose ends are both written without a point and an exponent is of whole numbers.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, Range | Choice):
        return value
    if isinstance(value, list | tuple):
        return _choice_of(value)
    if isinstance(value, str) and ":" in value:
        try:
            return Range.parse(
                value, all(map(_WHOLE.fullmatch, value.removesuffix(":log").split(":")))
            )
        except ValueError as problem:
            raise ValueError(f'{problem}; a word with a colon stands in a list: ["a:b"]') from None
    if isinstance(value, str) and re.fullmatch(_NUMBER, value):
        value = int(value) if _WHOLE.fullmatch(value) else float(value)
    if isinstance(value, bool | str):
        return _choice_of([value])
    return Range.parse(value, isinstance(value, int))


def written(dimension: Dimension) -> Value | list[Value]:
    """A dimension as a study file has it, so that `numbers_or_words` reads the same from it."""
    if isinstance(dimension, Choice):
        return list(dimension.options)
    if dimension.fixed:
        return dimension.value(dimension.low)
    ends = [repr(dimension.value(end)) for end in (dimension.low, dimension.high)]
    return ":".join([*ends, *(["log"] if dimension.log else [])])


def _written_numbers(dimension: Dimension) -> float | str | list[Value]:
    if isinstance(dimension, Choice):
        return list(dimension.options)
    return dimension.low if dimension.fixed else str(dimension)


Numbers = Annotated[
    Dimension,
    BeforeValidator(numbers),
    PlainSerializer(_written_numbers),
    WithJsonSchema(RANGE_SCHEMA),
]
"""`LOW:HIGH`, `LOW:HIGH:log`, one number, or a list of numbers."""

NumbersOrWords = Annotated[
    Dimension,
    BeforeValidator(numbers_or_words),
    PlainSerializer(written, return_type=Any),
    WithJsonSchema(OWN_SCHEMA),
]
"""The same of a parameter of the user's own, which may be a word, too."""
