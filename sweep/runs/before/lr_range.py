"""Learning-rate range test: many constant rates side by side, and the bounds that they suggest.

The idea is Smith's (2017, "Cyclical Learning Rates for Training Neural Networks", arXiv
1506.01186): train for a short while over a wide range of rates, and take those from where the loss
begins to fall to where it gets worse. There, one run raises its rate step by step, so that each
rate is judged by weights that lower rates have left. Here each rate has a run of its own, from the
same weights and rows; as lanes of one model they cost little more.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sweep.base.errors import InputError, TrainingError
from sweep.data.dataset import Dataset
from sweep.runs.before.template import put_lr_range
from sweep.runs.opening import passing_setup, prepare
from sweep.study.file import load_study, read_study
from sweep.study.locations import Location, locate_study
from sweep.study.metric import Metric
from sweep.study.registries.entry import together
from sweep.study.settings import StudyConfig
from sweep.study.space import Range
from sweep.training.contract import TrainingSettings, TrialSpec
from sweep.training.record import TrialRecord
from sweep.training.specs import trial_spec
from sweep.training.workers.opening import open_pool
from sweep.training.workers.retraining import Retraining

BETWEEN = "1e-6:10"
"""Rates that are tried unless others are asked for."""

RATES = 36
OWN_RATES = 12

CLEARLY = 0.25
"""Which part of the greatest fall of the loss counts as a clear one."""

_TWO_DIGITS_APART = 1.1
"""A ratio at which rates differ when they have been rounded down, wherever they lie."""

_LEAST_STEPS = 200
_LEAST_SHARE = 0.1
"""Of a trial's epochs, that are trained at least."""


