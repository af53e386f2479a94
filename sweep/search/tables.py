"""What a study leaves on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from sweep.base.csv_cells import frame_from_csv, frame_to_csv
from sweep.base.errors import InputError, did_you_mean
from sweep.base.files import write_whole
from sweep.confirm.best_schedule import BEST_SCHEDULE, BestSchedule, HeldOutScore
from sweep.confirm.verdict import Confirmation
from sweep.data.dataset import Dataset
from sweep.schedules.schedule import Schedule
from sweep.search.completion import completes, standing_for_themselves
from sweep.search.context import Sweep
from sweep.search.divergence import has_diverged
from sweep.study.metric import MSE, Metric
from sweep.study.settings import StudyConfig
from sweep.study.space import Space, Suggestion, default_own_dimensions
from sweep.training.record import CURVE_COLUMNS, read_record

RESULTS = "results.csv"
EPOCHS = "epochs.csv"
BEST_CODE = "best_schedule.py"
BEST_MODEL = "best_model.pt"
PREDICTIONS = "predictions.csv"
CONFIRM = "confirm.csv"
AUDIT = "audit.csv"
REPORT = "report.html"
ARTIFACTS = "artifacts"
"""A folder of files for optuna-dashboard."""
FILES = (
    *(RESULTS, EPOCHS, BEST_SCHEDULE, BEST_CODE, BEST_MODEL, PREDICTIONS, CONFIRM, AUDIT),
    REPORT,
)
"""All of them, but the settings and the storage."""
CHECKPOINTS = "checkpoints"
"""A folder: the states of trials in flight, where a loop of the user's own yields them."""


def suggestion_of(trial: FrozenTrial, space: Space) -> Suggestion:
    """What a trial was trained with; fixed parameters are the space's."""
    fixed = {n: d.points(1)[0] for n, d in space.dimensions().items() if d.fixed}
    return space.suggestion({**fixed, **trial.params})


def schedule_of(trial: FrozenTrial, space: Space) -> Schedule:
    """The schedule that a trial was trained with."""
    return suggestion_of(trial, space).schedule


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
        "val_r2": attributes.get("r2"),
        "best_epoch": attributes.get("best_epoch"),
        "final_val_mse": attributes.get(f"final_{config.measure.name}"),
        "train_mse": attributes.get(config.measure.train_name),
        "epochs_run": len(record.curve),
        "reason": record.reason,
        "lr_final": attributes.get("lr_final"),
        "seed": record.seed,
        "started": trial.datetime_start,
        "finished": trial.datetime_complete,
        "duration": trial.duration.total_seconds() if trial.duration else None,
        "completes": completes(trial),
        "torch": json.dumps(schedule.torch_spec(steps)) if steps else None,
    }


def horizon_of(trial: FrozenTrial, horizon: int | None) -> int | None:
    """A trial's optimizer steps: those of the study, or what the trial's own loop told."""
    return horizon or trial.user_attrs.get("total_steps")


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


def write_predictions(
    folder: Path, data: Dataset, prediction: npt.NDArray[np.float32]
) -> HeldOutScore:
    """Write `predictions.csv`, a row for each test row, and score it.

    Args:
        folder: The results folder.
        data: The study's data.
        prediction: For the test rows, standardised, (rows,).

    Returns:
        The score in the unit of the validation MSE; the file has the target's own unit, also
        where the study takes its logarithm.
    """
    truth = data.y_test.astype(np.float64) * data.target_scale + data.target_mean
    predicted = prediction.astype(np.float64) * data.target_scale + data.target_mean
    mse = float(np.mean((truth - predicted) ** 2))
    variance = float(np.var(truth))
    if data.unit != data.target:
        truth, predicted = np.expm1(truth), np.expm1(predicted)
    frame = pd.DataFrame({"y": truth, "prediction": predicted})
    write_whole(folder / PREDICTIONS, frame.to_csv(index=False, float_format="%.7g"))
    return HeldOutScore(len(truth), mse, 1.0 - mse / variance if variance else None)


def completed(trials: Sequence[FrozenTrial], metric: Metric = MSE) -> list[FrozenTrial]:
    """The trials trained to their last epoch, best first; of equal ones, the earlier trial."""
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return sorted(done, key=lambda trial: metric.rank(trial.values[0], trial.number))


