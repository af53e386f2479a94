"""What the figures are drawn from: a study's summary and the whole course of its trials."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray

from sweep.base.csv_cells import frame_from_csv
from sweep.base.errors import ScheduleError
from sweep.base.languages.sentences import _
from sweep.base.wording import counted, number, percent
from sweep.report.facts import Summary
from sweep.report.palette import Look, looks
from sweep.report.summary import summarise
from sweep.report.trials.endings import ending_word
from sweep.report.trials.facts import TrialFacts
from sweep.schedules.schedule import Schedule
from sweep.search.in_memory import in_memory
from sweep.search.trials import Ending, StudyReader, Trial, standing_for_themselves
from sweep.study.metric import Metric
from sweep.study.results_folder import PREDICTIONS
from sweep.study.settings import StudyConfig
from sweep.training.record import CURVE_COLUMNS, TrialRecord

RAW, AVERAGED = "value", "averaged"
MOST_POINTS = 1200
"""Trials that a figure shows, so that the page of a long search stays light."""

_MOST_RATES = 2000


@dataclass(frozen=True)
class HeldOut:
    """What `predictions.csv` holds, as it stands there, row by row.

    Args:
        truth: The targets.
        predicted: As many predictions, in the target's own unit, or likeliest classes.
        lines: The line of the file that each is in.
    """

    truth: list[str]
    predicted: list[str]
    lines: list[int]

    @classmethod
    def read(cls, folder: Path) -> HeldOut | None:
        """That of a results folder; None if there is none, or predictions are no targets."""
        try:
            frame = frame_from_csv(folder / PREDICTIONS, dtype=str)
        except (OSError, ValueError):
            return None
        found = [
            frame[[name for name in frame if re.fullmatch(rf"{kind}(\d+(_\d+)*)?", str(name))]]
            for kind in ("y", "prediction")
        ]
        if found[0].shape != found[1].shape or not found[0].size:
            return None
        lines = np.repeat(np.arange(len(frame)) + 2, found[0].shape[1])
        truth, predicted = (list(part.to_numpy().ravel()) for part in found)
        return cls(truth, predicted, lines.tolist())


@dataclass(frozen=True)
class Findings:
    """A study, gathered once for all figures.

    Args:
        summary: What it found.
        config: Its settings.
        reader: Reads the study.
        trials: Those that have ended, by number.
        held_out: The targets and predictions of the test rows; None if the best trial has not been
            tested, or predicts something else than targets.
        target: What is predicted.
    """

    summary: Summary
    config: StudyConfig
    reader: StudyReader
    trials: tuple[Trial, ...]
    held_out: HeldOut | None
    target: str

    @cached_property
    def looks(self) -> Mapping[str, Look]:
        """How each scheduler is drawn."""
        used = [trial.schedule.scheduler for trial in self.trials]
        return looks([*self.config.search_space.schedulers, *used])

    @cached_property
    def by_number(self) -> Mapping[int, Trial]:
        """The trials that have ended."""
        return {trial.number: trial for trial in self.trials}

    @cached_property
    def shown(self) -> list[Trial]:
        """The trials, the best first; of a long search the best half of MOST_POINTS and as many
        of the others, evenly.
        """
        trials = sorted(
            self.trials,
            key=lambda t: (
                t.ending != Ending.COMPLETED,
                math.inf if t.reached is None else self.metric.loss(t.reached),
                t.number,
            ),
        )
        if len(trials) <= MOST_POINTS:
            return trials
        best, others = trials[: MOST_POINTS // 2], trials[MOST_POINTS // 2 :]
        kept = np.linspace(0, len(others) - 1, MOST_POINTS - len(best)).round().astype(int)
        return best + [others[index] for index in kept]

    @cached_property
    def in_memory(self) -> optuna.Study:
        """The study for Optuna's figures, which copy all trials, without the trials' courses."""
        return in_memory(self.study, self.reader.trials, self.config.search_space)

    @property
    def study(self) -> optuna.Study:
        """In Optuna, for the figures that Optuna draws."""
        return self.reader.study

    @property
    def metric(self) -> Metric:
        """What trials are compared by."""
        return self.config.measure

    @property
    def mse_title(self) -> str:
        """Of an axis."""
        unit = self.summary.mse_unit
        title = plain(self.metric.title)
        return _("{title} ({unit})", title=title, unit=plain(unit)) if unit else title

    def of(self, facts: TrialFacts) -> Trial:
        """The whole of a trial that the summary speaks of."""
        return self.by_number[facts.number]

    @cached_property
    def best_constant(self) -> Trial | None:
        """The best trial with a constant rate; None if that is the winner, or there is none."""
        summary = self.summary
        found = summary.constant.trial.number if summary.constant else None
        if summary.confirmation and summary.confirmation.constant:
            found = summary.confirmation.constant.trial
        is_winner = summary.best is not None and summary.best.number == found
        return None if found is None or is_winner else self.by_number[found]

    def best_of_each(self) -> list[Trial]:
        """The best completed trial of each scheduler, the best first."""
        return [self.of(row.best) for row in self.summary.schedulers if row.best]


def gather(study: optuna.Study, config: StudyConfig, folder: Path, top: int = 10) -> Findings:
    """Gather what a study has found so far.

    Args:
        study: Its trials; it may be running, empty, or without a completed trial.
        config: Its settings.
        folder: Its results; files that are not there yet are done without.
        top: How many of the best trials the summary lists.
    """
    reader = StudyReader(study, config)
    summary = summarise(study, config, folder, top, reader)
    ended = [trial for trial in standing_for_themselves(reader.trials) if trial.ending]
    return Findings(
        summary=summary,
        config=config,
        reader=reader,
        trials=tuple(trial for trial in ended if trial.drawn),
        held_out=HeldOut.read(folder) if summary.test else None,
        target=config.data.target or _recorded_target(summary.unit),
    )


def hover(trial: Trial, metric: Metric) -> str:
    """The trial, how it ended and all its parameters, as lines of Plotly's text."""
    schedule, suggestion = trial.schedule, trial.suggestion
    named, scheduler = _("trial {trial}", trial=trial.number), plain(schedule.scheduler)
    lines = [_("{first}, {second}", first=f"<b>{named}</b>", second=scheduler)]
    lines.append(f"{plain(metric.title)} {number(trial.reached)}")
    if trial.ending and trial.ending != Ending.COMPLETED:
        lines[1] += _(
            ", {ending} after {trained}",
            ending=ending_word(trial.ending),
            trained=_("its audition") if trial.failed_audition else counted(trial.epochs, "epoch"),
        )
    lines.append(f"lr {number(schedule.lr)}")
    if schedule.shape is None or schedule.shape.uses_decay:
        lines.append(f"decay {number(schedule.decay)}")
    if schedule.warmup:
        lines.append(_("warm-up {share}", share=percent(schedule.warmup)))
    own = {**schedule.params, "momentum": suggestion.momentum}
    own[_("weight decay")] = suggestion.weight_decay
    for name, value in (*own.items(), *suggestion.params.items()):
        if value is not None:
            shown = number(value) if isinstance(value, float) else str(value)
            lines.append(f"{plain(name)} {plain(shown)}")
    return "<br>".join(lines)


