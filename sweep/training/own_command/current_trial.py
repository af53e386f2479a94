"""What a script imports to become a trial: `sweep.current_trial()`.

It needs nothing but Python, so that a script in any environment can import it; NumPy where a
schedule is asked for, and torch where an optimizer is.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.base.errors import InputError, SweepError, TrainingError
from sweep.base.user_code import look_in
from sweep.training.own_command.protocol import ADDRESS, STOP, Link

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from sweep.schedules.schedule import Schedule
    from sweep.training.own_loop.course import Course

CHECKPOINT = "checkpoint.pt"

_ORPHANED_SECS = 5.0
"""Time for what ends the processes of a dead worker to find this one's children by it."""

_known: dict[int, CurrentTrial] = {}
"""The trial of this process, by its number: one that is forked has a connection of its own."""


def current_trial(
    schedule: Schedule | str | Path | None = None, *, epochs: int | None = None
) -> CurrentTrial:
    """The trial that this script is run for; it is the same whenever it is asked for.

    Outside of a sweep, what is given here stands in for what a sweep would say; reports are then
    printed.

    Args:
        schedule: To train with outside of a sweep: a `Schedule`, or the path of a
            `best_schedule.json`. Without one, an optimizer keeps the rate that it has.
        epochs: Epochs outside of a sweep; those of the `best_schedule.json` if left out.

    Raises:
        SweepError: The sweep that has started this process is gone, or `schedule` cannot be read.
    """
    known = _known.get(os.getpid())
    if known is None:
        address = os.environ.get(ADDRESS)
        known = CurrentTrial(address) if address else CurrentTrial(None, schedule, epochs)
        _known.clear()
        _known[os.getpid()] = known
    return known


