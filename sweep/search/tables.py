"""What a study leaves on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sweep.base.csv_cells import frame_from_csv, frame_to_csv
from sweep.base.files import write_whole
from sweep.search.trials import Ending, Trial
from sweep.study.fields.dimensions import default_own_dimensions
from sweep.study.results_folder import EPOCHS, RESULTS
from sweep.study.settings import StudyConfig
from sweep.training.record import CURVE_COLUMNS, TrialRecord

_STATES = {
    Ending.COMPLETED: "COMPLETE",
    Ending.PRUNED: "PRUNED",
    Ending.DIVERGED: "PRUNED",
    Ending.FAILED: "FAIL",
}
"""How the table names endings: in Optuna's words, with the reason beside them."""


def results_frame(trials: Sequence[Trial], config: StudyConfig) -> pd.DataFrame:
    """A row for each trial that has ended.

    Args:
        trials: Of the study, those included that count for nothing.
        config: Its settings.

    Returns:
        number, state, scheduler, lr, decay, warmup, the schedules' own parameters, momentum and
        weight_decay where searched, parameters of the user's own, val_mse, of a model on a table
        val_r2, best_epoch, final_val_mse, train_mse, epochs_run, without those of its audition,
        audition_val_mse, what that came to, reason, lr_final, seed, started, finished, duration
        (seconds), completes, the number of the pruned trial that it trains to its end, baseline,
        what the user calls it if it is a schedule to compare with, discarded, whether it counts for
        nothing, and torch, the torch class and its arguments as JSON. Where the metric is not
        val_mse, its name stands in these names. At the end what a model on a table came to beside
        it, such as val_accuracy.
    """
    space = config.search_space
    beside = {trial.number: beside_metric(trial.record, config) for trial in trials}
    rows = [_row(t, t.ending) | beside[t.number] for t in trials if t.ending]
    own = dict(space.own)  # and those of schedulers that are compared with, but not searched
    for trial in trials:
        if trial.is_outside:
            own = default_own_dimensions(trial.scheduler) | own
    searched = [name for name in space.shared if name not in ("lr", "decay", "warmup")]
    columns = [
        *("number", "state", "scheduler", "lr", "decay", "warmup", *own, *searched),
        *("value", *(["val_r2"] if config.has_r2 else [])),
        *("best_epoch", "final_value", "training", "epochs_run"),
        *("audition_value", "reason", "lr_final", "seed", "started", "finished", "duration"),
        *("completes", "baseline", "discarded", "torch"),
        *dict.fromkeys(name for told in beside.values() for name in told),
    ]
    frame = pd.DataFrame(rows, columns=columns)
    integers = ["best_epoch", "completes"]
    integers += [name for name, dimension in own.items() if dimension.integer]
    types = {"discarded": "bool"} | dict.fromkeys(integers, "Int64")
    return frame.astype(types).rename(columns=config.measure.named)


def _row(trial: Trial, ending: Ending) -> dict[str, Any]:
    suggestion, schedule = trial.suggestion, trial.schedule
    return {
        "number": trial.number,
        "state": _STATES[ending],
        "scheduler": schedule.scheduler,
        "lr": schedule.lr,
        "decay": schedule.decay,
        "warmup": schedule.warmup,
        **{f"{schedule.scheduler}.{name}": value for name, value in schedule.params.items()},
        "momentum": suggestion.momentum,
        "weight_decay": suggestion.weight_decay,
        **suggestion.params,
        "value": trial.reached,
        "val_r2": trial.r2,
        "best_epoch": trial.best_epoch,
        "final_value": trial.final_value,
        "training": trial.train_value,
        "epochs_run": trial.epochs,
        "audition_value": _audition_value(trial),
        "reason": trial.reason,
        "lr_final": trial.final_lr,
        "seed": trial.seed,
        "started": trial.started,
        "finished": trial.finished,
        "duration": trial.duration_secs,
        "completes": trial.completes,
        "baseline": trial.baseline,
        "discarded": trial.is_excluded,
        "torch": json.dumps(schedule.torch_spec(trial.horizon)) if trial.horizon else None,
    }


def beside_metric(record: TrialRecord, config: StudyConfig) -> dict[str, float]:
    """What a model on a table came to beside the metric, at the epoch that counts, by name.

    It is that of the weights whose metric counts: of the averaged ones with that objective.
    """
    epoch = record.best_epoch(config.objective, config.measure)
    if config.own_code is not None or epoch is None:
        return {}
    averaged = config.objective == "averaged"
    return {
        name: column[epoch - 1]
        for name, column in record.metrics.items()
        if name.startswith("averaged_") == averaged
    }


def _audition_value(trial: Trial) -> float:
    """What a trial's audition came to; NaN if it has had none, or that came to nothing."""
    value = trial.audition.value if trial.audition else None
    return math.nan if value is None else value


def epochs_frame(trials: Sequence[Trial], config: StudyConfig) -> pd.DataFrame:
    """A row for each epoch, from 1, of each trial that has ended, its audition first.

    `horizon` is that of the training, in epochs: fewer than the study's in an audition. Behind the
    columns that are always there, one for each number that was told beside the metric, such as the
    accuracy; `metrics.<name>` where the name is taken.
    """
    ended = [trial for trial in trials if trial.ending]
    told = dict.fromkeys(name for trial in ended for name in trial.record.metrics)
    columns = ["number", "horizon", "epoch", *map(config.measure.named, CURVE_COLUMNS)]
    rows: list[tuple[float, ...]] = []
    for trial in ended:
        if trial.audition:
            rows += [
                (trial.number, trial.audition.epochs, epoch, *values, *(math.nan for _ in told))
                for epoch, values in enumerate(trial.audition.curve, start=1)
            ]
        rows += [
            (trial.number, config.epochs, epoch, *values, *(_told(trial, n, epoch) for n in told))
            for epoch, values in enumerate(trial.record.curve, start=1)
        ]
    more = [f"metrics.{name}" if name in columns else name for name in told]
    return pd.DataFrame(rows, columns=[*columns, *more])


def _told(trial: Trial, name: str, epoch: int) -> float:
    column = trial.record.metrics.get(name)
    return math.nan if column is None else column[epoch - 1]


def read_results(folder: Path) -> pd.DataFrame:
    """`results.csv` with its types: times as datetimes, whole numbers as whole numbers."""
    frame = frame_from_csv(folder / RESULTS, parse_dates=["started", "finished"])
    names = [str(name) for name in frame]
    own = {name: default_own_dimensions(name.partition(".")[0]).get(name) for name in names}
    whole = [
        "best_epoch",
        "completes",
        *(name for name, dimension in own.items() if dimension and dimension.integer),
    ]
    for name in ("reason", "baseline"):
        frame[name] = frame[name].astype("str").fillna("")
    return frame.astype(dict.fromkeys(whole, "Int64"))


def write_tables(folder: Path, trials: Sequence[Trial], config: StudyConfig) -> None:
    """Rewrite `results.csv` and `epochs.csv`."""
    write_whole(folder / RESULTS, frame_to_csv(results_frame(trials, config)))
    write_whole(folder / EPOCHS, frame_to_csv(epochs_frame(trials, config)))
