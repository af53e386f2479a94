"""Accelerate: `attach(accelerator, optimizer, loader)`, after `prepare`."""

from __future__ import annotations

import math
from typing import Any

from accelerate import Accelerator
from accelerate.scheduler import AcceleratedScheduler

from sweep.training.own_command.current_trial import current_trial


def attach(
    accelerator: Accelerator, optimizer: Any, loader: Any, *, epochs: int | None = None
) -> AcceleratedScheduler:
    """The trial's schedule on an optimizer; call its `step()` after every `optimizer.step()`.

    It moves on with every update of the weights: not while gradients are accumulated, nor where
    mixed precision skips one, and once an update however many processes there are.
    `accelerator.save_state` keeps it.

    Args:
        accelerator: Which has prepared the next two.
        optimizer: To attach to.
        loader: The batches of an epoch, as this process sees them.
        epochs: Of the training; the trial's if left out.

    Raises:
        ScheduleError: As `Schedule.attach` does.
    """
    scheduler = AcceleratedScheduler(
        current_trial().attach(
            optimizer,
            steps_per_epoch=math.ceil(len(loader) / accelerator.gradient_accumulation_steps),
            epochs=epochs,
        ),
        optimizer,
        split_batches=True,  # it would step once for each process: the loader here is its share
    )
    accelerator.register_for_checkpointing(scheduler)
    return scheduler
