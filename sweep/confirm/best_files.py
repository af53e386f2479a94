"""The winner's files: its schedule, its code, its predictions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.base.commands import command_line
from sweep.base.csv_cells import frame_to_csv
from sweep.base.errors import InputError, did_you_mean
from sweep.base.files import write_whole
from sweep.confirm.best_schedule import BestSchedule, HeldOutScore
from sweep.confirm.verdict import CONSTANT, Confirmation
from sweep.data.dataset import Dataset
from sweep.data.fitted.answers import TargetForm, columns_of, to_seven_digits
from sweep.data.fitted.columns import unique_name
from sweep.search.context import RunContext
from sweep.search.trials import Trial, completed
from sweep.study.results_folder import BEST_SCHEDULE, PREDICTIONS
from sweep.study.settings import StudyConfig
from sweep.training.workers.messages import Prediction


def write_predictions(folder: Path, data: Dataset, prediction: Prediction) -> HeldOutScore:
    """Write `predictions.csv`, a row for each test row, and score it.

    Args:
        folder: The results folder.
        data: The study's data.
        prediction: For the test rows.

    Returns:
        The score in the unit of the validation MSE, of classes the loss and the accuracy. The file
        has targets as the user has them, and predictions in their unit, also where the study takes
        its logarithm.
    """
    form = TargetForm(
        data.target_mean,
        data.target_scale,
        data.unit != data.target,
        data.classes,
        data.y_test.shape[1:],
    )
    found = {name: to_seven_digits(v) for name, v in form.columns(prediction.values).items()}
    rows = data.held_out
    assert rows is not None
    truth = columns_of("y", rows.targets)
    label = unique_name(rows.label, [*truth, *found])
    frame = pd.DataFrame({label: rows.names, **truth, **found})
    write_whole(folder / PREDICTIONS, frame_to_csv(frame))
    if data.classes:
        return HeldOutScore(len(frame), None, None, dict(prediction.scores))
    others = {name: value for name, value in prediction.scores.items() if name != "mse"}
    if data.y_test.shape != prediction.values.shape:
        return HeldOutScore(len(frame), None, None, others)
    targets, predicted = map(data.to_target_units, (data.y_test, prediction.values))
    mse = float(np.mean((targets - predicted) ** 2))
    variance = float(np.var(targets))
    return HeldOutScore(len(frame), mse, 1.0 - mse / variance if variance else None, others)


def write_best(
    context: RunContext,
    best: Trial,
    confirmation: Confirmation | None,
    test: HeldOutScore | None,
    missing: str = "",
) -> None:
    """Write `best_schedule.json` and `best_schedule.py`.

    Args:
        context: Whose.
        best: The winner's trial.
        confirmation: What made it the winner; None if the search alone did.
        test: How its weights do on the test rows.
        missing: What there was no time to confirm, in a sentence; empty if for all.
    """
    config, metric, horizon = context.config, context.config.measure, best.horizon
    schedule = best.schedule
    found, whole = completed(context.trials, metric), best.value is not None
    constant = [trial for trial in found if trial.scheduler == CONSTANT]
    described = {
        "schedule": schedule.to_dict(),
        **({"params": dict(params)} if (params := best.suggestion.params) else {}),
        "study": context.location.name,
        "trial": best.number,
        metric.name: best.value,
        **({"val_r2": best.r2 if whole else None} if config.has_r2 else {}),
        "unit": context.data.unit if context.data else "",
        "best_epoch": best.best_epoch if whole else None,
        "objective": config.objective,
        "epochs": config.epochs,
        "steps_per_epoch": horizon // config.epochs if horizon else None,
        "total_steps": horizon,
        **_trainer(config, best),
        "torch": schedule.torch_spec(horizon) if horizon else None,
        f"best_constant_{metric.name}": constant[0].value if constant else None,
        "best_of_search": found[0].number,
        "confirmation": None if confirmation is None else confirmation.to_dict(),
        "not_confirmed": missing,
        "test": None if test is None else test.to_dict(),
    }
    written = BestSchedule.from_dict(
        {name: None if _is_infinite(value) else value for name, value in described.items()}
    )
    written.write(context.location.folder)


def _is_infinite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _trainer(config: StudyConfig, best: Trial) -> dict[str, Any]:
    """What the schedule was searched for."""
    if config.own_code is None:
        return {"optimizer": _optimizer(config, best)}
    return {"loop": config.loop} if config.loop else {"command": config.own_code}


def _optimizer(config: StudyConfig, best: Trial) -> dict[str, Any]:
    own = config.optimizer.of(best.suggestion.params)
    described: dict[str, Any] = own.model_dump(mode="json", exclude_none=True)
    used = {name: getattr(best.suggestion, name) for name in ("momentum", "weight_decay")}
    return described | {name: value for name, value in used.items() if value is not None}


def doubt_about(folder: Path) -> str:
    """That the winner's files of a results folder are of a discarded trial, and the remedy.

    One sentence with the command; empty if they are not, or cannot be read.
    """
    found, _ = BestSchedule.if_valid(folder)
    return f"{found.doubt}: {command_line('sweep', 'run', folder)}" if found and found.doubt else ""


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
