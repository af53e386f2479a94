"""Warm-up before any of torch's schedulers, and the peak rates of parameter groups.

Exported schedules contain the source of what they need from here, so it imports torch alone.
"""

from __future__ import annotations

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
    """Set and return the groups' peak rates: each keeps its ratio to the first group.

    A group's `lr_scale`, which timm's layer decay leaves to schedulers, is a factor beside that,
    unless the rates have it already.
    """
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    ratios = [1.0 if rate == rates[0] else rate / rates[0] for rate in rates]
    scales = [float(group.get("lr_scale", 1.0)) for group in optimizer.param_groups]
    pairs = list(zip(ratios, scales, strict=True))
    if all(abs(ratio * scales[0] - scale) <= 1e-6 * scale for ratio, scale in pairs):
        ratios = [1.0] * len(rates)
    peaks = [peak * ratio * scale for ratio, scale in zip(ratios, scales, strict=True)]
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

    def _is_better(self, a: float, best: float) -> bool:
        """As torch has it for positive numbers; for others, its margin has the wrong sign."""
        margin = 0.0 if abs(best) == float("inf") else self.threshold * abs(best)
        return a < best - margin if self.mode == "min" else a > best + margin

    is_better = _is_better  # its name in earlier versions of torch
