"""How a schedule goes with training code of the user's own.

torch is imported only where an optimizer is met, so that a script needs no more than it has.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from sweep.base.errors import ScheduleError
from sweep.schedules.schedule import Schedule
from sweep.schedules.shape import Rates
from sweep.study.metric import Metric
from sweep.training.own_loop.advice import StepsSeen

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

_MOST_SIMULATED = 100_000
"""Steps of a factory's schedule that are walked through to know its rates."""


class Course:
    """The learning rate of a trial in training code of the user's own, as its steps see it.

    Args:
        epochs: Of the trial.
        horizon: Its optimizer steps, where a study says them.
        metric: What the code reports.
        ended: Epochs that had ended before, of a trial that goes on after an interruption.

    Attributes:
        total_steps: What the first `attach` was told, or else `rates`; None before both.
    """

    def __init__(self, epochs: int, horizon: int | None, metric: Metric, ended: int = 0) -> None:
        self.epochs = epochs
        self.horizon = horizon
        self.total_steps: int | None = None
        self._metric = metric
        self._watched: list[_Watched] = []
        self._by_hand: Rates | None = None
        self._due: float | None = None
        self._ended = ended

    @property
    def is_known(self) -> bool:
        """Whether anything is known of the rates that the code trains with."""
        return bool(self._watched) or self._by_hand is not None

    def attached(
        self,
        schedule: Schedule,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        total_steps: int,
        scale: float = 1.0,
    ) -> None:
        """Watch an optimizer that a schedule is attached to; the first is the trial's."""
        from torch.optim.lr_scheduler import ReduceLROnPlateau

        from sweep.schedules.attached import innermost

        if isinstance(scheduler, ReduceLROnPlateau) and self._metric.maximize:
            scheduler.load_state_dict({"mode": "max", "best": -math.inf})
        if not self._watched:
            self.total_steps = total_steps
        inner = innermost(optimizer)
        for watched in self._watched:
            if watched.optimizer is inner:  # it follows the latest alone
                watched.follow(schedule, scheduler, total_steps, scale, self._ended)
                return
        watched = _Watched(inner, self.tell_plateau)
        watched.follow(schedule, scheduler, total_steps, scale, self._ended)
        self._watched.append(watched)

    def set_by_hand(self, rates: Rates) -> None:
        """The code has asked for all rates, to set them itself."""
        self._by_hand = rates
        if not self._watched:
            self.total_steps = len(rates)

    def report(self, value: float) -> None:
        """Take in an epoch's metric, for schedules that follow it."""
        self._due = value

    def tell_plateau(self) -> None:
        """Pass the last epoch's metric on, once.

        Not before the next epoch's first step: a state that the loop yields beside the metric is
        from before, so one that is resumed from it is told too.
        """
        value, self._due = self._due, None
        if value is not None:
            for watched in self._watched:
                watched.tell_plateau(value)

    def end_epoch(self) -> tuple[float, float]:
        """The rates of the epoch's first and last step; NaN where nothing is known of them."""
        self._ended += 1
        ended = [watched.end_epoch() for watched in self._watched]
        if ended:
            return ended[0]
        if self._by_hand is None:
            return math.nan, math.nan
        steps = len(self._by_hand)
        first = steps * (self._ended - 1) // self.epochs
        last = max(first, math.ceil(steps * self._ended / self.epochs) - 1)
        return float(self._by_hand[min(first, steps - 1)]), float(
            self._by_hand[min(last, steps - 1)]
        )

    def seen(self, share: float | None = None) -> StepsSeen | None:
        """What was seen of the steps since the training has begun, or gone on.

        Args:
            share: How much of a whole trial that is; by the epochs that have ended, if left out.

        Returns:
            None where no optimizer has been seen for a whole epoch.
        """
        if not self._watched or not self._watched[0].taken:
            return None
        first = self._watched[0]
        strayed = [w.strayed for w in self._watched if w.strayed is not None]
        return StepsSeen(
            told=first.total_steps,
            taken=tuple(first.taken),
            stepped=None if None in first.stepped else tuple(map(int, first.stepped)),  # type: ignore[arg-type]
            share=share or min(1.0, len(first.taken) / self.epochs),
            strayed=min(strayed, default=None),
        )