@dataclass(frozen=True)
class LrRange:
    """What a range test found.

    Args:
        study: Its name.
        rates: That were tried, ascending.
        values: What each came to, as the study's objective has it: in its best epoch, unless the
            study says otherwise; infinite where it diverged or raised.
        untrained: What all began with.
        epochs: That each was trained.
        steps: Optimizer steps of them; epochs, where only the user's own code knows its steps.
        horizon: The same of a trial of the study.
        optimizer: Its name; of code of the user's own, that.
        unit: What an error is measured in.
        metric: What the values are.
        counted_in: What `steps` and `horizon` are: `step` or `epoch`.
        searched: The optimizers of the study file, where each has its own range there.
    """

    study: str
    rates: tuple[float, ...]
    values: tuple[float, ...]
    untrained: float
    epochs: int
    steps: int
    horizon: int
    optimizer: str
    unit: str
    metric: Metric
    counted_in: str = "step"
    searched: tuple[str, ...] = ()

    @property
    def losses(self) -> list[float]:
        """The values so that less is better."""
        return [*map(self.metric.loss, self.values)]

    @property
    def best(self) -> int:
        """Which rate came to the best value."""
        return int(np.argmin(self.losses))

    @property
    def threshold(self) -> float:
        """The loss up to which it has clearly fallen."""
        untrained = self.metric.loss(self.untrained)
        return untrained - CLEARLY * (untrained - min(self.losses))

    @property
    def clear(self) -> tuple[int, int]:
        """The least and the greatest rate at which the loss clearly fell.

        That is by a quarter of the greatest fall at least. The greatest is the last one before a
        rate at which it does not, or diverges: what falls beyond that does so by luck.
        """
        falls = [loss <= self.threshold for loss in self.losses]
        high = self.best
        while high + 1 < len(falls) and falls[high + 1]:
            high += 1
        return falls.index(True), high

    @property
    def bounds(self) -> Range:
        """The range to search: both ends rounded down to two digits, away from divergence.

        It goes up to the greatest rate at which the loss clearly fell. It begins at the least one,
        times steps / horizon: where steps are small, what counts is rate times steps, so over a
        whole trial a rate that is lower by that much gets as far. Where that leaves one rate, it
        begins one step of the tried rates lower: there must be something to search.
        """
        low, high = self.clear
        reach = self.rates[low] * self.steps / self.horizon
        top = _rounded_down(self.rates[high])
        if _rounded_down(reach) >= top:
            reach /= max(self.rates[1] / self.rates[0], _TWO_DIGITS_APART)
        return Range(_rounded_down(reach), top, log=True)

    @property
    def line(self) -> str:
        """What to put into [space]."""
        key = f"lr.{self.optimizer}" if self.searched else "lr"
        return f'{key} = "{self.bounds}"'

    @property
    def notes(self) -> tuple[str, ...]:
        """What to be careful about, a sentence each."""
        low, high = self.clear
        notes = []
        if low == 0:
            notes.append("the loss falls at the lowest rate that was tried: try lower ones, too")
        if high == len(self.rates) - 1:
            notes.append("the loss falls at the highest rate that was tried: try higher ones, too")
        return tuple(notes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        bounds = self.bounds
        return {
            "study": self.study,
            "rates": self.rates,
            self.metric.name: [value if math.isfinite(value) else None for value in self.values],
            "untrained": self.untrained,
            "epochs": self.epochs,
            "steps": self.steps,
            "horizon": self.horizon,
            "optimizer": self.optimizer,
            "unit": self.unit,
            "best_rate": self.rates[self.best],
            "low": bounds.low,
            "high": bounds.high,
            "line": self.line,
            "notes": self.notes,
        }


def find_range(
    location: Location,
    config: StudyConfig,
    between: str = BETWEEN,
    count: int | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> LrRange:
    """Train a study's model with many constant rates, in its workers and by its engine.

    Args:
        location: The study's places.
        config: Its settings.
        between: The least and the greatest rate: `1e-6:10`.
        count: How many rates, evenly spaced in logarithms; by default RATES, or OWN_RATES where
            code of the user's own trains one after the other.
        note: Told what a user should read about the engine.

    Raises:
        InputError: `between` is no range of rates, or the loss falls at none of them, or the study
            searches several optimizers.
        SweepError: The data or the model cannot be used, or workers cannot train.
    """
    own = config.own_code
    if not own and len(config.optimizer.names) > 1:
        first = config.optimizer.names[0]
        raise InputError(
            f"a range of rates is one optimizer's, and this study searches "
            f"{together(config.optimizer.names)}: name one of them, such as --optimizer {first}; "
            f"in the study file, lr.{first} of [space] is its range"
        )
    if not own and len(config.optimizer.batch_sizes) > 1:
        note(
            f"tried with batches of {config.optimizer.batch_sizes[0]}, the first of those that are "
            "searched; --batch-size tries others"
        )
    rates = _rates(between, count or (OWN_RATES if own else RATES))
    data = prepare(location, config)
    epochs, horizon, counted_in = (
        max(round(_LEAST_SHARE * config.epochs), 2),
        config.epochs,
        "epoch",
    )
    per_epoch = 1
    if data:
        settings = TrainingSettings.of(config)
        per_epoch, counted_in = settings.steps_per_epoch(len(data.x_train)), "step"
        epochs = max(-(-_LEAST_STEPS // per_epoch), epochs)
        horizon = settings.horizon(len(data.x_train))
    epochs = min(epochs, config.epochs)
    records = _train(location, config, data, rates, epochs, note)
    values = tuple(_value(record, config) for record in records)
    untrained = records[0].column("value")[0] if records[0].curve else config.measure.worst
    found = LrRange(
        study=location.name,
        rates=rates,
        values=values,
        untrained=untrained,
        epochs=epochs,
        steps=epochs * per_epoch,
        horizon=horizon,
        optimizer=own or config.optimizer.names[0],
        unit=data.unit if data else "",
        metric=config.measure,
        counted_in=counted_in,
        searched=() if own else _with_ranges_of_their_own(location),
    )
    if not any(config.measure.is_better(value, untrained) for value in values):
        raise TrainingError(_no_fall(found, records))
    return found


def _with_ranges_of_their_own(location: Location) -> tuple[str, ...]:
    """The optimizers of a study's file, if they are several or have one range each there.

    The settings of a test name one of them alone.
    """
    if location.file is None:
        return ()
    written = read_study(location.file)[0]
    names = written.optimizer.names
    return names if len(names) > 1 or written.space.rates else ()


def probe_study_file(path: Path) -> LrRange:
    """Run the test on a study file that `sweep init` has written, and write the bounds into it.

    Raises:
        SweepError: As `find_range`; the file then stays as it is.
    """
    found = find_range(locate_study(str(path)), load_study(path))
    about = f"peak rate, as a test of {len(found.rates)} constant rates suggests"
    put_lr_range(path, str(found.bounds), about)
    return found


def _train(
    location: Location,
    config: StudyConfig,
    data: Dataset | None,
    rates: tuple[float, ...],
    epochs: int,
    note: Callable[[str], None],
) -> list[TrialRecord]:
    """The courses of all rates, in their order."""
    records: dict[int, TrialRecord] = {}

    def keep(spec: TrialSpec, record: TrialRecord) -> None:
        records[spec.number] = record

    specs = [_spec(config, number, rate) for number, rate in enumerate(rates)]
    asked = Retraining("rate", epochs, threading.Event(), note, config.measure, on_record=keep)
    with (
        passing_setup(location, config, data) as setup,
        open_pool(config, setup, len(rates), note) as pool,
    ):
        asked.run(pool, specs)
    return [records[number] for number in range(len(rates))]


def _spec(config: StudyConfig, number: int, rate: float) -> TrialSpec:
    """A constant rate, from the same seed as all others."""
    suggestion = config.search_space.constant(rate)
    shared = config.model_copy(update={"trial_seeds": "shared"})
    return replace(trial_spec(shared, number, suggestion), name=f"lr-{number}")


def _rates(between: str, count: int) -> tuple[float, ...]:
    """Evenly spaced in logarithms.

    Raises:
        InputError: There is no such range.
    """
    try:
        ends = Range.parse(between)
        ends = Range(ends.low, ends.high, log=True)
    except ValueError as problem:
        raise InputError(f"--between {between}: {problem}") from None
    if ends.fixed or count < 4:
        raise InputError(f"--between {between}: expected at least 4 rates from low to high")
    return tuple(np.geomspace(ends.low, ends.high, count).tolist())


def _value(record: TrialRecord, config: StudyConfig) -> float:
    """The value that counts; infinitely bad if it diverged or raised."""
    value = None if record.reason else record.value(config.objective, config.measure)
    return config.measure.worst if value is None else value


def _no_fall(found: LrRange, records: list[TrialRecord]) -> str:
    reasons = {record.reason for record in records if record.reason}
    why = f" ({min(reasons)})" if len(reasons) else ""
    return (
        f"the {found.metric.title} {_moves(found)} at none of {len(found.rates)} rates "
        f"between {found.rates[0]:g} and {found.rates[-1]:g}{why}; try others with "
        "--between, or look at the data and the model with: sweep check"
    )


def _moves(found: LrRange) -> str:
    return "rises" if found.metric.maximize else "falls"


def _rounded_down(value: float) -> float:
    """To two significant digits; a hair below a round number counts as that number."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    steps = round(value / unit, 6)
    return float(f"{math.floor(steps) * unit:.6g}")