class CurrentTrial:
    """A trial, as the script that trains it is told of it.

    Attributes:
        number: In the study, from 0.
        epochs: Epochs of a whole trial, after each of which its metric is reported. Outside of a
            sweep, what `current_trial` was given; None if it was given none.
        horizon: Optimizer steps of a whole trial, where the study says them; else None.
        params: What the study searches beside the schedule, by name; empty outside of a sweep.
        reported: Epochs that had been reported before the trial was interrupted; else 0.
        metric: The name of what the study compares; None outside of a sweep.
        has_schedule: Whether there is a schedule to train with; always so in a sweep.
    """

    def __init__(
        self,
        address: str | None,
        schedule: Schedule | str | Path | None = None,
        epochs: int | None = None,
    ) -> None:
        self._link: Link | None = None
        self._told = _outside(schedule, epochs)
        if address:
            try:
                self._link = Link(address)
                self._told = self._link.ask(type="hello")
            except (OSError, ValueError) as problem:
                raise TrainingError(
                    f"the sweep that has started this process is gone ({problem}); to run the "
                    f"script without one, take {ADDRESS} out of the environment"
                ) from None
        self.number: int = self._told["number"]
        self.epochs: int = self._told["epochs"]
        self.horizon: int | None = self._told["horizon"]
        self.params: dict[str, Any] = self._told["params"]
        self.reported: int = self._told["reported"]
        self.metric: str | None = self._told["metric"] if self._link else None
        self.has_schedule: bool = self._told["schedule"] is not None
        self._has_reported = False
        self._waited = self.reported
        self._scheduler: LRScheduler | None = None
        self._seed_was_read = False

    def __reduce__(self) -> tuple[Any, ...]:
        return current_trial, ()

    @property
    def seed(self) -> int:
        """What everything random should derive from; the confirmation has other ones."""
        self._seed_was_read = True
        return int(self._told["seed"])

    @cached_property
    def folder(self) -> Path:
        """A folder of this trial's own; outside of a sweep, a new temporary one."""
        told = self._told["folder"]
        if told:
            return Path(told)
        folder = Path(tempfile.mkdtemp(prefix="sweep-trial-"))
        print_line(f"trial.folder: {folder}")
        return folder

    @property
    def checkpoint(self) -> Path:
        """A path in the folder. If the file is there, the trial goes on after an interruption."""
        return self.folder / CHECKPOINT

    @cached_property
    def _course(self) -> Course:
        from sweep.study.metric import Metric
        from sweep.training.own_loop.course import Course

        metric = Metric(self._told["metric"], self._told["maximize"])
        return Course(self.epochs, self.horizon, metric, self.reported)

    @cached_property
    def schedule(self) -> Schedule:
        """The schedule to train with; its `rates` are for scripts that set the rate themselves.

        Raises:
            InputError: This is outside of a sweep, and `current_trial` was given none.
        """
        from sweep.schedules.schedule import Schedule
        from sweep.training.own_loop.course import LoopSchedule

        fields = self._told["schedule"]
        if fields is None:
            raise InputError(
                "there is no schedule outside of a sweep: give one to train with, "
                "sweep.current_trial('best_schedule.json')"
            )
        if fields.get("factory"):
            look_in(tuple(map(Path, self._told["code_folders"])))
        return LoopSchedule.of(Schedule.from_dict(fields), self._course)

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
        """The torch scheduler of the trial's schedule, as `Schedule.attach` gives it.

        Outside of a sweep, without a schedule, one that leaves the rate as it is.

        Args:
            optimizer: The script's.
            total_steps: The horizon in optimizer steps; or give the next two instead.
            steps_per_epoch: Optimizer steps in an epoch.
            epochs: Number of epochs; the trial's if left out.
            last_epoch: The index of the last step that was taken before; -1 at the beginning.
            scale: The peak rate of this optimizer / that of the schedule.

        Raises:
            ScheduleError: The horizon is missing, or as `Schedule.attach` does.
        """
        if self._told["schedule"] is None:
            from torch.optim.lr_scheduler import LambdaLR

            return LambdaLR(optimizer, lambda step: 1.0)
        scheduler = self.schedule.attach(
            optimizer,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            last_epoch=last_epoch,
            scale=scale,
        )
        if self._link and self._scheduler is None:
            self._ask(type="attached", total_steps=self._course.total_steps)
        self._scheduler = self._scheduler or scheduler
        return scheduler

    def report(self, value: Any, *, epoch: int | None = None, **metrics: Any) -> None:
        """Tell the study's metric, once an epoch; it ends this process if the trial is to stop.

        That is by a `SystemExit` with the code 0, so that `finally` blocks are run. With
        torch.distributed, the value of rank 0 counts. Other ranks may call it, too: they then end
        as rank 0 does; those that do not are ended a little later.
        Outside of a sweep it is printed.

        Args:
            value: A number, or a mapping with at least the metric under its name.
            epoch: Which epoch it is, from 1; they are counted if left out, after an interruption
                by the steps of the scheduler, whose state the checkpoint must hold then.
            metrics: Numbers beside it, kept in epochs.csv.

        Raises:
            TrainingError: It is no number, or the epoch none, or the schedule has not been used, or
                the sweep is gone.
        """
        if self._link is None:
            shown = {"": value, **metrics} if not isinstance(value, Mapping) else {**value}
            print_line(" ".join(f"{name} {_shown(v)}".strip() for name, v in shown.items()))
            return
        group = _process_group()
        if group is None and _rank_by_environment() > 0:
            return
        is_first = group is None or group.get_rank() == 0
        answer = self._tell(value, epoch, metrics) if is_first else self._wait(epoch)
        if answer["answer"] == STOP:
            raise SystemExit(0)
        self._course.report(answer["value"])

    def _tell(self, value: Any, epoch: int | None, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Tell it to the worker; its answer, and the value."""
        name = self._told["metric"]
        if isinstance(value, Mapping):
            if name not in value:
                has = ", ".join(map(str, value)) or "nothing"
                raise TrainingError(f"report was given no {name!r}, the study's metric (but {has})")
            metrics = {**value, **metrics}
            value = metrics.pop(name)
        told = _number(name, value)
        first, last = self._course.end_epoch()
        seen = self._course.seen()
        answer = self._ask(
            type="report",
            value=told,
            metrics={str(key): _number(str(key), each) for key, each in metrics.items()},
            epoch=self._epoch(epoch),
            lr_first=first,
            lr_last=last,
            total_steps=self._course.total_steps,
            seen=None if seen is None else asdict(seen),
            has_schedule=self._course.is_known,
            seed_was_read=self._seed_was_read,
        )
        if "error" in answer:
            raise TrainingError(answer["error"])
        return {"answer": answer["answer"], "value": told}

    def _wait(self, epoch: int | None) -> dict[str, Any]:
        """What rank 0 has been told of the epoch, for a process of another rank."""
        self._waited = self._epoch(epoch) or self._waited + 1
        return self._ask(type="wait", epoch=self._waited)

    def _epoch(self, given: int | None) -> int | None:
        """Which epoch has ended; None if it is the one after that of the report before it.

        Raises:
            TrainingError: What is given is none.
        """
        if given is not None and given < 1:
            raise TrainingError(
                f"report was given epoch={given}: epochs are counted from 1, so in "
                "`for epoch in range(epochs)` it is epoch=epoch + 1"
            )
        is_first, self._has_reported = not self._has_reported, True
        if given is not None or not self.reported or not is_first:
            return given
        steps, total = getattr(self._scheduler, "last_epoch", None), self._course.total_steps
        if not isinstance(steps, int) or not total or self._told["follows_metric"]:
            return None
        return max(1, round(steps / total * self.epochs))

    def _ask(self, **message: Any) -> dict[str, Any]:
        """Say something to the worker, by a connection of this process's own."""
        ours = current_trial()  # this may be a fork of the process that has connected
        assert ours._link is not None
        try:
            return ours._link.ask(**message)
        except OSError as problem:
            time.sleep(_ORPHANED_SECS)
            raise TrainingError(f"the sweep is gone ({problem})") from None


def _outside(schedule: Schedule | str | Path | None, epochs: int | None) -> dict[str, Any]:
    """What a trial is told where there is no sweep."""
    fields: dict[str, Any] | None = None
    if isinstance(schedule, str | Path):
        from sweep.schedules.schedule import Schedule

        fields = Schedule.load(schedule).to_dict()
        epochs = epochs or _epochs_of(Path(schedule))
    elif schedule is not None:
        fields = schedule.to_dict()
    return {
        "number": 0,
        "seed": 0,
        "epochs": epochs,
        "horizon": None,
        "params": {},
        "reported": 0,
        "folder": None,
        "schedule": fields,
        "code_folders": [],
        "metric": "metric",
        "maximize": False,
    }


def _epochs_of(path: Path) -> int | None:
    """The epochs that a `best_schedule.json` was found with; None if it does not say."""
    import json

    said = json.loads(path.read_text(encoding="utf-8"))
    epochs = said.get("epochs") if isinstance(said, dict) else None
    return epochs if isinstance(epochs, int) else None


def print_line(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _number(name: str, value: Any) -> float:
    """A value as a number, of a tensor, too.

    Raises:
        TrainingError: It is none.
    """
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        text = " ".join(repr(value).split())
        shown = text if len(text) <= 40 else f"{text[:40]} ..."
        kind = type(value).__name__
        raise TrainingError(
            f"report was given {shown} ({kind}) as {name}; expected a number"
        ) from None


def _shown(value: Any) -> str:
    try:
        return f"{_number('', value):.6g}"
    except SweepError:
        return str(value)


def _process_group() -> Any:
    """torch.distributed, where the script has several processes and has initialised it."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed if distributed.get_world_size() > 1 else None


def _rank_by_environment() -> int:
    """The rank that a launcher has given this process; 0 without one."""
    rank = os.environ.get("RANK", "0")
    return int(rank) if rank.isdecimal() else 0