class _Watched:
    """An optimizer, as the hook of its steps sees it.

    Attributes:
        taken: Its steps in each epoch.
        stepped: Those of its scheduler; None in an epoch in which nobody knows.
        strayed: The first epoch, from 1, in which its rate was not the schedule's.
    """

    def __init__(self, optimizer: Optimizer, before_step: Any) -> None:
        self.optimizer = optimizer
        self.total_steps = 0
        self.taken: list[int] = []
        self.stepped: list[int | None] = []
        self.strayed: int | None = None
        self._before_step = before_step
        self._steps = 0
        self._first: float | None = None
        self._last = math.nan
        optimizer.register_step_pre_hook(self._on_step)

    def follow(
        self,
        schedule: Schedule,
        scheduler: LRScheduler,
        total_steps: int,
        scale: float,
        ended: int,
    ) -> None:
        """Expect the rates of a schedule from here on.

        Args:
            schedule: Whose.
            scheduler: It, fresh.
            total_steps: Its horizon.
            scale: This optimizer's rates / those of the schedule.
            ended: Epochs that have ended.
        """
        from torch.optim.lr_scheduler import ReduceLROnPlateau

        self.total_steps = total_steps
        self._scheduler = scheduler
        self._follows_metric = isinstance(scheduler, ReduceLROnPlateau)
        self._begun = self._index()
        self._before = ended
        rates = _known_rates(schedule, total_steps)
        self._rates = None if rates is None else rates * scale

    def tell_plateau(self, value: float) -> None:
        """Pass an epoch's metric on to a scheduler that follows it."""
        if self._follows_metric:
            self._scheduler.step(value)  # type: ignore[arg-type]

    def end_epoch(self) -> tuple[float, float]:
        """The rates of the epoch's first and last step."""
        if self._first is None:  # its steps are taken where no hook sees them
            self._first = self._last = self._rate()
        rates = self._first, self._last
        index = self._index()
        stepped = None if index is None or self._begun is None else index - self._begun
        self.taken.append(self._steps)
        self.stepped.append(stepped)
        self._first, self._steps, self._begun = None, 0, index
        return rates

    def _on_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self._steps and not self.taken:
            self._begun = self._index()  # a state may have been loaded
        self._before_step()
        self._last = self._rate()
        self._first = self._last if self._first is None else self._first
        self._steps += 1
        index = self._index()
        if self.strayed is not None or self._rates is None or index is None:
            return
        if 0 <= index < self.total_steps:
            expected = self._rates[index]
            if abs(self._last - expected) > 1e-4 * expected + 1e-9 * self._rates[0]:
                self.strayed = self._before + len(self.taken) + 1

    def _rate(self) -> float:
        """Of the first group, before a factor that timm gives it."""
        group = self.optimizer.param_groups[0]
        return float(group["lr"]) / (group.get("lr_scale") or 1.0)

    def _index(self) -> int | None:
        """How often the scheduler has been stepped; None of one that follows a metric."""
        index = None if self._follows_metric else getattr(self._scheduler, "last_epoch", None)
        return index if isinstance(index, int) else None


def _known_rates(schedule: Schedule, total_steps: int) -> Rates | None:
    """The rates that a schedule's steps are taken with; None if they cannot be known."""
    if schedule.factory and total_steps > _MOST_SIMULATED:
        return None
    try:
        return schedule.rates(total_steps)
    except ScheduleError:
        return None


@functools.lru_cache(maxsize=4)
def _rates(schedule: Schedule, total_steps: int) -> Rates:
    """As `Schedule.rates`; code that asks for them in every step need not wait each time."""
    return schedule.rates(total_steps)


@dataclass(frozen=True)
class LoopSchedule(Schedule):
    """A schedule that knows the trial that it is for: `attach` need not be told the epochs."""

    course: Course | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, schedule: Schedule, course: Course) -> LoopSchedule:
        """A schedule for a trial."""
        return cls(**{f.name: getattr(schedule, f.name) for f in fields(Schedule)}, course=course)

    @property
    def plain(self) -> Schedule:
        """The same without the trial."""
        return Schedule(**{f.name: getattr(self, f.name) for f in fields(Schedule)})

    def rates(self, total_steps: int | None = None) -> Rates:
        """As `Schedule.rates`, where the trial's horizon stands in for one that is left out.

        Code that sets these rates itself need not attach the schedule.

        Raises:
            ScheduleError: Nobody has said the horizon, or as `Schedule.rates` does.
        """
        assert self.course is not None
        total = total_steps or self.course.total_steps or self.course.horizon
        if total is None:
            raise ScheduleError(
                "rates needs the optimizer steps of a whole training: "
                "schedule.rates(epochs * len(loader))"
            )
        rates = _rates(self.plain, total).copy()
        self.course.set_by_hand(rates)
        return rates

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
        """As `Schedule.attach`, where the study's epochs or horizon stand in for what is left out.

        Args:
            optimizer: The loop's.
            total_steps: The horizon in optimizer steps.
            steps_per_epoch: Optimizer steps in an epoch.
            epochs: Number of epochs.
            last_epoch: The index of the last step that was taken before; -1 at the beginning.
            scale: The peak rate of this optimizer / that of the schedule.

        Raises:
            ScheduleError: The horizon is missing, or as `Schedule.attach` does.
        """
        assert self.course is not None
        if steps_per_epoch is not None and epochs is None:
            epochs = self.course.epochs
        if total_steps is None and steps_per_epoch is None and epochs is None:
            total_steps = self.course.horizon or self.course.total_steps
            if total_steps is None:
                raise ScheduleError(
                    "attach needs steps_per_epoch: schedule.attach(optimizer, "
                    "steps_per_epoch=len(loader))"
                )
        scheduler = super().attach(
            optimizer,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            last_epoch=last_epoch,
            scale=scale,
        )
        total = total_steps or steps_per_epoch * epochs  # type: ignore[operator]
        self.course.attached(self.plain, optimizer, scheduler, total, scale)
        return scheduler
