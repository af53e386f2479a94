"""The registry of schedule shapes: the course of the rate after warm-up, relative to the peak.

A shape is written twice: as an array of rates, and as the arguments of the torch scheduler that
it becomes. torch itself is not imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from sweep.base.errors import ScheduleError
from sweep.schedules.shape import Params, Rates, Shape, ShapeParam


def _progress(steps: int) -> Rates:
    return np.arange(steps) / (steps - 1)


def _cosine(position: Rates) -> Rates:
    return (1 + np.cos(np.pi * position)) / 2


def _step_args(steps: int, decay: float, params: Params) -> dict[str, Any]:
    step_size = math.ceil(steps / (params["drops"] + 1))
    return {"step_size": step_size, "gamma": decay ** (1 / ((steps - 1) // step_size))}


def _step_curve(steps: int, decay: float, params: Params) -> Rates:
    args = _step_args(steps, decay, params)
    curve: Rates = args["gamma"] ** (np.arange(steps) // args["step_size"])
    return curve


def _multistep_args(steps: int, decay: float, params: Params) -> dict[str, Any]:
    shares = [1 - 0.5**drop for drop in range(1, params["drops"] + 1)]
    milestones = [min(max(round(steps * share), 1), steps - 1) for share in shares]
    return {"milestones": milestones, "gamma": decay ** (1 / params["drops"])}


def _multistep_curve(steps: int, decay: float, params: Params) -> Rates:
    args = _multistep_args(steps, decay, params)
    drops = np.searchsorted(args["milestones"], np.arange(steps), side="right")
    curve: Rates = args["gamma"] ** drops
    return curve


def _restarts_args(steps: int, decay: float, params: Params) -> dict[str, Any]:
    """Cycles that end exactly at the horizon; `hold_steps` are held at the peak before them.

    torch's class restarts one step before it would reach eta_min, so eta_min is solved from the
    rate of the last cycle's last step.
    """
    cycles, t_mult = params["cycles"], params["t_mult"]
    cycles = min(cycles, steps if t_mult == 1 else steps.bit_length())
    while cycles > 1 and steps // _cycle_units(cycles, t_mult) < 2:
        cycles -= 1
    first = steps // _cycle_units(cycles, t_mult)
    last = first * t_mult ** (cycles - 1)
    share = (1 + math.cos(math.pi * (last - 1) / last)) / 2
    return {
        "T_0": first,
        "T_mult": t_mult,
        "eta_min": (decay - share) / (1 - share),
        "hold_steps": steps - first * _cycle_units(cycles, t_mult),
    }


def _cycle_units(cycles: int, t_mult: int) -> int:
    return sum(t_mult**cycle for cycle in range(cycles))


def _restarts_curve(steps: int, decay: float, params: Params) -> Rates:
    args = _restarts_args(steps, decay, params)
    parts, length = [np.ones(args["hold_steps"])], args["T_0"]
    while sum(map(len, parts)) < steps:
        share = _cosine(np.arange(length) / length)
        parts.append(args["eta_min"] + (1 - args["eta_min"]) * share)
        length *= args["T_mult"]
    return np.concatenate(parts)


def _cyclic_args(steps: int, decay: float, params: Params) -> dict[str, Any]:
    cycles = max(1, min(params["cycles"], (steps - 1) // 2))
    half = (steps - 1) / (2 * cycles)
    args = {"base_lr": decay, "max_lr": 1.0, "step_size_up": half, "step_size_down": half}
    return {**args, "mode": params["mode"], "cycle_momentum": False}


def _cyclic_curve(steps: int, decay: float, params: Params) -> Rates:
    position = np.arange(steps) / (2 * _cyclic_args(steps, decay, params)["step_size_up"])
    cycle = np.floor(position)
    height: Rates = 1 - np.abs(2 * (position - cycle) - 1)
    if params["mode"] == "triangular2":
        height = height / 2**cycle
    return decay + (1 - decay) * height


def _onecycle_args(steps: int, decay: float, params: Params) -> dict[str, Any]:
    """The rise takes at least two steps: torch divides by zero when it takes one."""
    rise = min(max(round(params["pct_start"] * steps), 2), steps - 1)
    return {
        "max_lr": 1.0,
        "total_steps": steps,
        "pct_start": rise / steps,
        "div_factor": 25.0,
        "final_div_factor": 1 / (25 * decay),
        "cycle_momentum": False,
    }


def _onecycle_curve(steps: int, decay: float, params: Params) -> Rates:
    top = round(_onecycle_args(steps, decay, params)["pct_start"] * steps) - 1
    rise, fall = np.arange(top) / top, np.arange(steps - top) / (steps - 1 - top)
    up, down = _cosine(rise), _cosine(fall)
    return np.concatenate([1 + (1 / 25 - 1) * up, decay + (1 - decay) * down])


def _plateau_args(steps: int, decay: float, params: Params) -> dict[str, Any]:
    """eps = 0: torch's default ignores reductions of a rate below 1e-8."""
    return {**params, "min_lr": decay, "eps": 0.0}


