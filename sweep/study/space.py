"""The search space: ranges, what Optuna is asked for, and the grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from sweep.base.languages.sentences import _
from sweep.base.spread import spread_product
from sweep.base.wording import number
from sweep.schedules.schedule import SHAPES, Schedule
from sweep.study.registries.optimizers import OPTIMIZERS

Value = float | int | str
"""A parameter's value."""


class Asked(Protocol):
    """What is asked for a trial's parameters, as one of Optuna's is."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        """A number."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int:
        """A whole number."""

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Any:
        """One of several words or numbers."""


SHARED = ("lr", "decay", "warmup", "momentum", "weight_decay")
"""The shared dimensions that are not the user's own."""

UNUSED = {"decay": 1.0, "warmup": 0.0}
"""What a schedule has of a shared dimension that it makes no use of."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Args:
        low: The least value.
        high: The greatest value; equal to `low` for a parameter that is fixed.
        log: Whether equal ratios, rather than equal differences, are equally likely.
        integer: Whether only whole numbers are meant.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"both ends must be finite numbers, but got {self}")
        if self.low > self.high:
            swapped = Range(self.high, self.low, self.log and self.high > 0, self.integer)
            raise ValueError(f"low must be at most high: write '{swapped}'")
        if self.log and self.low <= 0:
            raise ValueError("a :log range must start above 0")
        if self.integer and not (self.low == int(self.low) and self.high == int(self.high)):
            raise ValueError(f"whole numbers are expected, but got '{self}'")

    @classmethod
    def parse(cls, text: Any, integer: bool = False) -> Range:
        """Read `LOW:HIGH`, `LOW:HIGH:log` or a single number, which fixes the parameter."""
        if isinstance(text, Range):
            return cls(text.low, text.high, text.log, integer)
        if isinstance(text, bool) or not isinstance(text, int | float | str):
            raise ValueError("expected 'LOW:HIGH', 'LOW:HIGH:log' or one number")
        ends = str(text).split(":")
        log = len(ends) == 3 and ends[-1] == "log"
        try:
            numbers = [float(end) for end in ends[: 2 if log else None]]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2):
            raise ValueError("expected 'LOW:HIGH', 'LOW:HIGH:log' or one number")
        return cls(numbers[0], numbers[-1], log, integer)

    def __str__(self) -> str:
        if self.low == self.high:
            return _shortest(self.low)
        return f"{_shortest(self.low)}:{_shortest(self.high)}{':log' if self.log else ''}"

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to search."""
        return self.low == self.high

    def points(self, count: int) -> list[Value]:
        """At most `count` values from low to high, evenly spaced on the range's own scale."""
        if self.fixed:
            return [self.value(self.low)]
        spaced = np.geomspace if self.log else np.linspace
        values = spaced(self.low, self.high, count) if count > 1 else [self.middle]
        return list(dict.fromkeys(self.value(v) for v in values))

    @property
    def middle(self) -> float:
        """The middle on the range's own scale."""
        return math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2

    def value(self, number: float) -> Value:
        """The number as this range's type."""
        return round(number) if self.integer else float(number)


def _shortest(number: float) -> str:
    """The number in few characters, but none of its digits lost: it is read back."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))


@dataclass(frozen=True)
class Choice:
    """One of several words or numbers; numbers ascend."""

    options: tuple[Value, ...]

    @classmethod
    def parse(cls, value: Any, allowed: tuple[Value, ...]) -> Choice:
        """Read a word or a list of words, each of them one of `allowed`."""
        options = value if isinstance(value, list | tuple) else [value]
        if not options or any(option not in allowed for option in options):
            raise ValueError(f"expected some of {', '.join(map(str, allowed))}")
        return cls(tuple(dict.fromkeys(options)))

    def __str__(self) -> str:
        return ", ".join(
            _shortest(option) if isinstance(option, float) else str(option)
            for option in self.options
        )

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to search."""
        return len(self.options) == 1

    @property
    def integer(self) -> bool:
        """Whether all options are whole numbers."""
        return all(type(option) is int for option in self.options)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The options, ascending, if all of them are numbers; else none."""
        numbers = [option for option in self.options if is_number(option)]
        return tuple(map(float, numbers)) if len(numbers) == len(self.options) else ()

    def points(self, count: int) -> list[Value]:
        """Every option, however many are asked for."""
        return list(self.options)


def is_number(value: Any) -> bool:
    """Whether a value of a list is a number, and neither a word nor true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


Dimension = Range | Choice
"""What one parameter may be."""


def in_words(dimension: Dimension) -> str:
    """A dimension for people: `0:0.5`, `2:8 (whole numbers)`, `[64, 128]`."""
    if isinstance(dimension, Choice):
        return str(dimension) if dimension.fixed else f"[{dimension}]"
    whole = dimension.integer and not dimension.fixed
    return str(dimension) + (_(" (whole numbers)") if whole else "")


