"""What a schedule may be described by: names, parameters, horizons."""

from __future__ import annotations

import keyword
import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from sweep.base.errors import ScheduleError, did_you_mean
from sweep.schedules.other_names import scheduler_here, setting_here
from sweep.schedules.shape import Rates, Shape, Value, as_number, invalid
from sweep.schedules.shapes import SHAPES

_RESERVED = frozenset({"optimizer", "total_steps", "decay"})


def check_name(name: str, factory: str | None) -> None:
    if not isinstance(name, str):
        raise invalid("scheduler", "a text", name)
    if factory is None and name not in SHAPES:
        if here := scheduler_here(name):
            raise ScheduleError(f"unknown scheduler {name!r}{here}")
        near = did_you_mean(name, SHAPES)
        raise ScheduleError(
            f"scheduler must be one of {', '.join(SHAPES)}, but got scheduler={name!r}{near}"
        )
    if factory is None:
        return
    if name in SHAPES:
        raise ScheduleError(
            f"a custom schedule needs a name of its own, but {name!r} is built in; rename it"
        )
    if not name.isidentifier():
        raise invalid("scheduler", "an identifier", name)
    if not isinstance(factory, str) or not is_factory(factory):
        raise invalid("factory", "of the form 'module:function'", factory)


def is_factory(reference: str) -> bool:
    """Whether it is `module:function` or `file.py:function`, and nothing else beside it."""
    module, _, function = reference.rpartition(":")
    names = (*module.split("."), function)
    if module.endswith(".py"):
        names = (function,) if module.isprintable() else ()
    return bool(names) and all(n.isidentifier() and not keyword.iskeyword(n) for n in names)


def impossible_step(rates: Rates) -> int | None:
    """The first step whose rate none can be taken with: not finite, or below 0; None if all can."""
    wrong = np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))
    return int(wrong[0]) if len(wrong) else None


def check_params(name: str, params: Mapping[str, Any], shape: Shape | None) -> dict[str, Value]:
    if not isinstance(params, Mapping):
        raise invalid("params", "a table of names and values", params)
    if shape is None:
        return {key: _check_passed(key, value) for key, value in sorted(params.items())}
    known = [param.name for param in shape.params]
    for key in params:
        if key not in known:
            names = f"its parameters are {', '.join(known)}" if known else "it has none"
            near = setting_here(key) or did_you_mean(key, known)
            raise ScheduleError(f"{name} has no parameter {key!r}; {names}{near}")
    return {
        param.name: param.check(params.get(param.name, param.default)) for param in shape.params
    }


def _check_passed(name: str, value: Any) -> Value:
    """A value for a custom factory."""
    if not name.isidentifier() or keyword.iskeyword(name) or name in _RESERVED:
        raise ScheduleError(f"{name!r} cannot be the name of a custom schedule's parameter")
    if not isinstance(value, (int, float, str)):
        raise invalid(name, "a number or a string", value)
    if isinstance(value, int | float) and not math.isfinite(as_number(name, +value)):
        raise invalid(name, "finite", value)
    return value


def whole(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise invalid(name, "a whole number", value) from None
    if number < 1 or isinstance(value, bool):
        raise invalid(name, "at least 1", value)
    return number


def check_last_epoch(value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise invalid("last_epoch", "a whole number", value) from None
    if number < -1:
        raise invalid("last_epoch", "at least -1", value)
    return number


def horizon_from(total_steps: int | None, steps_per_epoch: int | None, epochs: int | None) -> int:
    if total_steps is not None and steps_per_epoch is None and epochs is None:
        return total_steps
    if total_steps is None and steps_per_epoch is not None and epochs is not None:
        return whole("steps_per_epoch", steps_per_epoch) * whole("epochs", epochs)
    raise ScheduleError(
        "the horizon must be given as total_steps, or as steps_per_epoch and epochs, but got "
        f"{total_steps=}, {steps_per_epoch=}, {epochs=}"
    )
