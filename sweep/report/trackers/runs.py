"""A study and its trials in the form that trackers are sent."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna

from sweep.confirm.best_schedule import BestSchedule
from sweep.report.summary import Summary, summarise
from sweep.report.trackers.contract import Epoch, Setting, Study, StudyRun, TrialRun
from sweep.report.writers import to_markdown
from sweep.search.continuation import begun
from sweep.search.tables import beside_metric
from sweep.search.trials import Ending, StudyReader, Trial
from sweep.study.locations import SAVED_STUDY
from sweep.study.results_folder import (
    BEST_CODE,
    BEST_MODEL,
    BEST_SCHEDULE,
    CONFIRM,
    EPOCHS,
    PREDICTIONS,
    REPORT,
    RESULTS,
)
from sweep.study.settings import StudyConfig
from sweep.training.record import CURVE_COLUMNS

_WINNER_FILES = (BEST_SCHEDULE, BEST_CODE, BEST_MODEL, PREDICTIONS)
_STUDY_FILES = (SAVED_STUDY, RESULTS, EPOCHS, CONFIRM, REPORT)

_NAMES = {"lr_first": "lr/first", "lr_last": "lr/last", "seconds": "epoch_secs"}
"""What trackers call columns of a trial's course that are no values of the metric."""


def tracked_study(reader: StudyReader) -> Study:
    """A study, as far as it is known before it has run.

    Args:
        reader: Reads it.
    """
    config = reader.config
    when = begun(reader.study) or _first_start(reader.every_trial)
    started = _seconds(datetime.fromisoformat(when)) if when else time.time()
    return Study(
        name=reader.name,
        id=hashlib.sha256(f"{reader.name}\n{when}".encode()).hexdigest()[:8],
        begun=started,
        settings={
            name: _setting(value)
            for name, value in config.comparable().items()
            if value is not None
        },
        metric=config.measure.name,
        maximize=config.measure.maximize,
    )


def trial_run(trial: Trial, config: StudyConfig) -> TrialRun:
    """A trial that has ended, as a run.

    Args:
        trial: It; what it is trained with has been drawn.
        config: The study's settings.
    """
    started = trial.started or trial.finished or datetime.now()
    finished = trial.finished or started
    tags = {
        "trial": str(trial.number),
        "ending": str(trial.ending),
        "reason": trial.reason,
        "baseline": trial.baseline,
        "completes_trial": "" if trial.completes is None else str(trial.completes),
        "objective": config.objective,
        "metric": config.measure.name,
        "discarded": "true" if trial.is_excluded else "",
        "direction": "maximize" if config.measure.maximize else "minimize",
    }
    if source := trial.carried_from:
        tags["warm_start"] = f"{source.study}, trial {source.trial}"
    return TrialRun(
        number=trial.number,
        description=trial.suggestion.describe(),
        ending=str(trial.ending),
        params=_params(trial, config),
        tags={name: text for name, text in tags.items() if text},
        epochs=_epochs(trial, config, _seconds(started), _seconds(finished)),
        results=_results(trial, config),
        started=_seconds(started),
        finished=_seconds(finished),
    )


def study_run(study: optuna.Study, reader: StudyReader, folder: Path) -> StudyRun:
    """What a study has found so far, as a run.

    Args:
        study: Its trials.
        reader: Reads it.
        folder: Its results; files that are not there yet are done without.
    """
    config = reader.config
    summary = summarise(study, config, folder, reader=reader)
    written, _ = BestSchedule.if_valid(folder)
    best = summary.best
    discarded = tuple(trial.number for trial in reader.excluded)
    return StudyRun(
        at=time.time(),
        trials=summary.counts.endings.ended,
        results=_finite(_found(summary)),
        tags={
            "trials": str(summary.counts.endings.ended),
            "headline": summary.headline,
            **({"winner": str(best.number), "schedule": best.description} if best else {}),
            "discarded": ", ".join(map(str, discarded)) or "none",
        },
        course=tuple(_course(reader.trials, config)),
        report=to_markdown(summary),
        code=written.to_code() if written else "",
        winner=best.number if best else None,
        winner_files=_there(folder, _WINNER_FILES) if _is_of(written, best) else (),
        files=_there(folder, _STUDY_FILES),
        discarded=discarded,
    )


def _is_of(written: BestSchedule | None, best: Any) -> bool:
    """Whether the files of a winner are those of this one, and not of one before it."""
    return written is not None and best is not None and written.trial == best.number


def _there(folder: Path, names: Iterable[str]) -> tuple[Path, ...]:
    return tuple((folder / name).absolute() for name in names if (folder / name).is_file())


