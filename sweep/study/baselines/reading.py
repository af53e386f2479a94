"""The schedules to compare with, read: what is trained for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sweep.base.errors import ScheduleError, did_you_mean
from sweep.base.languages.sentences import kept
from sweep.base.wording import counted
from sweep.schedules.from_torch import TorchCall, as_text, read_torch
from sweep.schedules.other_names import scheduler_here
from sweep.schedules.schedule import SHAPES, Schedule
from sweep.study.baselines.settings import BaselineConfig
from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.study.settings import StudyConfig
from sweep.study.space import Suggestion, Value
from sweep.study.training.optimizer import SEARCHED
from sweep.study.training.problems import not_searched

_OF_OPTIMIZER = ("momentum", "weight_decay")
_PRESENT = kept("your present schedule")


@dataclass(frozen=True)
class Baseline:
    """A schedule to compare with.

    Args:
        name: What it is called.
        suggestion: What it is trained with.
        told: What was made of a scheduler of torch's, in a sentence; empty for one of ours.
    """

    name: str
    suggestion: Suggestion
    told: str = ""


def baselines(config: StudyConfig) -> list[Baseline]:
    """The schedules that a study is to compare with.

    Raises:
        ScheduleError: One of them cannot be read.
    """
    return [_read(given, config) for given in config.baseline]


def baseline_problems(config: StudyConfig) -> Iterator[tuple[str, str]]:
    """The keys and texts of those that cannot be read."""
    for position, given in enumerate(config.baseline):
        several = len(config.baseline) > 1
        key = f"baseline.{position}" if several else "baseline"
        try:
            _read(given, config)
        except ScheduleError as problem:
            yield key, str(problem)


def _read(given: BaselineConfig, config: StudyConfig) -> Baseline:
    if (given.torch is None) == (given.scheduler is None):
        raise ScheduleError("expected either scheduler, one of ours, or torch, one of torch's")
    schedule = _ours(given, config) if given.torch is None else _torchs(given, config)
    space, params = config.space, _own_params(given, config)
    own = config.optimizer.of({} if config.own_code else params)
    optimizer = own.arguments
    beside: dict[str, Any] = {"params": params}
    for name in _OF_OPTIMIZER:
        if name in space.params:
            continue
        value, searched = getattr(given, name), getattr(space, name)
        if value is not None and config.own_code:
            raise ScheduleError(f"{name}: not used: training of your own builds its optimizer")
        if name not in optimizer and (value is not None or searched is not None):
            if value is not None:
                raise ScheduleError(f"{name}: {own.names[0]} has none")
            continue
        beside[name] = optimizer.get(name) if value is None and searched is not None else value
    told = ""
    if given.torch is not None:
        horizon = counted(*_horizon(given, config))
        told = f"{TorchCall(given.torch).text} over {horizon} is {as_text(schedule)}"
    name = given.name or (_PRESENT if len(config.baseline) == 1 else as_text(schedule))
    return Baseline(name, Suggestion(schedule, **beside), told)


def _ours(given: BaselineConfig, config: StudyConfig) -> Schedule:
    name = str(given.scheduler)
    custom = config.custom.get(name)
    if name not in SHAPES and custom is None and (like := scheduler_here(name)):
        raise ScheduleError(f"unknown scheduler{like}; or give torch's with its arguments")
    if given.steps_per_epoch is not None:
        raise ScheduleError("steps_per_epoch goes with a scheduler of torch's")
    fields: dict[str, Any] = {"scheduler": name, "lr": _rate(given, config)}
    fields["params"] = own = _of_schedule(given, config)
    fields |= {
        key: value for key in ("decay", "warmup") if (value := getattr(given, key)) is not None
    }
    if custom:
        lacking = [param for param in custom.params if param not in own]
        if lacking:
            raise ScheduleError(f"{name} needs {', '.join(lacking)}")
        fields["factory"] = custom.factory
    return Schedule.from_dict(fields)


def _torchs(given: BaselineConfig, config: StudyConfig) -> Schedule:
    own = _of_schedule(given, config)
    for name in ("decay", "warmup", *own):
        if name in own or getattr(given, name) is not None:
            raise ScheduleError(f"{name}: not beside a scheduler of torch's, which settles it")
    if given.steps_per_epoch and config.horizon:
        raise ScheduleError("steps_per_epoch: not needed where training is counted in steps")
    call = TorchCall(str(given.torch))
    lr = given.lr if call.name == "OneCycleLR" else _rate(given, config)
    return read_torch(call, lr, *_horizon(given, config))


def _horizon(given: BaselineConfig, config: StudyConfig) -> tuple[int, str]:
    """How often torch's scheduler is stepped in a trial, and after what."""
    if config.horizon:
        return config.horizon, "step"
    if given.steps_per_epoch:
        return config.epochs * given.steps_per_epoch, "step"
    return config.epochs, "epoch"


def _rate(given: BaselineConfig, config: StudyConfig) -> float:
    searched = config.search_space.shared["lr"]
    if given.lr is not None:
        return given.lr
    if not searched.fixed:
        raise ScheduleError("lr is missing, its peak rate: lr=0.05")
    return float(searched.points(1)[0])


def _own_params(given: BaselineConfig, config: StudyConfig) -> dict[str, Value]:
    """What the parameters of the user's own are."""
    values: dict[str, Value] = {}
    for name, dimension in config.space.params.items():
        value = getattr(given, name) if name in _OF_OPTIMIZER else given.own.get(name)
        if value is None and not dimension.fixed:
            raise ScheduleError(f"{name} is missing: the study searches it (space.params)")
        value = dimension.points(1)[0] if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ScheduleError(f"{name} must be a number or a word, but got {value!r}")
        values[name] = value
    return values | _of_optimizer(given, config)


def _of_optimizer(given: BaselineConfig, config: StudyConfig) -> dict[str, Value]:
    """Its own optimizer and batch size, where the study searches them; by default the first."""
    if config.own_code:
        return {}
    values: dict[str, Value] = {}
    for name, choice in config.optimizer.searched.items():
        value = given.own.get(name, choice.options[0])
        if name == "optimizer" and value not in OPTIMIZERS:
            near = did_you_mean(str(value), OPTIMIZERS)
            raise ScheduleError(f"unknown optimizer {value!r}{near} ({', '.join(OPTIMIZERS)})")
        if name == "optimizer" and value not in choice.options:
            raise ScheduleError(f"optimizer={value}: {not_searched(value, config.optimizer.names)}")
        is_size = value == "full" or (type(value) is int and value >= 1)
        if name == "batch_size" and not is_size:
            raise ScheduleError(f"batch_size: expected a number of rows or 'full', got {value!r}")
        values[name] = value
    only = dict(zip(SEARCHED, (config.optimizer.names, config.optimizer.batch_sizes), strict=True))
    for name in SEARCHED:
        if name in given.own and name not in values and given.own[name] not in only[name]:
            raise ScheduleError(
                f"{name}: a baseline has one of its own where the study searches it: give a list "
                f"in [optimizer], such as --{name.replace('_', '-')} with commas between"
            )
    return values


def _of_schedule(given: BaselineConfig, config: StudyConfig) -> dict[str, Any]:
    """What is given of the scheduler's own parameters."""
    beside = config.space.params if config.own_code else SEARCHED
    return {name: value for name, value in given.own.items() if name not in beside}
