"""A trial in our words, made once from Optuna's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.schedules.schedule import Schedule
from sweep.search.attributes import (
    ADVICE,
    TOTAL_STEPS,
    TRACEBACK,
    completes,
    has_diverged,
    number,
    read_record,
    table,
    text,
    texts,
    whole_number,
)
from sweep.search.origins import (
    BASELINE,
    SOURCE,
    CarriedFrom,
    Source,
    given_parameters,
    given_suggestion,
)
from sweep.search.storage.opening import ROWS, SETTINGS
from sweep.search.storage.optuna_private import excluded_trials
from sweep.study.metric import Metric
from sweep.study.settings import StudyConfig
from sweep.study.space import Suggestion, Value
from sweep.training.record import Audition, TrialRecord


class Ending(StrEnum):
    """How a trial has ended."""

    COMPLETED = "completed"
    """Trained to its last epoch."""
    PRUNED = "pruned"
    """Stopped early by the pruner."""
    DIVERGED = "diverged"
    """Stopped because a loss or gradient was not finite."""
    FAILED = "failed"
    """Raised."""


@dataclass(frozen=True)
class EndingCounts:
    """How many trials have ended in each way; the fields are named as `Ending`."""

    completed: int = 0
    pruned: int = 0
    diverged: int = 0
    failed: int = 0

    @classmethod
    def of(cls, endings: Iterable[Ending | None]) -> EndingCounts:
        """Counted; None is of a trial that has not ended."""
        found = Counter(endings)
        return cls(**{str(ending): found[ending] for ending in Ending})

    @property
    def ended(self) -> int:
        """Trials that have ended, in whatever way."""
        return self.completed + self.pruned + self.diverged + self.failed


@dataclass(frozen=True)
class Trial:
    """A trial of a study.

    Args:
        number: In the study, from 0.
        ending: How it has ended; None while it waits or trains.
        is_waiting: Whether nobody has begun to train it.
        scheduler: Its schedule's name; empty as long as none is drawn.
        drawn: What it is trained with; None as long as it is not drawn.
        parameters: The dimensions that were searched, by name, as they were drawn.
        enqueued: Those that were given instead of drawn.
        value: What it came to: the metric at the epoch that counts. None for one that has not
            completed: the last report of one that was stopped early is no value.
        reached: The same of whatever it was trained for, also if it was stopped; None without any.
        record: Its course; an empty one as long as it has not ended.
        reports: What the pruner was told, by epoch.
        r2: Of the validation rows at the epoch that counts, where there is one.
        best_epoch: That epoch, from 1.
        final_value: The metric at the last epoch.
        train_value: What it is on the training rows at the epoch that counts.
        final_lr: The rate of the last step.
        horizon: Optimizer steps from its first to its last epoch; None while nobody knows.
        started: When it was begun.
        finished: When it ended.
        completes: The number of the pruned trial that it trains to its end; None for all others.
        carried_from: Where it was trained before.
        baseline: What the user calls it, if it is a schedule to compare with; else empty.
        advice: What is wrong with its steps and rates, where the user's own code has trained it, a
            sentence each.
        traceback: Of what it raised; empty if it has not.
        is_excluded: Whether it counts for nothing: the user has discarded it, or left it out.
    """

    number: int
    ending: Ending | None
    is_waiting: bool
    scheduler: str
    drawn: Suggestion | None
    parameters: Mapping[str, Value]
    enqueued: Mapping[str, Value]
    value: float | None
    reached: float | None
    record: TrialRecord
    reports: Mapping[int, float]
    r2: float | None
    best_epoch: int | None
    final_value: float | None
    train_value: float | None
    final_lr: float | None
    horizon: int | None
    started: datetime | None
    finished: datetime | None
    completes: int | None
    carried_from: CarriedFrom | None
    baseline: str = ""
    advice: tuple[str, ...] = ()
    traceback: str = ""
    is_excluded: bool = False

    @property
    def result(self) -> float:
        """`value`, of a trial that has completed.

        Raises:
            ValueError: It has not.
        """
        if self.value is None:
            raise ValueError(f"trial {self.number} has not completed")
        return self.value

    @property
    def suggestion(self) -> Suggestion:
        """What it is trained with.

        Raises:
            ValueError: That is not drawn yet.
        """
        if self.drawn is None:
            raise ValueError(f"trial {self.number} has not drawn its parameters")
        return self.drawn

    @property
    def schedule(self) -> Schedule:
        """The schedule that it is trained with."""
        return self.suggestion.schedule

    @property
    def seed(self) -> int:
        """What it was trained from."""
        return self.record.seed

    @property
    def reason(self) -> str:
        """Why it ended early or failed; empty for all others."""
        return self.record.reason

    @property
    def epochs(self) -> int:
        """How many it was trained for, without its audition."""
        return len(self.record.curve)

    @property
    def audition(self) -> Audition | None:
        """What it was trained for before, over a shorter horizon; None if it was not."""
        return self.record.audition

    @property
    def epochs_spent(self) -> int:
        """How many it was trained for in all, its audition counted in."""
        return self.epochs + (len(self.audition.curve) if self.audition else 0)

    @property
    def failed_audition(self) -> bool:
        """Whether it was pruned by its audition, and trained no further."""
        return self.ending == Ending.PRUNED and self.audition is not None and not self.epochs

    @property
    def duration_secs(self) -> float | None:
        """Seconds from its beginning to its end; None as long as it has not ended."""
        if self.started is None or self.finished is None:
            return None
        return (self.finished - self.started).total_seconds()

    @property
    def last_report(self) -> float | None:
        """What the pruner was told last; None if nothing."""
        return self.reports[max(self.reports)] if self.reports else None

    @property
    def is_outside(self) -> bool:
        """Whether it is a schedule to compare with, and at no point of the study's space."""
        return bool(self.baseline) and not self.enqueued

    @property
    def is_finite(self) -> bool:
        """Whether it has completed, and came to a number."""
        return self.value is not None and math.isfinite(self.value)


