"""A learning-rate schedule as one value: its rates, its torch scheduler, JSON and code.

torch is imported only where a schedule meets an optimizer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.base.errors import ScheduleError, did_you_mean
from sweep.base.languages.sentences import _
from sweep.base.user_code import load_object
from sweep.schedules.other_names import setting_here
from sweep.schedules.shape import Rates, Shape, ShapeParam, Value, as_number, invalid, is_within
from sweep.schedules.shapes import SHAPES

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
from sweep.schedules.checks import (
    check_last_epoch,
    check_name,
    check_params,
    horizon_from,
    whole,
)

__all__ = ["SHAPES", "Schedule", "Shape", "ShapeParam"]
_BY_NAME: Any = None  # lets the default decay depend on the shape's name
_RATES = frozenset({"eta_min", "base_lr", "max_lr", "min_lr"})  # torch arguments that are rates


@dataclass(frozen=True)
class Schedule:
    """The course of the learning rate over training, relative to any horizon.

    Warm-up takes W = min(round(warmup * horizon), horizon - 1) steps; step t of them has the rate
    (t + 1) / (W + 1) times the first rate of the shape, which takes the remaining steps. The last
    of these has the rate `lr * decay`.

    Attributes:
        scheduler: A name in `SHAPES`, or any other identifier for a custom schedule.
        lr: The peak rate, positive and finite.
        decay: Final rate / peak rate, in (0, 1]; 1 for `constant`, 0.01 by default for others.
        warmup: Share of the horizon spent in linear warm-up, in [0, 1); 0 for `onecycle`.
        params: The shape's own parameters; those not given have their default.
        factory: `module:function` of a custom schedule: `function(optimizer, total_steps, *,
            decay, **params)` returns a torch scheduler over the steps after warm-up; the
            optimizer's rate is then at its peak.

    Raises:
        ScheduleError: A name is unknown or a number is out of its range.
    """

    scheduler: str
    lr: float
    decay: float = _BY_NAME
    warmup: float = 0.0
    params: Mapping[str, Value] = field(default_factory=dict, hash=False)
    factory: str | None = None

    def __post_init__(self) -> None:
        check_name(self.scheduler, self.factory)
        checked: dict[str, Any] = {
            "lr": as_number("lr", self.lr),
            "decay": as_number(
                "decay", self._default_decay() if self.decay is None else self.decay
            ),
            "warmup": as_number("warmup", self.warmup),
            "params": MappingProxyType(check_params(self.scheduler, self.params, self.shape)),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        self._check_ranges()

    def __reduce__(self) -> tuple[Any, ...]:
        return Schedule.from_dict, (self.to_dict(),)

    @property
    def shape(self) -> Shape | None:
        """The registry's entry, or None for a custom schedule."""
        return SHAPES.get(self.scheduler)

    def rates(self, total_steps: int) -> Rates:
        """The learning rate that each optimizer step is taken with.

        Args:
            total_steps: The horizon in optimizer steps, at least 1.

        Returns:
            Rates, shape (total_steps,), float64.

        Raises:
            ScheduleError: The horizon is too short, the schedule is `plateau`, whose rates depend
                on the validation MSE, or a custom factory fails.
        """
        warmup_steps, steps = self._split(total_steps)
        if self.shape is None:
            return self._simulated_rates(warmup_steps + steps)
        curve = self._curve(self.shape, steps)
        ramp = curve[0] * np.arange(1, warmup_steps + 1) / (warmup_steps + 1)
        return self.lr * np.concatenate([ramp, curve])

    def attach(
        self,
        optimizer: Optimizer,
        *,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        epochs: int | None = None,
        last_epoch: int = -1,
        scale: float = 1.0,
    ) -> LRScheduler:
        """The torch scheduler of this schedule on an optimizer, warm-up included.

        Call `scheduler.step()` after every `optimizer.step()`. For `plateau`, call in addition
        `scheduler.step(validation_mse)` once an epoch; it is ignored while warm-up lasts. To
        resume, attach to the new optimizer first, then load the optimizer's state and the
        scheduler's; a state that was saved for another schedule or horizon is refused.

        Args:
            optimizer: Its first parameter group gets the peak rate; the others keep their ratio
                to the first. Each is multiplied by its `lr_scale`, where timm has left one.
            total_steps: The horizon in optimizer steps; or give the next two instead.
            steps_per_epoch: Optimizer steps in an epoch.
            epochs: Number of epochs.
            last_epoch: The index of the last step that was taken before, as torch's schedulers
                have it: -1 at the beginning.
            scale: The peak rate of this optimizer / that of the schedule, where several have one.

        Raises:
            ScheduleError: The horizon is missing, given twice or too short, the ratio of the
                groups' rates is undefined, or a custom factory fails.
        """
        from torch.optim import Optimizer

        from sweep.schedules.attached import begun, innermost, knowing

        if not isinstance(optimizer, Optimizer):
            optimizer = innermost(optimizer)
        horizon = horizon_from(total_steps, steps_per_epoch, epochs)
        if not is_within(as_number("scale", scale), "(0, inf)"):
            raise invalid("scale", "positive and finite", scale)
        steps = check_last_epoch(last_epoch) + 1
        scheduler = knowing(self._attach(optimizer, horizon, scale), self.describe(), horizon)
        return begun(scheduler, steps)

    def _attach(self, optimizer: Optimizer, total_steps: int, scale: float = 1.0) -> LRScheduler:
        """A fresh torch scheduler."""
        from torch.optim import lr_scheduler

        from sweep.schedules.warmup import WarmupLR, WarmupPlateauLR, after_warmup, set_peaks

        warmup_steps, steps = self._split(total_steps)
        try:
            peaks = set_peaks(optimizer, self.lr * scale)
        except ZeroDivisionError:
            raise ScheduleError(
                "the optimizer's parameter groups must keep their ratio to the first, but the "
                "first has lr=0; give it a positive lr"
            ) from None
        if self.shape is None:
            custom = self._custom(optimizer, steps)
            return WarmupLR(optimizer, custom, warmup_steps) if warmup_steps else custom
        name, args, hold_steps = self._torch_form(steps)
        if self.shape.per_epoch:
            return WarmupPlateauLR(optimizer, warmup_steps, **_scaled(args, peaks))
        curve = self._curve(self.shape, steps).tolist()
        # torch has one eta_min for all groups, so groups of different rates need the formula
        if name == "LambdaLR" or ("eta_min" in args and len(set(peaks)) > 1):
            main: LRScheduler = lr_scheduler.LambdaLR(optimizer, lambda t: curve[min(t, steps - 1)])
            hold_steps = 0
        else:
            main = getattr(lr_scheduler, name)(optimizer, **_scaled(args, peaks))
        return after_warmup(optimizer, main, peaks, warmup_steps, curve[0], hold_steps)

    def torch_spec(self, total_steps: int) -> dict[str, Any]:
        """What `attach` builds for an optimizer with one rate, as JSON-able values.

        Args:
            total_steps: The horizon in optimizer steps, at least 1.

        Returns:
            `class`, `args`, `warmup_steps`, and `hold_steps` at the peak rate between warm-up
            and shape. A LambdaLR's args hold its formula, relative to the peak, and the formula's
            numbers. A custom schedule's class is its factory.
        """
        warmup_steps, steps = self._split(total_steps)
        name, args, hold_steps = self._torch_form(steps)
        return {
            "class": name,
            "args": _scaled(args, [self.lr]),
            "warmup_steps": warmup_steps,
            "hold_steps": hold_steps,
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields, from which `from_dict` makes an equal schedule."""
        fields: dict[str, Any] = {
            "scheduler": self.scheduler,
            "lr": self.lr,
            "decay": self.decay,
            "warmup": self.warmup,
            "params": dict(self.params),
        }
        return fields | ({"factory": self.factory} if self.factory else {})

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Schedule:
        """The schedule of the fields that `to_dict` gives; those with a default may be left out.

        Raises:
            ScheduleError: A field is unknown, missing or not valid.
        """
        for key in fields:
            if key not in cls.__dataclass_fields__:
                near = setting_here(key) or did_you_mean(key, cls.__dataclass_fields__)
                raise ScheduleError(f"a schedule has no field {key!r}{near}")
        for key in ("scheduler", "lr"):
            if key not in fields:
                raise ScheduleError(f"a schedule needs the field {key!r}")
        return cls(**fields)

    def to_json(self) -> str:
        """The schedule as a JSON object."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """The schedule in a JSON object, or under its key `schedule` beside any others.

        Raises:
            ScheduleError: The text is not JSON or holds no valid schedule.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as broken:
            raise ScheduleError(
                f"expected a schedule as JSON, but it is broken: {broken}"
            ) from None
        if isinstance(fields, dict) and "schedule" in fields:
            fields = fields["schedule"]
        if not isinstance(fields, dict):
            kind = type(fields).__name__
            raise ScheduleError(f"expected a schedule as a JSON object, but got a {kind}")
        return cls.from_dict(fields)

    @classmethod
    def load(cls, path: str | Path, *, trust: bool = False) -> Schedule:
        """The schedule in a JSON file.

        Args:
            path: The file: `best_schedule.json`.
            trust: Whether a factory that the file names may be imported, which runs its module.

        Raises:
            ScheduleError: The file cannot be read or holds no valid schedule, or it names a
                factory and is not trusted.
        """
        try:
            loaded = cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as unreadable:
            raise ScheduleError(f"{path}: cannot be read: {unreadable}") from unreadable
        except ScheduleError as error:
            raise ScheduleError(f"{path}: {error}") from error
        if loaded.factory and not trust:
            raise ScheduleError(
                f"{path}: names the factory {loaded.factory!r}, whose module would be run; "
                "if it is yours, say so: Schedule.load(..., trust=True)"
            )
        return loaded

    def to_code(self) -> str:
        """Python source that needs only torch, to paste into a training script.

        It defines `build_scheduler(optimizer, total_steps)`, which returns what
        `attach` returns. A custom schedule's source imports its factory.
        """
        from sweep.schedules.code import schedule_source

        return schedule_source(self.to_dict(), self.describe())

    def describe(self) -> str:
        """One line for people: `cosine, lr 0.12, decay 0.003, warm-up 5 %`."""
        parts = [self.scheduler, f"lr {self.lr:.4g}"]
        if self.shape is None or self.shape.uses_decay:
            parts.append(f"decay {self.decay:.4g}")
        if self.warmup:
            parts.append(_("warm-up {share}", share=f"{100 * self.warmup:.3g} %"))
        for name, value in self.params.items():
            parts.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
        return ", ".join(parts)

    def _default_decay(self) -> float:
        return 0.01 if self.shape is None or self.shape.uses_decay else 1.0

    def _check_ranges(self) -> None:
        if not is_within(self.lr, "(0, inf)"):
            raise invalid("lr", "positive and finite", self.lr)
        if not is_within(self.decay, "(0, 1]"):
            raise invalid("decay", "in (0, 1]", self.decay)
        if not is_within(self.warmup, "[0, 1)"):
            share = "; it is a share of all steps: 100 of 2000 are 0.05" if self.warmup > 1 else ""
            raise invalid("warmup", "in [0, 1)", self.warmup, share)
        if self.shape and not self.shape.uses_decay and self.decay != 1:
            raise invalid("decay", f"1 for {self.scheduler}", self.decay)
        if self.shape and not self.shape.uses_warmup and self.warmup != 0:
            rule = f"0 for {self.scheduler}, which brings its own"
            raise invalid("warmup", rule, self.warmup)

    def _split(self, total_steps: int) -> tuple[int, int]:
        """Steps of the warm-up, and of the shape after it."""
        total = whole("total_steps", total_steps)
        warmup_steps = min(round(self.warmup * total), total - 1)
        return warmup_steps, total - warmup_steps

    def _curve(self, shape: Shape, steps: int) -> Rates:
        """Rates after warm-up relative to the peak, shape (steps,)."""
        if steps >= shape.min_steps:
            return shape.curve(steps, self.decay, self.params)
        return np.append(np.ones(steps - 1), self.decay)

    def _torch_form(self, steps: int) -> tuple[str, dict[str, Any], int]:
        """Torch class, arguments with rates relative to the peak, and steps held before it."""
        numbers = {"decay": self.decay, **self.params}
        if self.shape is None:
            return str(self.factory), {"total_steps": steps, **numbers}, 0
        if steps < self.shape.min_steps:
            formula = "decay if t == steps - 1 else 1"
            return "LambdaLR", {"lr_lambda": formula, "steps": steps, "decay": self.decay}, 0
        args = self.shape.args(steps, self.decay, self.params)
        hold_steps = args.pop("hold_steps", 0)
        return self.shape.torch_class, args, hold_steps

    def _custom(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """What the factory returns."""
        from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

        factory = load_object(str(self.factory), error=ScheduleError)
        try:
            scheduler = factory(optimizer, steps, decay=self.decay, **self.params)
        except Exception as broken:
            kind = type(broken).__name__
            raise ScheduleError(f"{self.factory!r} failed: {kind}: {broken}") from broken
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ScheduleError(
                f"{self.factory!r} must return a scheduler that is stepped without a metric, but "
                "got a ReduceLROnPlateau; use the built-in 'plateau'"
            )
        if not isinstance(scheduler, LRScheduler):
            raise ScheduleError(
                f"{self.factory!r} must return a torch LRScheduler, but got {scheduler!r}"
            )
        return scheduler

    def _simulated_rates(self, total_steps: int) -> Rates:
        import torch

        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=self.lr)
        scheduler = self._attach(optimizer, total_steps)
        rates = np.empty(total_steps)
        for step in range(total_steps):
            rates[step] = optimizer.param_groups[0]["lr"]
            optimizer.step()
            scheduler.step()
        return rates


def _scaled(args: Mapping[str, Any], peaks: list[float]) -> dict[str, Any]:
    """Arguments with rates in units of the optimizer: a number, or a list if the groups differ."""

    def scale(share: float) -> float | list[float]:
        rates = [peak * share for peak in peaks]
        return rates if len(set(rates)) > 1 else rates[0]

    return {key: scale(value) if key in _RATES else value for key, value in args.items()}
