"""How a schedule goes with a training loop of the user's own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from sweep.base.errors import ScheduleError
from sweep.schedules.schedule import Schedule
from sweep.study.metric import Metric


class Course:
    """The learning rate of a trial in a loop of the user's own, as its optimizer's steps see it.

    Attributes:
        total_steps: What the first `attach` was told; None before it.
        steps: Optimizer steps taken.
    """

    def __init__(self, epochs: int, horizon: int | None, metric: Metric) -> None:
        self.epochs = epochs
        self.horizon = horizon
        self.total_steps: int | None = None
        self.steps = 0
        self._metric = metric
        self._optimizer: Optimizer | None = None
        self._schedulers: list[LRScheduler] = []
        self._first: float | None = None
        self._last = math.nan
        self._due: float | None = None

    def attached(self, optimizer: Optimizer, scheduler: LRScheduler, total_steps: int) -> None:
        """Watch the first optimizer that the schedule is attached to."""
        self._schedulers.append(scheduler)
        if isinstance(scheduler, ReduceLROnPlateau) and self._metric.maximize:
            scheduler.load_state_dict({"mode": "max", "best": -math.inf})
        if self._optimizer is None:
            self._optimizer = optimizer
            self.total_steps = total_steps
            optimizer.register_step_pre_hook(self._before_step)

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.tell_plateau()
        self._last = float(optimizer.param_groups[0]["lr"])
        self._first = self._last if self._first is None else self._first
        self.steps += 1

    def report(self, value: float) -> None:
        """Take in an epoch's metric, for schedules that follow it."""
        self._due = value

    def tell_plateau(self) -> None:
        """Pass the last epoch's metric on, once.

        Not before the next epoch's first step: a state that the loop yields beside the metric is
        from before, so one that is resumed from it is told too.
        """
        value, self._due = self._due, None
        for scheduler in self._schedulers:
            if value is not None and isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(value)

    def end_epoch(self) -> tuple[float, float]:
        """The rates of the epoch's first and last step."""
        assert self._optimizer is not None
        if self._first is None:  # its steps are taken where no hook sees them
            self._first = self._last = float(self._optimizer.param_groups[0]["lr"])
        rates = self._first, self._last
        self._first = None
        return rates


@dataclass(frozen=True)
class LoopSchedule(Schedule):
    """A schedule that knows the trial that it is for: `attach` need not be told the epochs."""

    course: Course | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, schedule: Schedule, course: Course) -> LoopSchedule:
        """A schedule for a trial."""
        return cls(**{f.name: getattr(schedule, f.name) for f in fields(Schedule)}, course=course)

    def attach(
        self,
        optimizer: Optimizer,
        *,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        epochs: int | None = None,
    ) -> LRScheduler:
        """As `Schedule.attach`, where the study's epochs or horizon stand in for what is left out.

        Args:
            optimizer: The loop's.
            total_steps: The horizon in optimizer steps.
            steps_per_epoch: Optimizer steps in an epoch.
            epochs: Number of epochs.

        Raises:
            ScheduleError: The horizon is missing, or as `Schedule.attach` does.
        """
        assert self.course is not None
        if steps_per_epoch is not None and epochs is None:
            epochs = self.course.epochs
        if total_steps is None and steps_per_epoch is None and epochs is None:
            total_steps = self.course.horizon
            if total_steps is None:
                raise ScheduleError(
                    "attach needs steps_per_epoch: schedule.attach(optimizer, "
                    "steps_per_epoch=len(loader))"
                )
        scheduler = super().attach(
            optimizer, total_steps=total_steps, steps_per_epoch=steps_per_epoch, epochs=epochs
        )
        self.course.attached(optimizer, scheduler, total_steps or steps_per_epoch * epochs)  # type: ignore[operator]
        return scheduler
