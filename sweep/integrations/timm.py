"""timm: `create_scheduler_v2` in the place of timm's own."""

from __future__ import annotations

from typing import Any

from timm import scheduler as timms
from torch.optim import Optimizer

from sweep.base.errors import InputError
from sweep.training.own_command.current_trial import current_trial


def create_scheduler_v2(optimizer: Optimizer, *args: Any, **kwargs: Any) -> tuple[Any, int]:
    """The trial's schedule, to be used as what timm's function of this name returns.

    Groups keep their `lr_scale`, of layer decay for instance. Outside of a sweep it is timm's own
    schedule, unless `sweep.current_trial` was given one.

    Args:
        optimizer: To attach to.
        args: As timm's.
        kwargs: As timm's, of which `updates_per_epoch` is needed.

    Returns:
        The scheduler and the epochs.

    Raises:
        InputError: `updates_per_epoch` or the epochs are missing.
    """
    trial = current_trial()
    if not trial.has_schedule:
        return timms.create_scheduler_v2(optimizer, *args, **kwargs)  # type: ignore[no-any-return]
    updates, epochs = kwargs.get("updates_per_epoch"), trial.epochs or kwargs.get("num_epochs")
    if not updates or not epochs:
        raise InputError(
            "create_scheduler_v2 needs the optimizer steps of a training: num_epochs=..., "
            "updates_per_epoch=len(loader)"
        )
    return SweepScheduler(optimizer, epochs * updates), epochs


class SweepScheduler:
    """The trial's schedule with the methods of a timm scheduler.

    Args:
        optimizer: To attach to.
        total_steps: The horizon in optimizer steps.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int) -> None:
        self._scheduler = current_trial().attach(optimizer, total_steps=total_steps)
        self._updates = 0

    def step_update(self, num_updates: int, metric: float | None = None) -> None:
        """Move on to the rate after so many optimizer steps."""
        while self._updates < num_updates:
            self._scheduler.step()
            self._updates += 1

    def step(self, epoch: int, metric: float | None = None) -> None:
        """Nothing: the rate follows the steps, and `trial.report` tells the metric."""

    def state_dict(self) -> dict[str, Any]:
        """The state, to go on from."""
        return {"updates": self._updates, "scheduler": self._scheduler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state; load the optimizer's, too."""
        self._updates = state_dict["updates"]
        self._scheduler.load_state_dict(state_dict["scheduler"])