class StudyReader:
    """A study of Optuna's in our words; a trial that has ended is converted once.

    Args:
        study: The study.
        config: Its settings.
    """

    def __init__(self, study: optuna.Study, config: StudyConfig) -> None:
        self.study = study
        self.config = config
        self._space = config.search_space
        dimensions = self._space.dimensions()
        self._fixed = {n: d.points(1)[0] for n, d in dimensions.items() if d.fixed}
        self._ended: dict[int, Trial] = {}

    @property
    def name(self) -> str:
        """The study's."""
        return self.study.study_name

    @property
    def trials(self) -> list[Trial]:
        """All of them that count, by number."""
        return [self.trial(frozen) for frozen in self.study.get_trials(deepcopy=False)]

    @property
    def excluded(self) -> list[Trial]:
        """Those that have ended and count for nothing but what they have cost, by number."""
        return [replace(self.trial(t), is_excluded=True) for t in excluded_trials(self.study)]

    @property
    def every_trial(self) -> list[Trial]:
        """All, whether they count or not, by number."""
        return sorted([*self.trials, *self.excluded], key=lambda trial: trial.number)

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimizer steps in one pass over the training rows; None if only a loop knows."""
        return whole_number(self._said_of_rows, "steps_per_epoch") or None

    @cached_property
    def _said_of_rows(self) -> Mapping[str, object]:
        """What is written of a study's rows before its first trial: a question to a database."""
        return self.study.user_attrs

    @property
    def unit(self) -> str:
        """The target's unit; empty where there is none."""
        return text(self.study.user_attrs, "unit")

    @property
    def rows(self) -> str | None:
        """The fingerprint of the rows that its trials are trained on, where there are any."""
        return text(table(self.study.user_attrs, SETTINGS), ROWS) or None

    @property
    def source(self) -> Source | None:
        """The study that its first trials come from; None if they are its own."""
        return Source.read(self.study.user_attrs)

    def begin_with(self, source: Source) -> None:
        """Write down where its first trials come from."""
        self.study.set_user_attr(SOURCE, vars(source))

    def trial(self, frozen: FrozenTrial) -> Trial:
        """One of its trials."""
        known = self._ended.get(frozen.number)
        if known is None or known.finished != frozen.datetime_complete:  # another run has ended it
            known = self._converted(frozen)
            if known.ending is not None:
                self._ended[frozen.number] = known
        return known

    def _converted(self, frozen: FrozenTrial) -> Trial:
        attributes, metric = frozen.user_attrs, self.config.measure
        record = read_record(frozen)
        suggestion = self._suggestion(frozen)
        is_complete = frozen.state == TrialState.COMPLETE
        return Trial(
            number=frozen.number,
            ending=_ending(frozen),
            is_waiting=frozen.state == TrialState.WAITING,
            scheduler=self._scheduler(frozen, suggestion),
            drawn=suggestion,
            parameters=frozen.params,
            enqueued=given_parameters(frozen),
            value=float(frozen.values[0]) if is_complete else None,
            reached=record.value(self.config.objective, metric),
            record=record,
            reports=frozen.intermediate_values,
            r2=number(attributes, "r2"),
            best_epoch=whole_number(attributes, "best_epoch"),
            final_value=number(attributes, f"final_{metric.name}"),
            train_value=number(attributes, metric.train_name),
            final_lr=number(attributes, "lr_final"),
            horizon=self._horizon(frozen, suggestion),
            started=frozen.datetime_start,
            finished=frozen.datetime_complete,
            completes=completes(frozen),
            carried_from=CarriedFrom.read(attributes),
            baseline=text(attributes, BASELINE),
            advice=texts(attributes, ADVICE),
            traceback=text(attributes, TRACEBACK),
        )

    def _scheduler(self, frozen: FrozenTrial, suggestion: Suggestion | None) -> str:
        if suggestion:
            return suggestion.schedule.scheduler
        return str(frozen.params.get("scheduler", self._fixed.get("scheduler", "")))

    def _suggestion(self, frozen: FrozenTrial) -> Suggestion | None:
        if given := given_suggestion(frozen):
            return given
        values = {**self._fixed, **frozen.params}
        if "scheduler" not in values:
            return None
        scheduler = str(values["scheduler"])
        needed = self._space.dimensions_of(scheduler).keys() - self._space.ignored_by(scheduler)
        return self._space.suggestion(values) if needed <= values.keys() else None

    def _horizon(self, frozen: FrozenTrial, suggestion: Suggestion | None) -> int | None:
        rows = whole_number(self._said_of_rows, "training_rows")
        if rows and suggestion:  # of batches of its own
            size = self.config.optimizer.of(suggestion.params).batch_sizes[0]
            return self.config.epochs * (1 if size == "full" else -(-rows // size))
        steps = (self.steps_per_epoch or 0) * self.config.epochs
        return steps or whole_number(frozen.user_attrs, TOTAL_STEPS) or None


def _ending(frozen: FrozenTrial) -> Ending | None:
    if frozen.state == TrialState.PRUNED:
        return Ending.DIVERGED if has_diverged(frozen) else Ending.PRUNED
    endings = {TrialState.COMPLETE: Ending.COMPLETED, TrialState.FAIL: Ending.FAILED}
    return endings.get(frozen.state)


def drawn(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that count towards a study's total: those that train no other to its end."""
    return [trial for trial in trials if trial.completes is None]


def standing_for_themselves(trials: Iterable[Trial]) -> list[Trial]:
    """Each drawn trial once: one that has been trained to its end since as that, the rest as drawn.

    Of a pruned trial and the one that completes it, the second has taken the first one's place when
    it has ended, and is left out before.
    """
    trials = list(trials)
    ended = {trial.completes for trial in trials if trial.ending} - {None}
    return [
        trial
        for trial in trials
        if trial.number not in ended and (trial.completes is None or trial.ending)
    ]


def completed(trials: Iterable[Trial], metric: Metric) -> list[Trial]:
    """The trials trained to their last epoch, best first; of equal ones, the earlier trial."""
    done = (trial for trial in trials if trial.ending == Ending.COMPLETED)
    return sorted(done, key=lambda trial: metric.rank(trial.result, trial.number))


def standing(trials: Sequence[Trial], metric: Metric) -> list[Trial]:
    """The completed trials, best first, then the pruned ones, those that came furthest first.

    Of pruned trials that came as far, the one with the best last report is first; those that
    diverged are left out, and those that another trial has trained to its end.
    """
    stopped = [
        trial
        for trial in standing_for_themselves(trials)
        if trial.ending == Ending.PRUNED and trial.reports
    ]

    def progress(trial: Trial) -> tuple[int, tuple[float, int]]:
        last = max(trial.reports)
        return -last, metric.rank(trial.reports[last], trial.number)

    return completed(trials, metric) + sorted(stopped, key=progress)
