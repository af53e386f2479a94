"""What a scheduler's shape is: its curve, its torch class and its own parameters."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sweep.base.errors import ScheduleError, did_you_mean

Value = int | float | str
Rates = NDArray[np.float64]
Params = Mapping[str, Any]


def invalid(name: str, rule: str, value: object, near: str = "") -> ScheduleError:
    """The error of a value that breaks a rule."""
    return ScheduleError(f"{name} must be {rule}, but got {name}={value!r}{near}")


def as_number(name: str, value: object) -> float:
    """The value as a float.

    Raises:
        ScheduleError: It is not a number; a bool or a string is none.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise invalid(name, "a number", value)
    try:
        return float(value)
    except OverflowError:
        raise invalid(name, "a finite number", value) from None


def is_within(number: float, interval: str) -> bool:
    """Whether a number lies in an interval such as `(0, 1]`; NaN and infinity lie in none."""
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = number > low or (interval[0] == "[" and number == low)
    below = number < high or (interval[-1] == "]" and number == high)
    return above and below


@dataclass(frozen=True)
class ShapeParam:
    """A parameter of one shape.

    Attributes:
        name: Its short name, such as `drops`.
        kind: `int`, `float` or `choice`.
        default: The value when none is given.
        low: The lower end of the default search range, inclusive; unused for a choice.
        high: The upper end, inclusive; unused for a choice.
        log: Whether the range is searched in logarithms.
        choices: The valid values of a choice.
        valid: The interval a schedule accepts, such as `(0, 1]`; may be wider than the range.
        help: What it is, in one line.
    """

    name: str
    kind: Literal["int", "float", "choice"]
    default: Value
    low: int | float = 0
    high: int | float = 0
    log: bool = False
    choices: tuple[str, ...] = ()
    valid: str = "[1, inf)"
    help: str = ""

    def check(self, value: object) -> Value:
        """The value in this parameter's own type.

        Raises:
            ScheduleError: It is of the wrong type or not valid.
        """
        if self.kind == "choice":
            if not isinstance(value, str) or value not in self.choices:
                near = did_you_mean(str(value), self.choices)
                raise invalid(self.name, f"one of {', '.join(self.choices)}", value, near)
            return str(value)
        number = as_number(self.name, value)
        if not is_within(number, self.valid):
            raise invalid(self.name, f"in {self.valid}", value)
        if self.kind == "float":
            return number
        if not number.is_integer():
            raise invalid(self.name, "a whole number", value)
        return int(number)


@dataclass(frozen=True)
class Shape:
    """A registry entry: what is known of one shape before any numbers are chosen.

    Attributes:
        name: The value of `Schedule.scheduler`.
        torch_class: The class in `torch.optim.lr_scheduler` that it becomes.
        summary: What it does, in one line.
        params: Its own parameters.
        curve: `(steps, decay, params)` to rates relative to the peak, shape (steps,).
        args: `(steps, decay, params)` to the torch class's arguments, rates relative to the peak.
        code: Lines of the source that can be pasted elsewhere, which set `main` to the torch
            scheduler. They know `optimizer`, `peaks`, `steps`, LR, DECAY, its own parameters in
            capitals and the functions of formulas.py.
        start: In that source, the first rate relative to the peak, to which warm-up rises.
        uses_decay: False when the final rate is the peak rate.
        uses_warmup: False when it brings a warm-up of its own.
        per_epoch: True when it is stepped with a metric once an epoch.
        min_steps: The shortest horizon after warm-up on which the torch class is defined; below
            it, every step but the last has the peak rate.
    """

    name: str
    torch_class: str
    summary: str
    params: tuple[ShapeParam, ...] = ()
    curve: Callable[[int, float, Params], Rates] = field(kw_only=True, repr=False)
    args: Callable[[int, float, Params], dict[str, Any]] = field(kw_only=True, repr=False)
    code: str = field(kw_only=True, repr=False)
    start: str = field(default="DECAY if steps == 1 else 1.0", kw_only=True, repr=False)
    uses_decay: bool = field(default=True, kw_only=True)
    uses_warmup: bool = field(default=True, kw_only=True)
    per_epoch: bool = field(default=False, kw_only=True)
    min_steps: int = field(default=2, kw_only=True)
