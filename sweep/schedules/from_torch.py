"""torch's schedulers read as ours, where the two have the same course.

torch itself is not needed: what its schedulers do is in their arguments. Nothing that is read is
evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from sweep.base.errors import ScheduleError, did_you_mean
from sweep.schedules.other_names import scheduler_here
from sweep.schedules.schedule import Schedule
from sweep.schedules.shape import Rates

_LEAST = 1e-6
"""Final rate / peak rate that stands for a final rate of 0, which ours cannot have."""

_NEEDED = object()
_SAME = 1e-6
_HARDLY = 1e-3
_MOST_UNITS = 10**7

_SIGNATURES: Mapping[str, Mapping[str, Any]] = {
    "ConstantLR": {"factor": 1 / 3, "total_iters": 5},
    "StepLR": {"step_size": _NEEDED, "gamma": 0.1},
    "MultiStepLR": {"milestones": _NEEDED, "gamma": 0.1},
    "ExponentialLR": {"gamma": _NEEDED},
    "LinearLR": {"start_factor": 1 / 3, "end_factor": 1.0, "total_iters": 5},
    "PolynomialLR": {"total_iters": 5, "power": 1.0},
    "CosineAnnealingLR": {"T_max": _NEEDED, "eta_min": 0.0},
    "CosineAnnealingWarmRestarts": {"T_0": _NEEDED, "T_mult": 1, "eta_min": 0.0},
    "OneCycleLR": {
        **{"max_lr": _NEEDED, "total_steps": None, "epochs": None, "steps_per_epoch": None},
        **{"pct_start": 0.3, "anneal_strategy": "cos", "cycle_momentum": True},
        **{"base_momentum": 0.85, "max_momentum": 0.95, "div_factor": 25.0},
        **{"final_div_factor": 1e4, "three_phase": False},
    },
}
"""torch's arguments in their order, with its defaults."""

_BESIDE = ("optimizer", "last_epoch", "verbose")
"""Arguments that the course does not depend on."""


class TorchCall:
    """A scheduler of torch's as it stands in a script: `StepLR(optimizer, step_size=30)`.

    Args:
        text: The call; the optimizer may be left out, and names of modules may stand before it.

    Raises:
        ScheduleError: It is no such call, or torch would refuse its arguments.
    """

    def __init__(self, text: str) -> None:
        call = _parsed(text)
        self.name = call.func.attr if isinstance(call.func, ast.Attribute) else _word(call.func)
        if self.name not in _SIGNATURES:
            raise ScheduleError(_unknown(self.name))
        self.arguments = self._bound(call)
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        self.text = f"{self.name}({given})"

    def _bound(self, call: ast.Call) -> dict[str, Any]:
        signature = _SIGNATURES[self.name]
        positional = [*call.args]
        if positional and isinstance(positional[0], ast.Name):
            del positional[0]  # the optimizer, whatever it is called
        given = dict(zip(signature, positional, strict=False))
        if len(positional) > len(signature):
            raise ScheduleError(f"{self.name} has the arguments {', '.join(signature)}")
        for keyword in call.keywords:
            name = keyword.arg or "**"
            if name in given or (name not in signature and name not in _BESIDE):
                told = "given twice" if name in given else "not known"
                near = did_you_mean(name, signature)
                raise ScheduleError(f"{self.name}: the argument {name} is {told}{near}")
            if name in signature:
                given[name] = keyword.value
        self._given = {name: _literal(self.name, name, node) for name, node in given.items()}
        for name, default in signature.items():
            if default is _NEEDED and name not in given:
                raise ScheduleError(f"{self.name}: the argument {name} is missing")
        return {**signature, **self._given}


def read_torch(call: TorchCall, lr: float | None, units: int, unit: str = "epoch") -> Schedule:
    """The schedule of ours that has the course of one of torch's.

    Torch's rate changes once a unit, ours at every step: a course of equal drops must be the same,
    a smooth one must at every unit lie between what torch has just before and just after it.

    Args:
        call: What makes torch's scheduler.
        lr: The optimizer's rate when it is made; None for OneCycleLR, which brings its own.
        units: How often torch's scheduler is stepped in a trial.
        unit: What that is, an epoch or a step.

    Raises:
        ScheduleError: No schedule here has its course; the text names the nearest.
    """
    if not 2 <= units <= _MOST_UNITS:
        raise ScheduleError(f"{call.text} can be read over 2 {unit}s or more, but got {units}")
    try:
        if call.name == "OneCycleLR":
            return _onecycle(call, lr, units, unit)
        if lr is None:
            raise ScheduleError(f"lr is missing, the optimizer's rate when {call.name} is made")
        return _nearest(call, lr, units, unit)
    except (TypeError, ValueError, ArithmeticError) as problem:
        raise ScheduleError(f"{call.text}: torch would not take this: {problem}") from None


