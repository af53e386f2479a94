"""A schedule that follows the metric, beside frameworks that have a way of their own with it."""

from __future__ import annotations

from typing import Any

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


def stepped_by_framework(scheduler: LRScheduler) -> LRScheduler:
    """A scheduler that a framework steps after every optimizer step, and does nothing else with.

    Frameworks step a ReduceLROnPlateau once an epoch, with a metric that they choose. The trial
    tells it its own metric, and its warm-up is counted in steps.
    """
    return _Stepped(scheduler) if isinstance(scheduler, ReduceLROnPlateau) else scheduler


class _Stepped(LRScheduler):
    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.optimizer = scheduler.optimizer

    def step(self, epoch: int | None = None) -> None:
        self.scheduler.step()

    def get_last_lr(self) -> list[Any]:
        return list(self.scheduler.get_last_lr())

    def state_dict(self) -> dict[str, Any]:
        return dict(self.scheduler.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state_dict)
