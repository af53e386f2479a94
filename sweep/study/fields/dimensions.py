"""How a study file writes what a parameter may be: a range, a list, or one value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from sweep.schedules.schedule import SHAPES
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


def ends(dimension: Dimension | None) -> list[float]:
    """The least and the greatest of its numbers, or all of them; none of no dimension."""
    return [] if dimension is None else [float(number) for number in dimension.points(2)]


def written(dimension: Dimension) -> Value | list[Value]:
    """A dimension as a study file has it, so that `numbers_or_words` reads the same from it."""
    if isinstance(dimension, Choice):
        return list(dimension.options)
    if dimension.fixed:
        return dimension.value(dimension.low)
    both = [repr(dimension.value(end)) for end in (dimension.low, dimension.high)]
    return ":".join([*both, *(["log"] if dimension.log else [])])


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


def rates_of(given: Mapping[str, Any]) -> dict[str, Range]:
    """The rates of each optimizer, all on one scale.

    Args:
        given: A range or a number by the name of each.

    Raises:
        ValueError: One of them is something else, or some are logarithmic and others are not.
    """
    ranges: dict[str, Range] = {}
    for name, value in given.items():
        try:
            ranges[name] = Range.parse(value)
        except ValueError as problem:
            raise ValueError(f"{name}: {problem}") from None
    scales = {each.log for each in ranges.values() if not each.fixed}
    if len(scales) > 1:
        raise ValueError("expected all of them with :log, or none")
    return {name: replace(each, log=scales != {False}) for name, each in ranges.items()}


def _all_rates(value: Any) -> Dimension:
    """Read the rates of all optimizers, or those of each: what these span."""
    if not isinstance(value, Mapping):
        return numbers(value)
    ranges = [*rates_of(value).values()]
    if not ranges:
        raise ValueError("expected the rates of each optimizer")
    return Range(min(r.low for r in ranges), max(r.high for r in ranges), ranges[0].log)


RATES_SCHEMA: dict[str, Any] = {
    "anyOf": [
        *RANGE_SCHEMA["anyOf"],
        {"type": "object", "additionalProperties": {"type": ["number", "string"]}},
    ]
}
"""What it takes for the peak rate, which may be written for each optimizer."""

Rates = Annotated[
    Dimension,
    BeforeValidator(_all_rates),
    PlainSerializer(_written_numbers),
    WithJsonSchema(RATES_SCHEMA),
]
"""The same of the peak rate, which may be written for each optimizer."""

NumbersOrWords = Annotated[
    Dimension,
    BeforeValidator(numbers_or_words),
    PlainSerializer(written, return_type=Any),
    WithJsonSchema(OWN_SCHEMA),
]
"""The same of a parameter of the user's own, which may be a word, too."""


def default_own_dimensions(scheduler: str) -> dict[str, Dimension]:
    """The ranges that the registry suggests for a schedule's own parameters."""
    dimensions: dict[str, Dimension] = {}
    for param in SHAPES[scheduler].params if scheduler in SHAPES else ():
        name = f"{scheduler}.{param.name}"
        if param.kind == "choice":
            dimensions[name] = Choice(tuple(param.choices))
        else:
            dimensions[name] = Range(param.low, param.high, param.log, param.kind == "int")
    return dimensions


def own_dimensions(
    schedulers: Sequence[str],
    custom: Mapping[str, Mapping[str, Dimension]],
    given: Mapping[str, Any],
) -> dict[str, Dimension]:
    """The dimensions of schedulers' own parameters, by `<scheduler>.<param>`.

    Args:
        schedulers: That are searched.
        custom: The parameters of those of the user's own.
        given: What a study file has in the place of what the registry suggests.

    Raises:
        ValueError: That is no range and no list, or not of the parameter's kind.
    """
    own: dict[str, Dimension] = {}
    for name in schedulers:
        own |= default_own_dimensions(name)
        own |= {f"{name}.{p}": dimension for p, dimension in custom.get(name, {}).items()}
    for name, value in given.items():
        default = own.get(name)
        if isinstance(default, Choice):
            own[name] = Choice.parse(value, default.options)
        elif default is not None:
            own[name] = numbers(value, default.integer)
    return own