def plain(text: str) -> str:
    """Text that Plotly shows as it is: neither as markup nor as a placeholder."""
    return html.escape(text, quote=False).replace("%{", "&#37;{")


def column(record: TrialRecord, name: str) -> list[float]:
    """A column of a trial's epochs; empty if it was not recorded."""
    if name not in CURVE_COLUMNS:
        return []
    place = CURVE_COLUMNS.index(name)
    values = [row[place] if place < len(row) else math.nan for row in record.curve]
    return values if any(map(math.isfinite, values)) else []


def rate_course(
    schedule: Schedule, record: TrialRecord, total_steps: int | None, epochs: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A schedule's rates over the epochs of its trial.

    Every step where the schedule says its rates; else the first and the last step of each epoch,
    as the trial recorded them.

    Args:
        schedule: Any.
        record: Of a trial with it.
        total_steps: The horizon; None while it is unknown.
        epochs: Of the horizon.

    Returns:
        Epochs passed before each step, and the rates, both (points,).
    """
    if total_steps and schedule.shape and not schedule.shape.per_epoch:
        try:
            rates = schedule.rates(total_steps)
        except ScheduleError:
            pass
        else:
            kept = np.unique(np.linspace(0, total_steps - 1, _MOST_RATES).round().astype(int))
            return kept * (epochs / total_steps), rates[kept]
    first, last = record.column("lr_first"), record.column("lr_last")
    steps = total_steps / epochs if total_steps else 100.0
    at = [e + inside for e in range(len(first)) for inside in (0.0, 1 - 1 / steps)]
    pairs = [rate for pair in zip(first, last, strict=True) for rate in pair]
    return np.array(at), np.array(pairs)


def is_wide(values: Sequence[float] | NDArray[np.float64], ratio: float = 20.0) -> bool:
    """Whether values need a logarithmic axis: the greatest is `ratio` times the median one."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if not len(finite) or finite.min() <= 0:
        return False
    return bool(finite.max() > ratio * np.median(finite))


def _recorded_target(unit: str) -> str:
    """The target's name from the unit of the MSE: `buy` from `log(1 + buy)`."""
    return unit.removeprefix("log(1 + ").removesuffix(")") if unit.startswith("log(1 + ") else unit
