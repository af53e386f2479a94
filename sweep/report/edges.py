"""Whether the best trial lies at the end of a range, and which way to widen it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from sweep.base.languages.sentences import _
from sweep.base.wording import number
from sweep.schedules.schedule import SHAPES, Schedule
from sweep.study.fields.dimensions import written
from sweep.study.space import Choice, Range, Space, Value

_NEAR = 0.05
"""Share of a range, on its own scale, that counts as its end."""
_LIMITS = {
    "lr": "(0, inf)",
    "decay": "(0, 1]",
    "warmup": "[0, 1)",
    "momentum": "[0, 1)",
    "weight_decay": "[0, inf)",
}
_ANY = "(-inf, inf)"
_SEVERAL = 3
_FLAGS = ("lr", "decay", "warmup")


def edge_advice(schedule: Schedule, values: Mapping[str, Value], space: Space) -> tuple[str, ...]:
    """A sentence for each range that the best trial lies at the end of.

    Args:
        schedule: The best trial's.
        values: Its parameters by the name of their dimension.
        space: The study's.

    Returns:
        Nothing for a parameter that the trial makes no use of, or whose range ends at the limit
        of what is valid.
    """
    optimizer = values.get("optimizer")
    unused = space.ignored_by(schedule.scheduler, optimizer)
    sentences: list[str] = []
    of_optimizer = {"lr": space.rates[str(optimizer)]} if str(optimizer) in space.rates else {}
    for name, bounds in (space.dimensions() | of_optimizer).items():
        value = values.get(name)
        if name in unused or isinstance(value, bool | str | None):
            continue
        if isinstance(bounds, Choice):
            sentences += _at_end_of_list(name, value, bounds)
            continue
        is_own = name in space.params
        end = nearest_end(float(value), bounds)
        limits = ("[0, inf)" if bounds.low >= 0 else _ANY) if is_own else _limits(name)
        wider = widened(bounds, end, limits) if end else None
        if end and wider:
            setting = f"--param {name}={written(wider)}" if is_own else _setting(name, wider)
            if name in of_optimizer:
                setting = _setting(f"lr.{optimizer}", wider)
            told = {"name": name, "value": number(value), "range": bounds, "setting": setting}
            sentences.append(_at_end(end, bounds.low <= value <= bounds.high, told))
    return tuple(sentences)


def _at_end(end: Literal["lower", "upper"], is_inside: bool, told: Mapping[str, object]) -> str:
    if end == "lower" and is_inside:
        return _("{name} {value} is at the lower end of its range {range}; try {setting}", **told)
    if is_inside:
        return _("{name} {value} is at the upper end of its range {range}; try {setting}", **told)
    if end == "lower":
        return _(
            "{name} {value} is beyond the lower end of its range {range}; try {setting}", **told
        )
    return _("{name} {value} is beyond the upper end of its range {range}; try {setting}", **told)


def _at_end_of_list(name: str, value: float, choice: Choice) -> Iterator[str]:
    """That a value is the least or the greatest of a list of numbers.

    Of two, one always is, which says nothing.
    """
    numbers = choice.numbers
    if len(numbers) >= _SEVERAL and value in (numbers[0], numbers[-1]):
        told = {"name": name, "value": number(value), "choice": choice}
        if value == numbers[0]:
            yield _("{name} {value} is the least of [{choice}]; try lower ones", **told)
        else:
            yield _("{name} {value} is the greatest of [{choice}]; try higher ones", **told)


def nearest_end(value: float, bounds: Range) -> Literal["lower", "upper"] | None:
    """The end of a range that a value is near to, on the range's own scale."""
    if bounds.fixed:
        return None
    if bounds.log:
        low, high, at = (math.log(x) for x in (bounds.low, bounds.high, value))
    else:
        low, high, at = bounds.low, bounds.high, value
    position = (at - low) / (high - low)
    if position <= _NEAR:
        return "lower"
    return "upper" if position >= 1 - _NEAR else None


def widened(bounds: Range, end: Literal["lower", "upper"], limits: str) -> Range | None:
    """The range with one end moved out by a decade, or by its own width on a linear scale.

    Args:
        bounds: The range.
        end: Which end to move.
        limits: The interval of valid values, such as `(0, 1]`. Where the move would leave it,
            it ends at a limit that is valid, and half-way to one that is not.

    Returns:
        None if there is no room.
    """
    low_limit, high_limit = (float(text) for text in limits[1:-1].split(","))
    width = bounds.high - bounds.low
    if end == "upper":
        moved = bounds.high * 10 if bounds.log else bounds.high + width
        moved = _within(moved, bounds.high, high_limit, closed=limits[-1] == "]")
        wider = Range(bounds.low, moved, bounds.log) if moved > bounds.high else None
    else:
        moved = bounds.low / 10 if bounds.log else bounds.low - width
        moved = _within(moved, bounds.low, low_limit, closed=limits[0] == "[")
        log = bounds.log and moved > 0
        wider = Range(moved, bounds.high, log) if moved < bounds.low else None
    if wider is None or not bounds.integer:
        return wider
    whole = Range(math.ceil(wider.low), math.floor(wider.high), wider.log, integer=True)
    return None if (whole.low, whole.high) == (bounds.low, bounds.high) else whole


def _within(moved: float, before: float, limit: float, *, closed: bool) -> float:
    beyond = moved >= limit if limit > before else moved <= limit
    if not (beyond or limit == before):
        return float(f"{moved:.6g}")
    return limit if closed else float(f"{(before + limit) / 2:.3g}")


def _limits(name: str) -> str:
    """What is valid for a dimension; a custom schedule's parameters know no limits."""
    scheduler, _dot, param = name.partition(".")
    if scheduler in SHAPES and param:
        return next(p.valid for p in SHAPES[scheduler].params if p.name == param)
    return _LIMITS.get(name, _ANY)


def _setting(name: str, bounds: Range) -> str:
    if name in _FLAGS:
        return f"--{name} {bounds}"
    key = f'"{name}"' if "." in name else name
    return _("{setting} in the study file", setting=f'space.{key} = "{bounds}"')