def _params(trial: Trial, config: StudyConfig) -> dict[str, Setting]:
    """What a trial was trained with; what its schedule makes no use of is left out."""
    suggestion, schedule = trial.suggestion, trial.schedule
    shape = schedule.shape
    found: dict[str, Any] = {"scheduler": schedule.scheduler, "lr": schedule.lr}
    if shape is None or shape.uses_decay:
        found["decay"] = schedule.decay
    if shape is None or shape.uses_warmup:
        found["warmup"] = schedule.warmup
    found |= {f"{schedule.scheduler}.{name}": v for name, v in schedule.params.items()}
    if config.own_code is None:
        own = config.optimizer.of(suggestion.params)
        found |= {"optimizer": own.names[0], "batch_size": own.batch_sizes[0]}
        found |= {name: own.arguments.get(name) for name in ("momentum", "weight_decay")}
    beside = {"momentum": suggestion.momentum, "weight_decay": suggestion.weight_decay}
    found |= {name: value for name, value in beside.items() if value is not None}
    found |= {**suggestion.params, "epochs": config.epochs, "seed": trial.seed}
    return {name: _setting(value) for name, value in found.items() if value is not None}


def _setting(value: Any) -> Setting:
    return value if isinstance(value, float | int | str | bool) else str(value)


def _results(trial: Trial, config: StudyConfig) -> dict[str, float]:
    """What a trial came to at the epoch that counts, as `results.csv` has it."""
    metric = config.measure
    audition = trial.audition
    found: dict[str, float | None] = {
        metric.name: trial.reached,
        "val_r2": trial.r2,
        f"final_{metric.name}": trial.final_value,
        metric.train_name: trial.train_value,
        "best_epoch": trial.best_epoch,
        "epochs_run": trial.epochs,
        f"audition_{metric.name}": audition.value if audition else None,
        "duration_secs": trial.duration_secs,
    }
    return _finite(beside_metric(trial.record, config) | found)


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """Those that are numbers."""
    return {n: float(v) for n, v in values.items() if v is not None and math.isfinite(v)}


def _epochs(
    trial: Trial, config: StudyConfig, started: float, finished: float
) -> tuple[Epoch, ...]:
    """A trial's course; its audition is beside it, under names of its own."""
    record, audition = trial.record, trial.audition
    named = {n: _NAMES.get(n, config.measure.named(n)) for n in CURVE_COLUMNS}
    values: dict[int, dict[str, float]] = {}
    for prefix, curve in (("", record.curve), ("audition/", audition.curve if audition else ())):
        for number, row in enumerate(curve, start=1):
            told = zip(named.values(), row, strict=False)
            values.setdefault(number, {}).update({f"{prefix}{name}": v for name, v in told})
    for name, column in record.metrics.items():
        free = name if name not in named.values() else f"metrics.{name}"
        for number, value in enumerate(column, start=1):
            values.setdefault(number, {})[free] = value
    # what an epoch took is not known of all trainings, and of many at once means little
    last = max(values, default=1)
    between = (finished - started) / last
    return tuple(
        Epoch(n, started + between * n, {k: v for k, v in told.items() if not math.isnan(v)})
        for n, told in sorted(values.items())
    )


def _found(summary: Summary) -> dict[str, float | None]:
    """What a study has come to, in numbers."""
    metric, best, confirmation = summary.metric, summary.best, summary.confirmation
    found: dict[str, float | None] = {
        **{f"trials_{name}": count for name, count in vars(summary.counts.endings).items()},
        "epochs_trained": summary.epochs_trained,
        "worker_secs": summary.worker_secs,
    }
    if best:
        found |= {f"best_{metric.name}": best.value, "best_lr": best.schedule.lr}
    if summary.constant:
        found[f"best_constant_{metric.name}"] = summary.constant.trial.value
    if confirmation:
        interval = confirmation.winner.interval
        found |= {f"confirmed_{metric.name}": interval.mean, "confirmed_seeds": interval.count}
        found |= {f"confirmed_{metric.name}_low": interval.low}
        found |= {f"confirmed_{metric.name}_high": interval.high}
    if summary.test:
        numbers = {"mse": summary.test.mse, "r2": summary.test.r2, **summary.test.others}
        found |= {f"test_{name}": value for name, value in numbers.items()}
    return found


def _course(trials: Iterable[Trial], config: StudyConfig) -> Iterator[Epoch]:
    """The best value after each completed trial."""
    metric, best = config.measure, None
    for trial in trials:
        if trial.ending != Ending.COMPLETED or not trial.is_finite or trial.finished is None:
            continue
        if best is None or metric.is_better(trial.result, best):
            best = trial.result
        yield Epoch(trial.number, _seconds(trial.finished), {f"best_{metric.name}": best})


def _first_start(trials: Iterable[Trial]) -> str:
    """When the first of the trials was begun, whatever became of it; empty if none was."""
    first = min((trial.started for trial in trials if trial.started), default=None)
    return first.isoformat() if first else ""


def _seconds(when: datetime) -> float:
    return when.timestamp()
