"""Whether a schedule can be followed: its torch scheduler, stepped on a real optimizer."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sweep.base.errors import ScheduleError
from sweep.schedules.checks import impossible_step
from sweep.schedules.schedule import Schedule
from sweep.schedules.shape import Rates

_MOST_STEPS = 5000
"""That a built-in schedule is stepped; the formula gives the rest of its rates."""


def step_through(schedule: Schedule, steps_per_epoch: int, epochs: int) -> Rates:
    """Attach a schedule to an optimizer and step it, as a training loop would.

    Args:
        schedule: Any.
        steps_per_epoch: Optimizer steps in an epoch.
        epochs: Of a trial.

    Returns:
        The rate of each step: of all for a custom schedule, else of the first 5,000.

    Raises:
        ScheduleError: It cannot be attached or stepped, a rate is not finite or negative, or
            torch's scheduler gives other rates than the schedule's formula.
    """
    total = steps_per_epoch * epochs
    steps = total if schedule.shape is None else min(total, _MOST_STEPS)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=schedule.lr, momentum=0.9)
    rates = np.empty(steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = schedule.attach(optimizer, total_steps=total)
        for step in range(steps):
            rates[step] = optimizer.param_groups[0]["lr"]
            optimizer.step()
            try:
                scheduler.step()
                if isinstance(scheduler, ReduceLROnPlateau) and (step + 1) % steps_per_epoch == 0:
                    scheduler.step(1.0)
            except Exception as error:
                kind = type(error).__name__
                raise ScheduleError(
                    f"its scheduler failed at step {step + 1} of {total}: {kind}: {error}"
                ) from error
    wrong = impossible_step(rates)
    if wrong is not None:
        raise ScheduleError(
            f"gives the rate {rates[wrong]:g} at step {wrong}; expected a finite rate of at least 0"
        )
    if schedule.shape is not None and not schedule.shape.per_epoch:
        expected = schedule.rates(total)[:steps]
        off = np.flatnonzero(~np.isclose(rates, expected, rtol=1e-4, atol=1e-8 * schedule.lr))
        if len(off):
            raise ScheduleError(
                f"torch's scheduler gives the rate {rates[off[0]]:g} at step {off[0]}, the formula "
                f"{expected[off[0]]:g}; is this version of torch ({torch.__version__}) supported?"
            )
    return rates