def standing(trials: Sequence[FrozenTrial], metric: Metric = MSE) -> list[FrozenTrial]:
    """The completed trials, best first, then the pruned ones, those that came furthest first.

    Of pruned trials that came as far, the one with the best last report is first; those that
    diverged are left out, and those that another trial has trained to its end.
    """
    stopped = [
        trial
        for trial in standing_for_themselves(trials)
        if trial.state == TrialState.PRUNED
        and trial.intermediate_values
        and not has_diverged(trial)
    ]

    def progress(trial: FrozenTrial) -> tuple[int, tuple[float, int]]:
        last = max(trial.intermediate_values)
        return -last, metric.rank(trial.intermediate_values[last], trial.number)

    return completed(trials, metric) + sorted(stopped, key=progress)


def value_of(trial: FrozenTrial) -> float | None:
    """What a trial came to; None for one that was stopped early: its last report is no value."""
    return trial.value if trial.state == TrialState.COMPLETE else None


def write_best(
    sweep: Sweep,
    best: FrozenTrial,
    confirmation: Confirmation | None,
    test: HeldOutScore | None,
    missing: str = "",
) -> None:
    """Write `best_schedule.json` and `best_schedule.py`.

    Args:
        sweep: Whose.
        best: The winner's trial.
        confirmation: What made it the winner; None if the search alone did.
        test: How its weights do on the test rows.
        missing: What there was no time to confirm, in a sentence; empty if for all.
    """
    config, space, metric = sweep.config, sweep.config.search_space, sweep.config.measure
    per_epoch = sweep.steps_per_epoch
    horizon = horizon_of(best, per_epoch and per_epoch * config.epochs)
    schedule = schedule_of(best, space)
    found, whole = completed(sweep.trials, metric), value_of(best) is not None
    constant = [t for t in found if schedule_of(t, space).scheduler == "constant"]
    described = {
        "schedule": schedule.to_dict(),
        "study": sweep.location.name,
        "trial": best.number,
        metric.name: value_of(best),
        "val_r2": best.user_attrs.get("r2") if whole else None,
        "unit": sweep.data.unit if sweep.data else "",
        "best_epoch": best.user_attrs.get("best_epoch") if whole else None,
        "objective": config.objective,
        "epochs": config.epochs,
        "steps_per_epoch": horizon // config.epochs if horizon else None,
        "total_steps": horizon,
        **({"loop": config.loop} if config.loop else {"optimizer": _optimizer(config, best)}),
        "torch": schedule.torch_spec(horizon) if horizon else None,
        f"best_constant_{metric.name}": constant[0].value if constant else None,
        "best_of_search": found[0].number,
        "confirmation": None if confirmation is None else confirmation.to_dict(),
        "not_confirmed": missing,
        "test": None if test is None else vars(test),
    }
    folder = sweep.location.folder
    written = BestSchedule.from_dict(
        {name: None if _is_infinite(value) else value for name, value in described.items()}
    )
    write_whole(folder / BEST_SCHEDULE, written.to_json())
    write_whole(folder / BEST_CODE, written.to_code())


def _is_infinite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _optimizer(config: StudyConfig, best: FrozenTrial) -> dict[str, Any]:
    described = config.optimizer.model_dump(mode="json", exclude_none=True)
    return described | {n: best.params[n] for n in ("momentum", "weight_decay") if n in best.params}


def export_best(folder: Path, to: str, trust: bool = False) -> str:
    """The best schedule of a study that has been run, from `best_schedule.json` alone.

    Args:
        folder: The results folder.
        to: `python` for torch code, `json` for `best_schedule.json`, `csv` for the rate that
            each step of the study's horizon is taken with.
        trust: Whether the module of a custom schedule's factory may be run, which csv needs.

    Raises:
        InputError: `to` is something else, or the study has no best schedule yet, or (csv) its
            rates follow the validation MSE, or it has a factory and is not trusted.
    """
    names = ("python", "json", "csv")
    if to not in names:
        raise InputError(f"--to {to}: expected {', '.join(names)}{did_you_mean(to, names)}")
    found, path = BestSchedule.read(folder), folder / BEST_SCHEDULE
    if found is None:
        raise InputError(
            f"{path}: no best schedule yet; run the study to its end: sweep run {folder}"
        )
    if to != "csv":
        return found.to_code() if to == "python" else found.to_json()
    if found.total_steps is None:
        raise InputError(f"{path}: the number of steps is not known; give --to python")
    if found.schedule.factory and not trust:
        raise InputError(
            f"{path}: names the factory {found.schedule.factory!r}, whose module would be run; "
            "if it is yours, say so with --trust"
        )
    rates = found.schedule.rates(found.total_steps)
    frame = pd.DataFrame({"step": range(1, len(rates) + 1), "lr": rates})
    return frame.to_csv(index=False)
