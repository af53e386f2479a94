"""Everything a report says, as facts."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.records import TrialRecord, read_record
from sweep.report.edges import edge_advice
from sweep.report.importance import Importance, importance
from sweep.report.numbers import number, percent
from sweep.results import BEST_SCHEDULE, HeldOutScore, completed, schedule_of, suggestion_of
from sweep.schedules import Schedule
from sweep.space import Space
from sweep.settings import StudyConfig

BASELINE = "constant"
NO_BASELINE = 'no constant-rate trial to compare with; add "constant" to space.scheduler'
_TOO_CLOSE = 0.01
"""A distance below this share may well turn with another seed."""


@dataclass(frozen=True)
class Counts:
    """How the trials stand; those that have ended are one of completed to failed.

    Args:
        asked: Trials that the study is to have in all.
        completed: Trained to their last epoch.
        pruned: Stopped by the pruner.
        diverged: Stopped because a loss or gradient was not finite.
        failed: Raised.
        running: In training, or left there by a run that was interrupted.
    """

    asked: int
    completed: int
    pruned: int
    diverged: int
    failed: int
    running: int

    @property
    def ended(self) -> int:
        """Trials that have ended, in whatever way."""
        return self.completed + self.pruned + self.diverged + self.failed


@dataclass(frozen=True)
class TrialFacts:
    """One completed trial.

    Args:
        number: Its number in the study.
        schedule: What it was trained with.
        val_mse: Its value.
        r2: On the validation rows.
        best_epoch: The epoch, from 1, whose validation MSE counts.
    """

    number: int
    schedule: Schedule
    val_mse: float
    r2: float | None
    best_epoch: int | None


@dataclass(frozen=True)
class Best(TrialFacts):
    """The best trial.

    Args:
        epochs: How many it was trained for.
        torch: Its torch class and arguments; None while the horizon is unknown.
        total_steps: The horizon in optimizer steps; None while it is unknown.
        curve: Rate and MSE over its epochs: lr_first, lr_last, train_mse and val_mse.
        edges: What to widen, a sentence for each range that it lies at the end of.
    """

    epochs: int
    torch: dict[str, Any] | None
    total_steps: int | None
    curve: dict[str, list[float]]
    edges: tuple[str, ...]


@dataclass(frozen=True)
class Rival:
    """A trial that the best one is measured against.

    Args:
        trial: The trial.
        behind: (its MSE - the best MSE) / its MSE: how much lower the best one is; None if its
            MSE is 0.
    """

    trial: TrialFacts
    behind: float | None


@dataclass(frozen=True)
class SchedulerFacts:
    """What one scheduler came to.

    Args:
        name: The scheduler.
        trials: All of them, running ones included.
        completed: Trained to their last epoch.
        pruned: Stopped by the pruner.
        diverged: Stopped because a loss or gradient was not finite.
        failed: Raised.
        best: Its best trial, if any has completed.
        median_val_mse: Over its completed trials.
    """

    name: str
    trials: int
    completed: int
    pruned: int
    diverged: int
    failed: int
    best: TrialFacts | None
    median_val_mse: float | None


@dataclass(frozen=True)
class Summary:
    """What a study found.

    Args:
        study: Its name.
        folder: Its results.
        unit: Of the target; the MSE is in its square.
        epochs: Of a whole trial.
        counts: How the trials stand.
        epochs_trained: By the trials that have ended.
        epochs_saved: Share of those trials' epochs that pruning and divergence cut off.
        worker_secs: Time the workers spent on `epochs_trained`.
        best: The best trial; None if none has completed.
        constant: The best trial with a constant rate; None if none has completed.
        runner_up: The best trial of any other scheduler than the best one's.
        schedulers: What each scheduler came to, the best first.
        top: The best trials, the best first.
        importance: Which parameters mattered.
        test: How the best model does on rows that nothing else has looked at.
    """

    study: str
    folder: Path
    unit: str
    epochs: int
    counts: Counts
    epochs_trained: int
    epochs_saved: float
    worker_secs: float
    best: Best | None
    constant: Rival | None
    runner_up: Rival | None
    schedulers: tuple[SchedulerFacts, ...]
    top: tuple[TrialFacts, ...]
    importance: Importance
    test: HeldOutScore | None

    @property
    def mse_unit(self) -> str:
        """The unit of the MSE, squared: `buy²`, `(log(1 + buy))²`."""
        unit = self.unit
        if not unit:
            return ""
        return f"{unit}²" if unit.isidentifier() else f"({unit})²"

    @property
    def headline(self) -> str:
        """The result in a sentence."""
        if self.best is None:
            return f"no trial has completed yet ({self.counts.ended} have ended)"
        best = self.best
        r2 = "" if best.r2 is None else f" (R² {number(best.r2)})"
        after = "" if best.best_epoch is None else f" after {best.best_epoch} of {self.epochs}"
        epochs = f"{after} epochs" if after else ""
        reached = f"reaches validation MSE {number(best.val_mse)}{r2}{epochs}"
        return f"{best.schedule.describe()} {reached}."

    @property
    def gain(self) -> str:
        """The best schedule against a constant rate, in a sentence."""
        if self.best is None or self.constant is None:
            return NO_BASELINE
        rival = self.constant.trial
        if rival.number == self.best.number:
            return "a constant rate is the best that was found"
        if self.constant.behind is None:
            return "a constant rate is as good"
        return (
            f"{percent(self.constant.behind)} lower MSE than the best constant rate "
            f"(lr {number(rival.schedule.lr)}: {number(rival.val_mse)})"
        )

    @property
    def rivalry(self) -> str:
        """The best schedule against the best one of another scheduler, in a sentence."""
        if self.runner_up is None:
            return "no other scheduler has completed a trial"
        behind = self.runner_up.behind
        distance = "as good" if not behind else f"{percent(behind)} behind"
        close = behind is None or behind < _TOO_CLOSE
        doubt = "; another seed may turn that" if close else ""
        return f"{self.runner_up.trial.schedule.describe()}: {distance}{doubt}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with the sentences; what is not a finite number is None."""
        sentences = {"headline": self.headline, "gain": self.gain, "mse_unit": self.mse_unit}
        described: dict[str, Any] = _jsonable(self) | sentences
        return described


