"""The registry of schedule shapes: the course of the rate after warm-up, relative to the peak.

A shape has two forms: an array of rates, and the arguments of the torch scheduler that it becomes.
What both need stands in formulas.py. torch itself is not imported here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from sweep.base.errors import ScheduleError
from sweep.schedules.formulas import (
    cooldown_steps,
    cosine,
    half_cycle,
    inverse_sqrt,
    multistep_args,
    one_minus_sqrt,
    polynomial,
    restarts,
    rex,
    rise_steps,
    step_args,
)
from sweep.schedules.shape import Params, Rates, Shape, ShapeParam


def _progress(steps: int) -> Rates:
    return np.arange(steps) / (steps - 1)


def _course(formula: Callable[..., Any], steps: int, *numbers: float) -> Rates:
    """A formula over the share of the steps that has passed."""
    curve: Rates = formula(_progress(steps), *numbers)
    return curve


def _step_curve(steps: int, decay: float, params: Params) -> Rates:
    args = step_args(steps, decay, **params)
    curve: Rates = args["gamma"] ** (np.arange(steps) // args["step_size"])
    return curve


def _multistep_curve(steps: int, decay: float, params: Params) -> Rates:
    args = multistep_args(steps, decay, **params)
    drops = np.searchsorted(args["milestones"], np.arange(steps), side="right")
    curve: Rates = args["gamma"] ** drops
    return curve


def _restarts_args(steps: int, decay: float, params: Params) -> dict[str, Any]:
    """`hold_steps` are held at the peak before the first cycle."""
    first, eta_min, hold_steps = restarts(steps, decay, **params)
    names = {"T_0": first, "T_mult": params["t_mult"], "eta_min": eta_min}
    return {**names, "hold_steps": hold_steps}


def _restarts_curve(steps: int, decay: float, params: Params) -> Rates:
    length, eta_min, hold_steps = restarts(steps, decay, **params)
    cycle: Callable[..., Any] = cosine
    parts = [np.ones(hold_steps)]
    while sum(map(len, parts)) < steps:
        parts.append(cycle(np.arange(length) / length, eta_min))
        length *= params["t_mult"]
    return np.concatenate(parts)


def _cyclic_args(steps: int, decay: float, params: Params) -> dict[str, Any]:
    half = half_cycle(steps, params["cycles"])
    args = {"base_lr": decay, "max_lr": 1.0, "step_size_up": half, "step_size_down": half}
    return {**args, "mode": params["mode"], "cycle_momentum": False}


def _cyclic_curve(steps: int, decay: float, params: Params) -> Rates:
    position = np.arange(steps) / (2 * half_cycle(steps, params["cycles"]))
    cycle = np.floor(position)
    height: Rates = 1 - np.abs(2 * (position - cycle) - 1)
    if params["mode"] == "triangular2":
        height = height / 2**cycle
    return decay + (1 - decay) * height


def _onecycle_args(steps: int, decay: float, params: Params) -> dict[str, Any]:
    return {
        "max_lr": 1.0,
        "total_steps": steps,
        "pct_start": rise_steps(steps, **params) / steps,
        "div_factor": 25.0,
        "final_div_factor": 1 / (25 * decay),
        "cycle_momentum": False,
    }


def _onecycle_curve(steps: int, decay: float, params: Params) -> Rates:
    top = rise_steps(steps, **params) - 1
    wave: Callable[..., Any] = cosine
    up = 1 + (1 / 25 - 1) * wave(np.arange(top) / top, 0.0)
    return np.concatenate([up, wave(np.arange(steps - top) / (steps - 1 - top), decay)])


def _plateau_args(steps: int, decay: float, params: Params) -> dict[str, Any]:
    """eps = 0: torch's default ignores reductions of a rate below 1e-8."""
    return {**params, "min_lr": decay, "eps": 0.0}


def _plateau_curve(steps: int, decay: float, params: Params) -> Rates:
    raise ScheduleError(
        "a plateau schedule has no rates of its own: they depend on the validation MSE"
    )


def _wsd_curve(steps: int, decay: float, params: Params) -> Rates:
    cooldown = cooldown_steps(steps, **params)
    passed = np.maximum(np.arange(steps) - (steps - cooldown) + 1, 0) / cooldown
    formula: Callable[..., Any] = one_minus_sqrt
    curve: Rates = formula(passed, decay)
    return curve


def _formula(text: str) -> Callable[[int, float, Params], dict[str, Any]]:
    def args(steps: int, decay: float, params: Params) -> dict[str, Any]:
        return {"lr_lambda": text, "steps": steps, "decay": decay, **params}

    return args