def _nearest(call: TorchCall, lr: float, units: int, unit: str) -> Schedule:
    theirs = _COURSES[call.name](np.arange(units), **_relative(call.arguments, lr))
    if not np.isfinite(theirs).all() or theirs.min() < 0:
        raise ScheduleError(f"{call.text}: its rates are not finite, or below 0")
    peak = float(theirs.max())
    if call.name != "ConstantLR" and peak - theirs.min() < _HARDLY * peak:
        raise ScheduleError(
            f"{call.text}: its rate hardly changes in {units} {unit}s{_if_steps(unit)}"
        )
    found: list[tuple[float, int, Schedule]] = []
    for schedule in _candidates(call, lr * peak, theirs / peak):
        ours = schedule.rates(units) / schedule.lr
        off = np.abs(ours - _allowed(schedule, ours, theirs / peak))
        if off.max() <= _SAME:
            return schedule
        found.append((float(off.max()), int(off.argmax()), schedule))
    what = f"{call.text} over {units} {unit}s has a course that no schedule here has"
    if not found:
        raise ScheduleError(f"{what}: it does not fall; a warm-up is a number of ours, warmup=0.05")
    _, at, nearest = min(found, key=lambda each: each[0])
    rate, other = nearest.rates(units)[at], lr * theirs[at]
    raise ScheduleError(
        f"{what}; the nearest is {as_text(nearest)}, whose rate is {rate:.3g} in {unit} {at + 1} "
        f"where torch has {other:.3g}: give that one if it will do"
    )


def _allowed(schedule: Schedule, ours: Rates, theirs: Rates) -> Rates:
    """The rates nearest to ours that pass for torch's."""
    if schedule.scheduler in ("constant", "step", "multistep"):
        return theirs
    around = np.stack([np.append(theirs[:1], theirs[:-1]), theirs, np.append(theirs[1:], 0.0)])
    around[2, -1] = theirs[-1]
    nearest: Rates = np.clip(ours, around.min(axis=0), around.max(axis=0))
    return nearest


def _candidates(call: TorchCall, lr: float, theirs: Rates) -> Iterator[Schedule]:
    """What may have the course of torch's, by where it ends and how often it drops."""
    last = float(theirs[-1])
    if theirs.min() == theirs.max():
        yield Schedule("constant", lr)
        return
    if last == 1:
        return
    decay = max(last, _LEAST)
    if call.name in ("StepLR", "MultiStepLR", "ConstantLR"):
        drops = int(np.count_nonzero(np.diff(theirs)))
        for name in ("step", "multistep"):
            yield Schedule(name, lr, last or _LEAST, params={"drops": drops})
    elif call.name == "CosineAnnealingWarmRestarts":
        cycles = 1 + int(np.count_nonzero(np.diff(theirs) > 0))
        params = {"cycles": cycles, "t_mult": call.arguments["T_mult"]}
        name = "cosine_restarts" if cycles > 1 else "cosine"
        yield Schedule(name, lr, decay, params=params if cycles > 1 else {})
    elif call.name == "PolynomialLR":
        yield Schedule("polynomial", lr, decay, params={"power": call.arguments["power"]})
    else:
        names = {"ExponentialLR": "exponential", "LinearLR": "linear"}
        yield Schedule(names.get(call.name, "cosine"), lr, decay)


def _relative(arguments: Mapping[str, Any], lr: float) -> dict[str, Any]:
    """With rates relative to the first one."""
    return {n: value / lr if n == "eta_min" else value for n, value in arguments.items()}


def _if_steps(unit: str) -> str:
    more = "; if its numbers are steps, say how many an epoch has: steps_per_epoch=391"
    return more if unit == "epoch" else ""