def summarise(study: optuna.Study, config: StudyConfig, folder: Path, top: int = 10) -> Summary:
    """Gather what a study has found so far.

    Args:
        study: Its trials; it may be running, empty, or without a completed trial.
        config: Its settings.
        folder: Its results; files that are not there yet are done without.
        top: How many of the best trials to list.
    """
    trials = study.get_trials(deepcopy=False)
    space = config.search_space
    ranked = [t for t in completed(trials) if math.isfinite(t.values[0])]
    facts = [_trial_facts(trial, space) for trial in ranked]
    written = _read_best(folder)
    best = _best(ranked[0], facts[0], config, _steps_per_epoch(study, written)) if facts else None
    constant = next((f for f in facts if f.schedule.scheduler == BASELINE), None)
    other = next((f for f in facts if f.schedule.scheduler != facts[0].schedule.scheduler), None)
    records = [read_record(trial) for trial in trials if trial.state.is_finished()]
    stopped = [read_record(trial) for trial in trials if trial.state == TrialState.PRUNED]
    saved = sum(config.epochs - len(record.curve) for record in stopped)
    return Summary(
        study=study.study_name,
        folder=folder,
        unit=str(study.user_attrs.get("unit", "")),
        epochs=config.epochs,
        counts=_counts(trials, config.trials),
        epochs_trained=sum(len(record.curve) for record in records),
        epochs_saved=saved / (len(records) * config.epochs) if records else 0.0,
        worker_secs=sum(map(_seconds, records)),
        best=best,
        constant=_rival(constant, best),
        runner_up=_rival(other, best),
        schedulers=_by_scheduler(trials, facts, space),
        top=tuple(facts[:top]),
        importance=importance(study),
        test=_test_score(written, best),
    )


def _trial_facts(trial: FrozenTrial, space: Space) -> TrialFacts:
    attributes = trial.user_attrs
    schedule = schedule_of(trial, space)
    value = float(trial.values[0])
    return TrialFacts(
        trial.number, schedule, value, attributes.get("r2"), attributes.get("best_epoch")
    )


