"""What a study leaves on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from sweep.base.csv_cells import frame_from_csv, frame_to_csv
from sweep.base.files import write_whole
from sweep.search.attributes import number, whole_number
from sweep.search.completion import completes
from sweep.search.trial_records import read_record
from sweep.search.trials import horizon_of, suggestion_of
from sweep.study.metric import MSE, Metric
from sweep.study.results_folder import EPOCHS, RESULTS
from sweep.study.settings import StudyConfig
from sweep.study.space import Space, default_own_dimensions
from sweep.training.record import CURVE_COLUMNS


def results_frame(
    trials: Sequence[FrozenTrial], config: StudyConfig, steps_per_epoch: int | None
) -> pd.DataFrame:
    """A row for each trial that has ended.

    Args:
        trials: Of the study.
        config: Its settings.
        steps_per_epoch: Optimizer steps in an epoch, for the torch class's arguments; None if
            each trial says it itself.

    Returns:
        number, state, scheduler, lr, decay, warmup, the schedules' own parameters, momentum and
        weight_decay where searched, val_mse, val_r2, best_epoch, final_val_mse, train_mse,
        epochs_run, reason, lr_final, seed, started, finished, duration (seconds), completes, the
        number of the pruned trial that it trains to its end, and torch, the torch class and its
        arguments as JSON. Where the metric is not val_mse, its name stands in these names.
    """
    space = config.search_space
    horizon = steps_per_epoch and steps_per_epoch * config.epochs
    ended = [trial for trial in trials if trial.state.is_finished()]
    rows = [_row(trial, config, space, horizon) for trial in ended]
    searched = [name for name in ("momentum", "weight_decay") if name in space.shared]
    columns = [
        *("number", "state", "scheduler", "lr", "decay", "warmup", *space.own, *searched),
        *("val_mse", "val_r2", "best_epoch", "final_val_mse", "train_mse", "epochs_run"),
        *("reason", "lr_final", "seed", "started", "finished", "duration", "completes", "torch"),
    ]
    frame = pd.DataFrame(rows, columns=columns)
    integers = ["best_epoch", "completes"]
    integers += [n for n, d in space.own.items() if getattr(d, "integer", False)]
    return frame.astype({name: "Int64" for name in integers}).rename(columns=config.measure.named)


def _row(
    trial: FrozenTrial, config: StudyConfig, space: Space, horizon: int | None
) -> dict[str, Any]:
    record = read_record(trial)
    attributes = trial.user_attrs
    suggestion = suggestion_of(trial, space)
    schedule = suggestion.schedule
    steps = horizon_of(trial, horizon)
    return {
        "number": trial.number,
        "state": trial.state.name,
        "scheduler": schedule.scheduler,
        "lr": schedule.lr,
        "decay": schedule.decay,
        "warmup": schedule.warmup,
        **{f"{schedule.scheduler}.{name}": value for name, value in schedule.params.items()},
        "momentum": suggestion.momentum,
        "weight_decay": suggestion.weight_decay,
        "val_mse": record.val_mse(config.objective, config.measure),
        "val_r2": number(attributes, "r2"),
        "best_epoch": whole_number(attributes, "best_epoch"),
        "final_val_mse": number(attributes, f"final_{config.measure.name}"),
        "train_mse": number(attributes, config.measure.train_name),
        "epochs_run": len(record.curve),
        "reason": record.reason,
        "lr_final": number(attributes, "lr_final"),
        "seed": record.seed,
        "started": trial.datetime_start,
        "finished": trial.datetime_complete,
        "duration": trial.duration.total_seconds() if trial.duration else None,
        "completes": completes(trial),
        "torch": json.dumps(schedule.torch_spec(steps)) if steps else None,
    }


def epochs_frame(trials: Sequence[FrozenTrial], metric: Metric = MSE) -> pd.DataFrame:
    """A row for each epoch, from 1, of each trial that has ended."""
    rows = [
        (trial.number, epoch, *values)
        for trial in trials
        if trial.state.is_finished()
        for epoch, values in enumerate(read_record(trial).curve, start=1)
    ]
    return pd.DataFrame(rows, columns=["number", "epoch", *map(metric.named, CURVE_COLUMNS)])


def read_results(folder: Path) -> pd.DataFrame:
    """`results.csv` with its types: times as datetimes, whole numbers as whole numbers."""
    frame = frame_from_csv(folder / RESULTS, parse_dates=["started", "finished"])
    names = [str(name) for name in frame]
    own = {name: default_own_dimensions(name.partition(".")[0]).get(name) for name in names}
    whole = [
        "best_epoch",
        "completes",
        *(name for name, d in own.items() if getattr(d, "integer", False)),
    ]
    frame["reason"] = frame["reason"].astype("str").fillna("")
    return frame.astype(dict.fromkeys(whole, "Int64"))


def write_tables(
    folder: Path, trials: Sequence[FrozenTrial], config: StudyConfig, steps_per_epoch: int | None
) -> None:
    """Rewrite `results.csv` and `epochs.csv` from the storage's trials."""
    results = results_frame(trials, config, steps_per_epoch)
    write_whole(folder / RESULTS, frame_to_csv(results))
    write_whole(folder / EPOCHS, frame_to_csv(epochs_frame(trials, config.measure)))