def _onecycle(call: TorchCall, lr: float | None, units: int, unit: str) -> Schedule:
    """Torch's is stepped at every step, and knows how many there are."""
    given = call.arguments
    if lr not in (None, given["max_lr"]):
        raise ScheduleError(f"{call.text} has its peak rate in max_lr: leave lr={lr:g} out")
    ours = {"anneal_strategy": "cos", "div_factor": 25.0, "three_phase": False}
    for name, value in ours.items():
        if given[name] != value:
            raise ScheduleError(
                f"{call.text}: onecycle, its like here, has {name}={value!r}; leave it out to "
                "compare with that"
            )
    horizon = given["epochs"] if given["total_steps"] is None else given["total_steps"]
    if horizon is None:
        raise ScheduleError(f"{call.text}: its length is missing: total_steps={units}")
    if horizon != units:
        raise ScheduleError(
            f"{call.text} is over {horizon} {unit}s, and a trial has {units}{_if_steps(unit)}"
        )
    decay = 1 / (given["div_factor"] * given["final_div_factor"])
    return Schedule("onecycle", given["max_lr"], decay, params={"pct_start": given["pct_start"]})


def _step(at: Rates, step_size: int, gamma: float) -> Rates:
    return _power(gamma, at // _count(step_size))


def _multistep(at: Rates, milestones: list[int], gamma: float) -> Rates:
    return _power(gamma, np.searchsorted(sorted(milestones), at, side="right"))


def _linear(at: Rates, start_factor: float, end_factor: float, total_iters: int) -> Rates:
    passed = np.minimum(at, total_iters) / _count(total_iters)
    return start_factor + (end_factor - start_factor) * passed


def _polynomial(at: Rates, total_iters: int, power: float) -> Rates:
    passed = np.minimum(at, total_iters) / _count(total_iters)
    return _power(1 - passed, power)


def _cosine(at: Rates, T_max: int, eta_min: float) -> Rates:
    course: Rates = eta_min + (1 - eta_min) * (1 + np.cos(np.pi * at / _count(T_max))) / 2
    return course


def _restarts(at: Rates, T_0: int, T_mult: int, eta_min: float) -> Rates:
    starts, length = [0], _count(T_0)
    while starts[-1] + length < len(at):
        starts.append(starts[-1] + length)
        length *= _count(T_mult)
    cycle = np.searchsorted(starts, at, side="right") - 1
    lengths = T_0 * float(T_mult) ** cycle
    return _cosine((at - np.array(starts)[cycle]) / lengths, 1, eta_min)


_COURSES: Mapping[str, Callable[..., Rates]] = {
    "ConstantLR": lambda at, factor, total_iters: np.where(at < total_iters, factor, 1.0),
    "StepLR": _step,
    "MultiStepLR": _multistep,
    "ExponentialLR": lambda at, gamma: _power(gamma, at),
    "LinearLR": _linear,
    "PolynomialLR": _polynomial,
    "CosineAnnealingLR": _cosine,
    "CosineAnnealingWarmRestarts": _restarts,
}
"""torch's rates relative to the optimizer's, by how often it has been stepped."""


def _power(base: Any, exponent: Any) -> Rates:
    power: Rates = np.power(np.asarray(base, float), np.asarray(exponent, float))
    return power


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"expected a whole number of at least 1, but got {value!r}")
    return value


def as_text(schedule: Schedule) -> str:
    """A schedule as people write one: `step, lr=0.05, decay=0.01, drops=2`."""
    numbers: dict[str, Any] = {"lr": schedule.lr}
    if schedule.shape is None or schedule.shape.uses_decay:
        numbers["decay"] = schedule.decay
    if schedule.warmup:
        numbers["warmup"] = schedule.warmup
    numbers |= schedule.params
    shown = (f"{n}={v:.6g}" if isinstance(v, float) else f"{n}={v}" for n, v in numbers.items())
    return ", ".join([schedule.scheduler, *shown])


def _unknown(name: str) -> str:
    told = f"torch's {name} cannot be read" if name.endswith("LR") else f"{name} cannot be read"
    near = did_you_mean(name, [known for known in _SIGNATURES if known.lower() == name.lower()])
    like = "" if near else scheduler_here(name)
    if like:
        own = ", with parameters of its own (`sweep schedules`)" if like.endswith(" here") else ""
        return f"{told}{like}{own}"
    near = near or did_you_mean(name, _SIGNATURES)
    return f"{told}{near} ({', '.join(_SIGNATURES)})"


def _parsed(text: str) -> ast.Call:
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        call = None
    if not isinstance(call, ast.Call):
        raise ScheduleError(
            f"{text!r} is not understood; expected a scheduler of torch's with its arguments, "
            "such as StepLR(step_size=30, gamma=0.1)"
        )
    return call


def _word(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ast.unparse(node)


def _literal(scheduler: str, name: str, node: ast.expr) -> Any:
    """A number, a word or a list of them."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise ScheduleError(
            f"{scheduler}: {name}={ast.unparse(node)} is no number; give its value"
        ) from None