def _best(
    trial: FrozenTrial, facts: TrialFacts, config: StudyConfig, steps_per_epoch: int | None
) -> Best:
    record = read_record(trial)
    suggestion = suggestion_of(trial, config.search_space)
    schedule = suggestion.schedule
    own = {f"{schedule.scheduler}.{name}": value for name, value in schedule.params.items()}
    values = {"lr": schedule.lr, "decay": schedule.decay, "warmup": schedule.warmup, **own}
    total_steps = steps_per_epoch * config.epochs if steps_per_epoch else None
    columns = ("lr_first", "lr_last", "train_mse", "val_mse")
    return Best(
        **{field.name: getattr(facts, field.name) for field in fields(TrialFacts)},
        epochs=len(record.curve),
        torch=schedule.torch_spec(total_steps) if total_steps else None,
        total_steps=total_steps,
        curve={name: record.column(name) for name in columns},
        edges=edge_advice(schedule, {**trial.params, **values}, config.search_space),
    )


def _rival(trial: TrialFacts | None, best: Best | None) -> Rival | None:
    if trial is None or best is None:
        return None
    behind = (trial.val_mse - best.val_mse) / trial.val_mse if trial.val_mse else None
    return Rival(trial, behind)


def _counts(trials: Sequence[FrozenTrial], asked: int) -> Counts:
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    diverged = sum(map(_has_diverged, pruned))

    def count(state: TrialState) -> int:
        return sum(trial.state == state for trial in trials)

    return Counts(
        asked=asked,
        completed=count(TrialState.COMPLETE),
        pruned=len(pruned) - diverged,
        diverged=diverged,
        failed=count(TrialState.FAIL),
        running=count(TrialState.RUNNING),
    )


def _has_diverged(trial: FrozenTrial) -> bool:
    return str(trial.user_attrs.get("reason", "")).startswith("diverged")


def _seconds(record: TrialRecord) -> float:
    return sum(seconds for seconds in record.column("seconds") if math.isfinite(seconds))


def _scheduler_of(trial: FrozenTrial, space: Space) -> str:
    """The scheduler of a trial in whatever state; empty if it never came to have one."""
    fixed = space.schedulers[0] if len(space.schedulers) == 1 else ""
    return str(trial.params.get("scheduler", fixed))


def _by_scheduler(
    trials: Sequence[FrozenTrial], facts: Sequence[TrialFacts], space: Space
) -> tuple[SchedulerFacts, ...]:
    names = [_scheduler_of(trial, space) for trial in trials]
    listed = dict.fromkeys((*space.schedulers, *filter(None, names)))
    rows = []
    for name in listed:
        mine = [trial for trial, scheduler in zip(trials, names, strict=True) if scheduler == name]
        begun = [trial for trial in mine if trial.state != TrialState.WAITING]
        counts = _counts(begun, 0)
        done = [fact for fact in facts if fact.schedule.scheduler == name]
        row = SchedulerFacts(
            name=name,
            trials=len(begun),
            completed=counts.completed,
            pruned=counts.pruned,
            diverged=counts.diverged,
            failed=counts.failed,
            best=done[0] if done else None,
            median_val_mse=statistics.median(f.val_mse for f in done) if done else None,
        )
        rows.append(row)
    return tuple(sorted(rows, key=lambda row: row.best.val_mse if row.best else math.inf))


def _read_best(folder: Path) -> dict[str, Any]:
    """`best_schedule.json`, or nothing while it is not there or not whole."""
    try:
        written = json.loads((folder / BEST_SCHEDULE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}


def _steps_per_epoch(study: optuna.Study, written: dict[str, Any]) -> int | None:
    steps = study.user_attrs.get("steps_per_epoch", written.get("steps_per_epoch"))
    return int(steps) if steps else None


def _test_score(written: dict[str, Any], best: Best | None) -> HeldOutScore | None:
    score = written.get("test")
    if best is None or not isinstance(score, dict) or written.get("trial") != best.number:
        return None
    return HeldOutScore(**score)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.to_dict()
    if is_dataclass(value):
        return {field.name: _jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