@dataclass(frozen=True)
class Suggestion:
    """What one trial is to train with.

    Args:
        schedule: The learning-rate schedule.
        momentum: SGD's momentum, where the space ranges over it.
        weight_decay: The optimizer's weight decay, where the space ranges over it.
        params: What else is searched, by name: parameters of the user's own, or, with a model on a
            table, the `optimizer` and the `batch_size`.
    """

    schedule: Schedule
    momentum: float | None = None
    weight_decay: float | None = None
    params: Mapping[str, Value] = field(default_factory=dict, hash=False)

    def describe(self) -> str:
        """One line for people: `step, lr 0.1, decay 0.01, drops 2, width 64`."""
        return described(self.schedule, self.params)


def described(schedule: Schedule, params: Mapping[str, Value]) -> str:
    """A schedule, and the parameters of the user's own beside it, in one line for people."""
    return ", ".join([schedule.describe(), *named_values(params)])


def rate_in_words(schedule: Schedule, params: Mapping[str, Value]) -> str:
    """A peak rate for people, with its optimizer where that is searched: `0.01 (adamw)`."""
    optimizer = params.get("optimizer")
    return number(schedule.lr) + (f" ({optimizer})" if optimizer is not None else "")


def named_values(*params: Mapping[str, Value]) -> list[str]:
    """Parameters for people: `width 64`."""
    named = (item for each in params for item in each.items())
    return [f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in named]


