"""Schedules of every form, the user's own included, and the rates that they give."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer, lr_scheduler

from sweep.schedules.schedule import SHAPES, Schedule

HORIZONS = (1, 2, 3, 5, 49, 50, 1000)

CORNERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "step": {"drops": (1, 5)},
    "multistep": {"drops": (1, 5)},
    "polynomial": {"power": (0.5, 4.0)},
    "cosine_restarts": {"cycles": (1, 5), "t_mult": (1, 2)},
    "cyclic": {"cycles": (1, 5), "mode": ("triangular", "triangular2")},
    "onecycle": {"pct_start": (0.01, 0.3, 0.99)},
    "plateau": {"factor": (0.1, 0.7), "patience": (1, 10)},
    "wsd": {"cooldown": (0.1, 1.0)},
}

CUSTOM = "schedule_forms:halving"

NAMES = [*SHAPES, "custom"]

CURVES = [name for name in NAMES if name != "plateau"]


def halving(
    optimizer: Optimizer, total_steps: int, *, decay: float, every: int = 2
) -> lr_scheduler.LRScheduler:
    """A user's own schedule."""
    return lr_scheduler.LambdaLR(optimizer, lambda t: max(0.5 ** (t // every), decay))


def own_onecycle(
    optimizer: Optimizer, total_steps: int, *, decay: float
) -> lr_scheduler.LRScheduler:
    """One that changes initial_lr, as OneCycleLR does."""
    peaks = [group["lr"] for group in optimizer.param_groups]
    return lr_scheduler.OneCycleLR(optimizer, peaks, total_steps, cycle_momentum=False)


def not_a_scheduler(optimizer: Optimizer, total_steps: int, *, decay: float) -> str:
    return "cosine"


def own_plateau(
    optimizer: Optimizer, total_steps: int, *, decay: float
) -> lr_scheduler.LRScheduler:
    return lr_scheduler.ReduceLROnPlateau(optimizer)


def broken(optimizer: Optimizer, total_steps: int, *, decay: float) -> None:
    raise RuntimeError("no idea")


def make(name: str, **fields: Any) -> Schedule:
    """A schedule of any name, custom included, without fields that do not apply to it."""
    shape = SHAPES.get(name)
    if shape is None:
        return Schedule("mine", factory=CUSTOM, **fields)
    if not shape.uses_decay:
        fields.pop("decay", None)
    if not shape.uses_warmup:
        fields.pop("warmup", None)
    return Schedule(name, **fields)


def make_optimizer(*rates: float) -> Optimizer:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": r} for r in rates or (1e-3,)]
    return torch.optim.SGD(groups)


def recorded(
    optimizer: Optimizer, scheduler: lr_scheduler.LRScheduler, steps: int
) -> list[list[float]]:
    """The groups' rates that each step is taken with, shape (steps, groups)."""
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates


def attached_rates(schedule: Schedule, steps: int, *group_rates: float) -> np.ndarray:
    optimizer = make_optimizer(*group_rates)
    return np.array(recorded(optimizer, schedule.attach(optimizer, total_steps=steps), steps))


def pasted_rates(code: str, steps: int, *group_rates: float) -> np.ndarray:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    optimizer = make_optimizer(*group_rates)
    return np.array(recorded(optimizer, namespace["build_scheduler"](optimizer, steps), steps))


def corners(name: str) -> list[Mapping[str, Any]]:
    own = CORNERS.get(name, {})
    return [dict(zip(own, values, strict=True)) for values in itertools.product(*own.values())]
