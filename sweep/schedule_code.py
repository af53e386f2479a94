"""The torch side of a schedule, and the source of a schedule that can be pasted elsewhere.

The functions and classes here need only torch: `Schedule.attach` calls them, and a pasted
schedule holds their source, so that both do the same.
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler


def set_rates(optimizer: Optimizer, rates: list[float]) -> None:
    """Give each parameter group its learning rate."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def set_peaks(optimizer: Optimizer, peak: float) -> list[float]:
    """Set and return the groups' peak rates: each keeps its ratio to the first group."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    peaks = [peak if rate == rates[0] else peak * (rate / rates[0]) for rate in rates]
    set_rates(optimizer, peaks)
    for group in optimizer.param_groups:
        group.pop("initial_lr", None)  # torch would keep what another schedule left here
    return peaks


def after_warmup(
    optimizer: Optimizer,
    main: lr_scheduler.LRScheduler,
    peaks: list[float],
    warmup_steps: int,
    start: float = 1.0,
    hold_steps: int = 0,
) -> lr_scheduler.LRScheduler:
    """`main` after a linear warm-up to `start` times the peak rate and some steps at it."""
    if warmup_steps + hold_steps == 0:
        return main
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["initial_lr"] = peak  # CyclicLR leaves its lowest rate here
    ramp = lr_scheduler.LinearLR(optimizer, start / (warmup_steps + 1), start, warmup_steps)
    return lr_scheduler.SequentialLR(optimizer, [ramp, main], [warmup_steps + hold_steps])


class WarmupLR(lr_scheduler.LRScheduler):
    """Linear warm-up to the first rates of any other scheduler, which then takes over."""

    def __init__(
        self, optimizer: Optimizer, scheduler: lr_scheduler.LRScheduler, warmup_steps: int
    ) -> None:
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.warmup_steps = warmup_steps
        self.last_epoch = 0
        self.starts = [float(group["lr"]) for group in optimizer.param_groups]
        self._set_ramp()

    def _set_ramp(self) -> None:
        share = (self.last_epoch + 1) / (self.warmup_steps + 1)
        set_rates(self.optimizer, [start * share for start in self.starts])

    def step(self, epoch: int | None = None) -> None:
        """Call after every optimizer step."""
        self.last_epoch += 1
        if self.last_epoch <= self.warmup_steps:
            self._set_ramp()
        else:
            self.scheduler.step()

    def get_last_lr(self) -> list[float | torch.Tensor]:
        """The rate of each parameter group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The state, that of the other scheduler included."""
        return {"last_epoch": self.last_epoch, "scheduler": self.scheduler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state; load the optimizer's too."""
        self.last_epoch = state_dict["last_epoch"]
        self.scheduler.load_state_dict(state_dict["scheduler"])


class WarmupPlateauLR(lr_scheduler.ReduceLROnPlateau):
    """Linear warm-up counted in optimizer steps, then ReduceLROnPlateau counted in epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        factor: float,
        patience: int,
        min_lr: float | list[float],
        eps: float = 0.0,
    ) -> None:
        super().__init__(optimizer, "min", factor, patience, min_lr=min_lr, eps=eps)
        self.warmup_steps = warmup_steps
        self.steps_taken = 0
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._set_ramp()

    def _set_ramp(self) -> None:
        share = (self.steps_taken + 1) / (self.warmup_steps + 1)
        set_rates(self.optimizer, [peak * share for peak in self.peaks])
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def step(self, metrics: float | None = None, epoch: int | None = None) -> None:  # type: ignore[override]
        """Call after every optimizer step; and with the validation error once an epoch."""
        warm = self.steps_taken >= self.warmup_steps
        if metrics is not None and warm:
            super().step(metrics)
        elif metrics is None and not warm:
            self.steps_taken += 1
            self._set_ramp()


_SINGLE = """\
if steps == 1:  # the only step is the last one
    main = lr_scheduler.LambdaLR(optimizer, lambda t: DECAY)
else:
"""

_FACTOR = "main = lr_scheduler.LambdaLR(optimizer, factor)\n"

_PROGRESS = """\

def factor(t: int) -> float:
    z = min(t / (steps - 1), 1.0) if steps > 1 else 1.0
    return {}

"""

# Lines that set `main` from optimizer, peaks and steps; plateau and custom end differently.
_MAIN = {
    "constant": "main = lr_scheduler.ConstantLR(optimizer, factor=1.0)\n",
    "step": _SINGLE
    + """\
    step_size = math.ceil(steps / (DROPS + 1))
    drops = (steps - 1) // step_size
    main = lr_scheduler.StepLR(optimizer, step_size, gamma=DECAY ** (1 / drops))