def _plateau_curve(steps: int, decay: float, params: Params) -> Rates:
    raise ScheduleError(
        "a plateau schedule has no rates of its own: they depend on the validation MSE"
    )


def _wsd_curve(steps: int, decay: float, params: Params) -> Rates:
    cooldown = max(1, round(params["cooldown"] * steps))
    x = np.maximum(np.arange(steps) - (steps - cooldown) + 1, 0) / cooldown
    curve: Rates = decay + (1 - decay) * (1 - np.sqrt(x))
    return curve


def _inverse_sqrt_curve(steps: int, decay: float, params: Params) -> Rates:
    """1 / sqrt(1 + z * (decay**-2 - 1)), written so that a small decay does not overflow."""
    curve: Rates = decay / np.hypot(decay, np.sqrt(_progress(steps) * (1 - decay**2)))
    return curve


def _rex_curve(steps: int, decay: float, params: Params) -> Rates:
    """The REX profile (Chen, Wolfe and Kyrillidis 2022, arXiv 2107.04197) down to a floor."""
    rest = 1 - _progress(steps)
    return decay + (1 - decay) * rest / (0.5 + 0.5 * rest)


def _formula(text: str) -> Callable[[int, float, Params], dict[str, Any]]:
    def args(steps: int, decay: float, params: Params) -> dict[str, Any]:
        return {"lr_lambda": text, "steps": steps, "decay": decay, **params}

    return args


_CYCLE_MODES = ("triangular", "triangular2")
_DROPS = ShapeParam("drops", "int", 3, 1, 5, help="how often the rate drops")
_SHAPES = (
    Shape(
        "constant",
        "ConstantLR",
        "the peak rate throughout: the baseline",
        curve=lambda n, d, p: np.ones(n),
        args=lambda n, d, p: {"factor": 1.0},
        uses_decay=False,
        min_steps=1,
    ),
    Shape(
        "step",
        "StepLR",
        "equal drops at equal distances",
        (_DROPS,),
        curve=_step_curve,
        args=_step_args,
    ),
    Shape(
        "multistep",
        "MultiStepLR",
        "equal drops after 1/2, 3/4, 7/8 ... of the steps",
        (_DROPS,),
        curve=_multistep_curve,
        args=_multistep_args,
    ),
    Shape(
        "exponential",
        "ExponentialLR",
        "the same factor at every step",
        curve=lambda n, d, p: d ** _progress(n),
        args=lambda n, d, p: {"gamma": d ** (1 / (n - 1))},
    ),
    Shape(
        "linear",
        "LinearLR",
        "a straight line down",
        curve=lambda n, d, p: 1 + (d - 1) * _progress(n),
        args=lambda n, d, p: {"start_factor": 1.0, "end_factor": d, "total_iters": n - 1},
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
        curve=lambda n, d, p: d + (1 - d) * (1 - _progress(n)) ** p["power"],
        args=_formula("decay + (1 - decay) * (1 - t / (steps - 1)) ** power"),
    ),
    Shape(
        "cosine",
        "CosineAnnealingLR",
        "half a cosine wave down",
        curve=lambda n, d, p: d + (1 - d) * _cosine(_progress(n)),
        args=lambda n, d, p: {"T_max": n - 1, "eta_min": d},
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
    ),
    Shape(
        "inverse_sqrt",
        "LambdaLR",
        "one over the square root of the steps taken",
        curve=_inverse_sqrt_curve,
        args=_formula("1 / sqrt(1 + t / (steps - 1) * (decay**-2 - 1))"),
    ),
    Shape(
        "rex",
        "LambdaLR",
        "reflected exponential: slow first, steep at the end",
        curve=_rex_curve,
        args=_formula("decay + (1 - decay) * (1 - z) / (0.5 + 0.5 * (1 - z)), z = t / (steps - 1)"),
    ),
)

SHAPES: Mapping[str, Shape] = MappingProxyType({shape.name: shape for shape in _SHAPES})
"""Every built-in shape by its name."""
