"""Torch's schedulers that know what they were attached for, and take no other's state."""

from __future__ import annotations

import functools
import warnings
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from sweep.base.errors import ScheduleError

_KEY = "attached_for"


def knowing(scheduler: LRScheduler, schedule: str, total_steps: int) -> LRScheduler:
    """The same scheduler, whose state says what it is for.

    Args:
        scheduler: Fresh; it is changed.
        schedule: In one line.
        total_steps: The horizon.
    """
    base: Any = type(scheduler)
    scheduler.__class__ = _class(base)
    vars(scheduler)[_KEY] = {"schedule": schedule, "total_steps": total_steps}
    return scheduler


def innermost(optimizer: Any) -> Any:
    """The optimizer that takes the steps: Accelerate and others hand over one that wraps it."""
    while not hasattr(optimizer, "_optimizer_step_pre_hooks") and hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer


def begun(scheduler: LRScheduler, steps: int) -> LRScheduler:
    """The same scheduler after some steps, which its optimizer need not have taken here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch wants an optimizer step before each
        for _ in range(steps):
            scheduler.step()
    return scheduler


@functools.cache
def _class(base: type[LRScheduler]) -> type[LRScheduler]:
    parent: Any = base

    class Attached(parent):  # type: ignore[misc]
        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), _KEY: dict(vars(self)[_KEY])}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            ours, theirs = vars(self)[_KEY], state_dict.get(_KEY)
            if theirs is not None and theirs != ours:
                raise ScheduleError(
                    f"the saved state is of {_told(theirs)}, but this scheduler was attached for "
                    f"{_told(ours)}; attach the schedule and the steps that it was saved with, or "
                    "start from the beginning"
                )
            super().load_state_dict({k: v for k, v in state_dict.items() if k != _KEY})

        def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
            inner = {k: v for k, v in vars(self).items() if k != _KEY}
            return _new, (base,), inner

    Attached.__name__, Attached.__qualname__ = base.__name__, base.__qualname__
    Attached.__module__ = base.__module__
    Attached.__doc__ = base.__doc__
    return Attached


def _new(base: type[LRScheduler]) -> LRScheduler:
    return base.__new__(base)


def _told(attached: dict[str, Any]) -> str:
    return f"{attached['total_steps']} steps of {attached['schedule']}"