""",
    "multistep": _SINGLE
    + """\
    shares = [1 - 0.5**drop for drop in range(1, DROPS + 1)]
    milestones = [min(max(round(steps * share), 1), steps - 1) for share in shares]
    main = lr_scheduler.MultiStepLR(optimizer, milestones, gamma=DECAY ** (1 / DROPS))
""",
    "exponential": _SINGLE
    + """\
    main = lr_scheduler.ExponentialLR(optimizer, gamma=DECAY ** (1 / (steps - 1)))
""",
    "linear": _SINGLE
    + """\
    main = lr_scheduler.LinearLR(optimizer, 1.0, DECAY, total_iters=steps - 1)
""",
    "polynomial": _PROGRESS.format("DECAY + (1 - DECAY) * (1 - z) ** POWER") + _FACTOR,
    "cosine": _PROGRESS.format("DECAY + (1 - DECAY) * (1 + math.cos(math.pi * z)) / 2")
    + """\
if steps == 1 or len(set(peaks)) > 1:  # torch's eta_min is the same for all groups
    main = lr_scheduler.LambdaLR(optimizer, factor)
else:
    main = lr_scheduler.CosineAnnealingLR(optimizer, steps - 1, eta_min=LR * DECAY)
""",
    "cosine_restarts": """\
cycles = min(CYCLES, steps)
while cycles > 1 and steps // sum(T_MULT**cycle for cycle in range(cycles)) < 2:
    cycles -= 1
units = sum(T_MULT**cycle for cycle in range(cycles))
first = steps // units
last = first * T_MULT ** (cycles - 1)
hold_steps = steps - first * units
# torch restarts a step before it reaches eta_min, so the last rate is solved for it
share = (1 + math.cos(math.pi * (last - 1) / last)) / 2
floor = (DECAY - share) / (1 - share) if steps > 1 else DECAY

def factor(t: int) -> float:
    length = first
    while t >= length:
        t, length = t - length, length * T_MULT
    return floor + (1 - floor) * (1 + math.cos(math.pi * t / length)) / 2

if steps == 1:
    main = lr_scheduler.LambdaLR(optimizer, lambda t: DECAY)
elif len(set(peaks)) > 1:  # torch's eta_min is the same for all groups
    main = lr_scheduler.LambdaLR(optimizer, factor)
else:
    main = lr_scheduler.CosineAnnealingWarmRestarts(
        optimizer, first, T_MULT, eta_min=LR * floor
    )