@dataclass(frozen=True)
class Space:
    """Everything a study searches over.

    Args:
        schedulers: Names from the schedule registry or of custom schedules.
        shared: The dimensions that every trial has: lr, decay, warmup and, where the study
            searches them, momentum and weight_decay, or parameters of the user's own. All
            schedules share them, so that the sampler can learn from one schedule about another.
        own: The dimensions of one schedule alone, by `<scheduler>.<param>`.
        factories: `module:function` of each custom schedule, by its name.
        params: Which of the shared dimensions are no settings of the schedule: the user's own, or
            the optimizer and the batch size.
        optimizers: That a trial may have; none where code of the user's own builds it.
        rates: The peak rates of each of them, where they are not the same; the shared ones are
            what these span, so that all have one name and one scale.
    """

    schedulers: tuple[str, ...]
    shared: Mapping[str, Dimension]
    own: Mapping[str, Dimension] = field(default_factory=dict)
    factories: Mapping[str, str] = field(default_factory=dict)
    params: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()
    rates: Mapping[str, Range] = field(default_factory=dict)

    def constant(self, rate: float | None = None) -> Suggestion:
        """A constant rate, with all else at the middle of its range, or at its first value.

        Args:
            rate: The rate; if left out, such a value of it.
        """
        optimizer = next(iter(self.rates), None)
        dimensions = self.dimensions_of(self.schedulers[0], optimizer)
        usual = {name: dimension.points(1)[0] for name, dimension in dimensions.items()}
        given = self.suggestion({**usual, "scheduler": self.schedulers[0]})
        lr = given.schedule.lr if rate is None else rate
        return replace(given, schedule=Schedule("constant", lr=lr))

    def suggest(self, trial: Asked) -> Suggestion:
        """Ask Optuna for the parameters that are not fixed; return what to train with."""

        def ask(name: str, dimension: Dimension) -> Value:
            if dimension.fixed:
                return dimension.points(1)[0]
            if isinstance(dimension, Choice):
                drawn: Value = trial.suggest_categorical(name, dimension.options)
                return drawn
            if dimension.integer:
                return trial.suggest_int(
                    name, int(dimension.low), int(dimension.high), log=dimension.log
                )
            return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)

        scheduler = str(ask("scheduler", Choice(self.schedulers)))
        values: dict[str, Value] = {"scheduler": scheduler}
        for name, dimension in self.dimensions_of(scheduler).items():  # the optimizer before lr
            if name == "lr" and not dimension.fixed and self.rates:
                own = self.rates[str(values["optimizer"])]  # also one rate: every trial has it
                values[name] = trial.suggest_float(name, own.low, own.high, log=own.log)
            else:
                values[name] = ask(name, dimension)
        return self.suggestion(values)

    def suggestion(self, values: Mapping[str, Value]) -> Suggestion:
        """What to train with, from the value of each parameter."""
        scheduler = str(values["scheduler"])
        ignored = self.ignored_by(scheduler, values.get("optimizer"))
        used = {**values, **{name: UNUSED[name] for name in ignored if name in UNUSED}}
        schedule = Schedule(
            scheduler=scheduler,
            lr=float(values["lr"]),
            decay=float(used["decay"]),
            warmup=float(used["warmup"]),
            params={name.partition(".")[2]: values[name] for name in self._own_of(scheduler)},
            factory=self.factories.get(scheduler),
        )
        optimizer = {
            name: float(values[name])
            for name in ("momentum", "weight_decay")
            if name in values and name not in (*self.params, *ignored)
        }
        params = {name: values[name] for name in self.params}
        return Suggestion(schedule, **optimizer, params=params)

    def ends(self, scheduler: str) -> tuple[Suggestion, ...]:
        """What a schedule is at both ends of all its ranges: all low, then all high.

        A choice of words is at its first and its last. One alone if nothing is searched.
        """
        points = {name: dimension.points(2) for name, dimension in self.dimensions().items()}
        lows = {name: values[0] for name, values in points.items()}
        highs = {name: values[-1] for name, values in points.items()}
        ends = [self.suggestion({**each, "scheduler": scheduler}) for each in (lows, highs)]
        return (ends[0],) if ends[0] == ends[1] else tuple(ends)

    def custom_schedules(self) -> tuple[Schedule, ...]:
        """The schedules of each custom kind at both ends of its ranges."""
        return tuple(end.schedule for name in self.factories for end in self.ends(name))

    def dimensions(self) -> dict[str, Dimension]:
        """Every dimension by name, the scheduler's first."""
        return {"scheduler": Choice(self.schedulers), **self.shared, **self.own}

    def dimensions_of(self, scheduler: str, optimizer: Value | None = None) -> dict[str, Dimension]:
        """The dimensions beside the scheduler that one scheduler is drawn with.

        Args:
            scheduler: It.
            optimizer: The rates are its own; those of all if it is left out.
        """
        own = self.rates.get(str(optimizer))
        rate = {} if own is None else {"lr": own}
        return {**self.shared, **rate, **self._own_of(scheduler)}

    def ignored_by(self, scheduler: str, optimizer: Value | None = None) -> frozenset[str]:
        """The shared dimensions that a schedule makes no use of, nor an optimizer that is given."""
        shape = SHAPES.get(scheduler)
        entry = OPTIMIZERS.get(str(optimizer)) if self.optimizers else None
        ignored = {
            "decay": shape and not shape.uses_decay,
            "warmup": shape and not shape.uses_warmup,
            "momentum": entry and all(known.name != "momentum" for known in entry.settings),
        }
        return frozenset(name for name, is_ignored in ignored.items() if is_ignored)

    def grid(self, points: int, seed: int = 0) -> list[dict[str, Value]]:
        """Every combination of at most `points` values a dimension.

        A schedule is combined with its own parameters only, and with neither decay nor warm-up
        where it has none. However many are taken from the start of the list, they are spread over
        the grid: the schedules take turns, and so do the values of each parameter.

        Args:
            points: Values a dimension.
            seed: Where the list begins.

        Returns:
            The parameters that Optuna would be asked for, one dict a trial.
        """
        kinds = itertools.product(
            self.schedulers, (self.optimizers[1:] and self.optimizers) or [None]
        )
        families = [
            self._grid_of(scheduler, optimizer, points, seed + place)
            for place, (scheduler, optimizer) in enumerate(kinds)
        ]
        turns = itertools.zip_longest(*families)
        return [point for turn in turns for point in turn if point is not None]

    def _grid_of(
        self, scheduler: str, optimizer: str | None, points: int, start: int
    ) -> list[dict[str, Value]]:
        ignored = self.ignored_by(scheduler, optimizer)
        axes: dict[str, list[Value]] = {"scheduler": [scheduler]}
        for name, dimension in self.dimensions_of(scheduler, optimizer).items():
            axes[name] = dimension.points(points)[: 1 if name in ignored else None]
        if optimizer is not None:
            axes["optimizer"] = [optimizer]
        fixed = {name for name, dimension in self.dimensions().items() if dimension.fixed}
        names = [name for name in axes if name not in fixed]
        combinations = spread_product([axes[name] for name in names], start)
        return [dict(zip(names, values, strict=True)) for values in combinations]

    def _own_of(self, scheduler: str) -> dict[str, Dimension]:
        return {n: d for n, d in self.own.items() if n.partition(".")[0] == scheduler}

    def to_dict(self) -> dict[str, Any]:
        """A JSON form, equal for equal spaces."""
        described: dict[str, Any] = {
            f"params.{name}" if name in self.params else name: in_words(dimension)
            if name in self.params
            else str(dimension)
            for name, dimension in self.dimensions().items()
        }
        described |= {f"lr.{name}": str(rates) for name, rates in self.rates.items()}
        return described | {f"{n}.factory": f for n, f in self.factories.items()}
