"""The formulas of schedules, relative to the peak rate: the one place where each stands.

Exported schedules contain the source of what they need from here. There, `cos`, `hypot`, `pi` and
`sqrt` are those of Python's math, and each `float` is one number; here it may be an array.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import pi
from typing import Any

import numpy as np

cos: Callable[[float], float] = np.cos
hypot: Callable[[float, float], float] = np.hypot
sqrt: Callable[[float], float] = np.sqrt


def polynomial(z: float, decay: float, power: float) -> float:
    """A power of the remaining share of the steps; `z` is the share that has passed."""
    rest: float = (1 - z) ** power
    return decay + (1 - decay) * rest


def cosine(z: float, decay: float) -> float:
    """Half a cosine wave down; `z` is the share of the steps that has passed."""
    return decay + (1 - decay) * ((1 + cos(pi * z)) / 2)


def one_minus_sqrt(z: float, decay: float) -> float:
    """One minus a square root; `z` is the share of the cool-down that has passed."""
    return decay + (1 - decay) * (1 - sqrt(z))


def inverse_sqrt(z: float, decay: float) -> float:
    """1 / sqrt(1 + z * (decay**-2 - 1)), written so that a small decay does not overflow."""
    return decay / hypot(decay, sqrt(z * (1 - decay**2)))


def rex(z: float, decay: float) -> float:
    """The REX profile (Chen, Wolfe and Kyrillidis 2022, arXiv 2107.04197) down to a floor."""
    rest = 1 - z
    return decay + (1 - decay) * rest / (0.5 + 0.5 * rest)


def cooldown_steps(steps: int, cooldown: float) -> int:
    """Steps of the cool-down at the end."""
    return max(1, round(cooldown * steps))


def step_args(steps: int, decay: float, drops: int) -> dict[str, Any]:
    """Drops at equal distances, as StepLR has them."""
    step_size = math.ceil(steps / (drops + 1))
    return {"step_size": step_size, "gamma": decay ** (1 / ((steps - 1) // step_size))}


def multistep_args(steps: int, decay: float, drops: int) -> dict[str, Any]:
    """Drops after 1/2, 3/4, 7/8 ... of the steps, as MultiStepLR has them."""
    shares = [1 - 0.5**drop for drop in range(1, drops + 1)]
    milestones = [min(max(round(steps * share), 1), steps - 1) for share in shares]
    return {"milestones": milestones, "gamma": decay ** (1 / drops)}


def restarts(steps: int, decay: float, cycles: int, t_mult: int) -> tuple[int, float, int]:
    """Cosine cycles that end exactly with the steps.

    torch's class restarts one step before it would reach eta_min, so eta_min is solved from the
    rate of the last cycle's last step.

    Returns:
        Steps of the first cycle, eta_min, and steps held at the peak before it.
    """
    cycles = min(cycles, steps if t_mult == 1 else steps.bit_length())
    while cycles > 1 and steps // sum(t_mult**cycle for cycle in range(cycles)) < 2:
        cycles -= 1
    units = sum(t_mult**cycle for cycle in range(cycles))
    first = steps // units
    last = first * t_mult ** (cycles - 1)
    share = (1 + math.cos(math.pi * (last - 1) / last)) / 2
    return first, (decay - share) / (1 - share), steps - first * units


def half_cycle(steps: int, cycles: int) -> float:
    """Steps on the way up, and on the way down, of each triangle."""
    return (steps - 1) / (2 * max(1, min(cycles, (steps - 1) // 2)))


def rise_steps(steps: int, pct_start: float) -> int:
    """Steps on the way up: two at least, since torch divides by zero when it takes one."""
    return min(max(round(pct_start * steps), 2), steps - 1)