""",
    "cyclic": _SINGLE
    + """\
    cycles = max(1, min(CYCLES, (steps - 1) // 2))
    main = lr_scheduler.CyclicLR(
        optimizer,
        base_lr=[peak * DECAY for peak in peaks],
        max_lr=peaks,
        step_size_up=(steps - 1) / (2 * cycles),
        mode=MODE,
        cycle_momentum=False,
    )
""",
    "onecycle": """\
if steps < 3:  # too short for a rise and a fall
    main = lr_scheduler.LambdaLR(optimizer, lambda t: DECAY if t >= steps - 1 else 1.0)
else:
    rise = min(max(round(PCT_START * steps), 2), steps - 1)
    main = lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=peaks,
        total_steps=steps,
        pct_start=rise / steps,
        div_factor=25.0,
        final_div_factor=1 / (25 * DECAY),
        cycle_momentum=False,
    )
""",
    "wsd": """\
cooldown = max(1, round(COOLDOWN * steps))

def factor(t: int) -> float:
    x = min(max(t - (steps - cooldown) + 1, 0) / cooldown, 1.0)
    return DECAY + (1 - DECAY) * (1 - math.sqrt(x))

"""
    + _FACTOR,
    "inverse_sqrt": _PROGRESS.format("DECAY / math.hypot(DECAY, math.sqrt(z * (1 - DECAY**2)))")
    + _FACTOR,
    "rex": _PROGRESS.format("DECAY + (1 - DECAY) * (1 - z) / (0.5 + 0.5 * (1 - z))") + _FACTOR,
    "plateau": "floors = [peak * DECAY for peak in peaks]\n",
    "custom": "main = factory(optimizer, steps, decay=DECAY, **PARAMS)\n",
}

_START = "DECAY if steps == 1 else 1.0"
_STARTS = {"constant": "1.0", "cyclic": "DECAY", "wsd": "factor(0)"}

_CONSTANTS = {
    "lr": "peak rate of the first parameter group",
    "decay": "final rate / peak rate",
    "warmup": "share of the steps spent in linear warm-up",
}

_SOURCE = '''\
"""Learning-rate schedule: {description}.

Use it in a training loop:

    scheduler = build_scheduler(optimizer, total_steps=epochs * len(loader))
    for epoch in range(epochs):
        for inputs, targets in loader:
            ...
            optimizer.step()
            scheduler.step()  # after every optimizer step
{metric}"""

{imports}

{constants}


{helpers}


def build_scheduler(optimizer: Optimizer, total_steps: int) -> lr_scheduler.LRScheduler:
    """The schedule over `total_steps` optimizer steps; the optimizer's own rate is replaced."""
{body}'''

_METRIC = "        scheduler.step(validation_error)  # and once an epoch; ignored during warm-up\n"


def schedule_source(fields: Mapping[str, Any], description: str) -> str:
    """Python source that defines `build_scheduler(optimizer, total_steps)` for one schedule.

    Args:
        fields: The schedule's fields as in its JSON form.
        description: The schedule in one line.

    Returns:
        Source that needs nothing but torch and, for a custom schedule, the module of its factory.
    """
    kind = "custom" if "factory" in fields else fields["scheduler"]
    constants = _constants(fields, kind)
    body = _body(kind, "WARMUP" in constants)
    helpers: list[Callable[..., Any]] = [set_rates, set_peaks]
    helpers += [part for part in (after_warmup, WarmupLR, WarmupPlateauLR) if part.__name__ in body]
    sources = "\n\n".join(inspect.getsource(part) for part in helpers).rstrip()
    return _SOURCE.format(
        description=description.replace("\\", "/").replace('"', "'"),
        metric=_METRIC if kind == "plateau" else "",
        imports=_imports(sources + body, fields.get("factory")),
        constants="\n".join(constants.values()),
        helpers=sources,
        body=textwrap.indent(body, "    "),
    )


def _constants(fields: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Lines that set the schedule's numbers, by their name in capitals."""
    values = {name: fields[name] for name in _CONSTANTS}
    if kind == "constant":
        del values["decay"]
    if not fields["warmup"]:
        del values["warmup"]
    values |= {"params": fields["params"]} if kind == "custom" else fields["params"]
    notes = {name: f"  # {note}" for name, note in _CONSTANTS.items()}
    return {
        name.upper(): f"{name.upper()} = {_literal(value)}{notes.get(name, '')}"
        for name, value in values.items()
    }


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}": {_literal(item)}' for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _body(kind: str, warm: bool) -> str:
    """The lines of `build_scheduler`."""
    main, ending = _MAIN[kind], _ending(kind, warm)
    assign = "peaks = " if "peaks" in main + ending else ""
    split = "steps = total_steps\n"
    if warm:
        split = (
            "warmup_steps = min(round(WARMUP * total_steps), total_steps - 1)\n"
            "steps = total_steps - warmup_steps\n"
        )
    if "steps" not in main:
        split = split.rpartition("steps = ")[0]
    return f"{assign}set_peaks(optimizer, LR)\n{split}{main}{ending}"


def _ending(kind: str, warm: bool) -> str:
    """The lines that return the schedule."""
    warmup_steps = "warmup_steps" if warm else "0"
    if kind == "plateau":
        return f"return WarmupPlateauLR(optimizer, {warmup_steps}, FACTOR, PATIENCE, floors)\n"
    if kind == "custom" and warm:
        return "return WarmupLR(optimizer, main, warmup_steps) if warmup_steps else main\n"
    if not warm and kind != "cosine_restarts":
        return "return main\n"
    hold_steps = ", hold_steps" if kind == "cosine_restarts" else ""
    return (
        f"start = {_STARTS.get(kind, _START)}  # the first rate / peak rate\n"
        f"return after_warmup(optimizer, main, peaks, {warmup_steps}, start{hold_steps})\n"
    )


def _imports(code: str, factory: str | None) -> str:
    lines = ["import math"] if "math." in code else []
    lines += ["from typing import Any"] if "Any]" in code else []
    lines += [""] if lines else []
    lines += ["import torch", "from torch.optim import Optimizer, lr_scheduler"]
    if factory:
        module, _, function = factory.rpartition(":")
        name = Path(module).stem if module.endswith(".py") else module
        lines += ["", f"from {name} import {function} as factory"]
    return "\n".join(lines)