_FACTOR = "main = lr_scheduler.LambdaLR(optimizer, factor)\n"


def _of_progress(formula: str) -> str:
    """Source of a factor of the share of the steps taken, z."""
    return f"""\

def factor(t: int) -> float:
    z = min(t / (steps - 1), 1.0) if steps > 1 else 1.0
    return {formula}

"""


def _unless_single(call: str) -> str:
    """Source of a scheduler of torch's that is defined on two steps or more."""
    otherwise = textwrap.indent(f"main = lr_scheduler.{call}\n", "    ")
    return f"""\
if steps == 1:  # the only step is the last one
    main = lr_scheduler.LambdaLR(optimizer, lambda t: DECAY)
else:
{otherwise}"""


_CYCLE_MODES = ("triangular", "triangular2")
_DROPS = ShapeParam("drops", "int", 3, 1, 5, help="how often the rate drops")
_SHAPES = (
    Shape(
        "constant",
        "ConstantLR",
        "the peak rate throughout: the baseline",
        curve=lambda n, d, p: np.ones(n),
        args=lambda n, d, p: {"factor": 1.0},
        code="main = lr_scheduler.ConstantLR(optimizer, factor=1.0)\n",
        start="1.0",
        uses_decay=False,
        min_steps=1,
    ),
    Shape(
        "step",
        "StepLR",
        "equal drops at equal distances",
        (_DROPS,),
        curve=_step_curve,
        args=lambda n, d, p: step_args(n, d, **p),
        code=_unless_single("StepLR(optimizer, **step_args(steps, DECAY, DROPS))"),
    ),
    Shape(
        "multistep",
        "MultiStepLR",
        "equal drops after 1/2, 3/4, 7/8 ... of the steps",
        (_DROPS,),
        curve=_multistep_curve,
        args=lambda n, d, p: multistep_args(n, d, **p),
        code=_unless_single("MultiStepLR(optimizer, **multistep_args(steps, DECAY, DROPS))"),
    ),
    Shape(
        "exponential",
        "ExponentialLR",
        "the same factor at every step",
        curve=lambda n, d, p: d ** _progress(n),
        args=lambda n, d, p: {"gamma": d ** (1 / (n - 1))},
        code=_unless_single("ExponentialLR(optimizer, gamma=DECAY ** (1 / (steps - 1)))"),
    ),
    Shape(
        "linear",
        "LinearLR",
        "a straight line down",
        curve=lambda n, d, p: 1 + (d - 1) * _progress(n),
        args=lambda n, d, p: {"start_factor": 1.0, "end_factor": d, "total_iters": n - 1},
        code=_unless_single("LinearLR(optimizer, 1.0, DECAY, total_iters=steps - 1)"),
    ),
    Shape(
        "polynomial",
        "LambdaLR",
        "a power of the remaining share of the steps",
        (
            ShapeParam(
                "power", "float", 2.0, 0.5, 4.0, valid="(0, inf)", help="1 is a straight line"
            ),
        ),
        curve=lambda n, d, p: _course(polynomial, n, d, p["power"]),
        args=_formula("decay + (1 - decay) * (1 - t / (steps - 1)) ** power"),
        code=_of_progress("polynomial(z, DECAY, POWER)") + _FACTOR,
    ),
    Shape(
        "cosine",
        "CosineAnnealingLR",
        "half a cosine wave down",
        curve=lambda n, d, p: _course(cosine, n, d),
        args=lambda n, d, p: {"T_max": n - 1, "eta_min": d},
        code=(
            _of_progress("cosine(z, DECAY)")
            + """\
if steps == 1 or len(set(peaks)) > 1:  # torch's eta_min is the same for all groups
    main = lr_scheduler.LambdaLR(optimizer, factor)
else:
    main = lr_scheduler.CosineAnnealingLR(optimizer, steps - 1, eta_min=LR * DECAY)
"""
        ),
    ),
    Shape(
        "cosine_restarts",
        "CosineAnnealingWarmRestarts",
        "cosine cycles, each starting from the peak rate",
        (
            ShapeParam("cycles", "int", 3, 2, 5, help="number of cycles"),
            ShapeParam("t_mult", "int", 1, 1, 2, help="length of a cycle / length of the last one"),
        ),
        curve=_restarts_curve,
        args=_restarts_args,
        code="""\
first, floor, hold_steps = 1, DECAY, 0
if steps > 1:
    first, floor, hold_steps = restarts(steps, DECAY, CYCLES, T_MULT)

def factor(t: int) -> float:
    length = first
    while t >= length:
        t, length = t - length, length * T_MULT
    return cosine(t / length, floor)

if steps == 1:
    main = lr_scheduler.LambdaLR(optimizer, lambda t: DECAY)
elif len(set(peaks)) > 1:  # torch's eta_min is the same for all groups
    main = lr_scheduler.LambdaLR(optimizer, factor)
else:
    main = lr_scheduler.CosineAnnealingWarmRestarts(
        optimizer, first, T_MULT, eta_min=LR * floor
    )
""",
    ),
    Shape(
        "cyclic",
        "CyclicLR",
        "triangles between the final and the peak rate",
        (
            ShapeParam("cycles", "int", 3, 1, 5, help="number of triangles"),
            ShapeParam(
                "mode",
                "choice",
                "triangular",
                choices=_CYCLE_MODES,
                help="equal peaks, or each half as high as the one before",
            ),
        ),
        curve=_cyclic_curve,
        args=_cyclic_args,
        code=_unless_single(
            """\
CyclicLR(
    optimizer,
    base_lr=[peak * DECAY for peak in peaks],
    max_lr=peaks,
    step_size_up=half_cycle(steps, CYCLES),
    mode=MODE,
    cycle_momentum=False,
)"""
        ),
        start="DECAY",
    ),
    Shape(
        "onecycle",
        "OneCycleLR",
        "a cosine up from lr / 25 and a longer one down",
        (
            ShapeParam(
                "pct_start",
                "float",
                0.3,
                0.05,
                0.5,
                valid="(0, 1)",
                help="share of the steps on the way up",
            ),
        ),
        curve=_onecycle_curve,
        args=_onecycle_args,
        code="""\
if steps < 3:  # too short for a rise and a fall
    main = lr_scheduler.LambdaLR(optimizer, lambda t: DECAY if t >= steps - 1 else 1.0)
else:
    main = lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=peaks,
        total_steps=steps,
        pct_start=rise_steps(steps, PCT_START) / steps,
        div_factor=25.0,
        final_div_factor=1 / (25 * DECAY),
        cycle_momentum=False,
    )
""",
        uses_warmup=False,
        min_steps=3,
    ),
    Shape(
        "plateau",
        "ReduceLROnPlateau",
        "a drop whenever the validation MSE stands still",
        (
            ShapeParam("factor", "float", 0.5, 0.1, 0.7, valid="(0, 1)", help="factor of a drop"),
            ShapeParam(
                "patience",
                "int",
                3,
                1,
                10,
                valid="[0, inf)",
                help="epochs without improvement that are waited for",
            ),
        ),
        curve=_plateau_curve,
        args=_plateau_args,
        code="floors = [peak * DECAY for peak in peaks]\n",
        per_epoch=True,
        min_steps=1,
    ),
    Shape(
        "wsd",
        "LambdaLR",
        "warm-up, stable, then a 1 - sqrt cool-down",
        (
            ShapeParam(
                "cooldown",
                "float",
                0.2,
                0.1,
                0.5,
                valid="(0, 1]",
                help="share of the steps after warm-up spent cooling down",
            ),
        ),
        curve=_wsd_curve,
        args=_formula(
            "1 if t < steps - C else decay + (1 - decay) * (1 - sqrt((t - (steps - C) + 1) / C)), "
            "C = max(1, round(cooldown * steps))"
        ),
        code="""\
cooldown = cooldown_steps(steps, COOLDOWN)

def factor(t: int) -> float:
    z = min(max(t - (steps - cooldown) + 1, 0) / cooldown, 1.0)
    return one_minus_sqrt(z, DECAY)

"""
        + _FACTOR,
        start="factor(0)",
    ),
    Shape(
        "inverse_sqrt",
        "LambdaLR",
        "one over the square root of the steps taken",
        curve=lambda n, d, p: _course(inverse_sqrt, n, d),
        args=_formula("1 / sqrt(1 + t / (steps - 1) * (decay**-2 - 1))"),
        code=_of_progress("inverse_sqrt(z, DECAY)") + _FACTOR,
    ),
    Shape(
        "rex",
        "LambdaLR",
        "reflected exponential: slow first, steep at the end",
        curve=lambda n, d, p: _course(rex, n, d),
        args=_formula("decay + (1 - decay) * (1 - z) / (0.5 + 0.5 * (1 - z)), z = t / (steps - 1)"),
        code=_of_progress("rex(z, DECAY)") + _FACTOR,
    ),
)

SHAPES: Mapping[str, Shape] = MappingProxyType({shape.name: shape for shape in _SHAPES})
"""Every built-in shape by its name."""
