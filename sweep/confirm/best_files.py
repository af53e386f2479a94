"""The winner's files: its schedule, its code, its predictions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.base.csv_cells import frame_to_csv
from sweep.base.errors import InputError, did_you_mean
from sweep.base.files import write_whole
from sweep.confirm.best_schedule import BestSchedule, HeldOutScore
from sweep.confirm.verdict import CONSTANT, Confirmation
from sweep.data.dataset import Dataset
from sweep.search.context import RunContext
from sweep.search.trials import Trial, completed
from sweep.study.results_folder import BEST_CODE, BEST_SCHEDULE, PREDICTIONS
from sweep.study.settings import StudyConfig
from sweep.training.workers.messages import Prediction

Values = npt.NDArray[Any]


def write_predictions(folder: Path, data: Dataset, prediction: Prediction) -> HeldOutScore:
    """Write `predictions.csv`, a row for each test row, and score it.

    Args:
        folder: The results folder.
        data: The study's data.
        prediction: For the test rows.

    Returns:
        The score in the unit of the validation MSE; the file has the target's own unit, also
        where the study takes its logarithm. Of classes the loss and the accuracy; the file has the
        likeliest class and, where a row has one target, the probability of each. Predictions of
        another shape than the target's, by a loss of the user's own, stay as the model has them.
    """
    if data.classes:
        names = np.array(data.classes, dtype=object)
        columns = _columns("y", names[data.y_test.astype(np.int64)])
        columns |= _columns("prediction", names[prediction.values.argmax(-1)])
        single = data.y_test.ndim == 1
        shares = {
            f"p({name})": prediction.values[:, i] for i, name in enumerate(data.classes) if single
        }
        text = frame_to_csv(pd.DataFrame(columns | shares), float_format="%.7g")
        write_whole(folder / PREDICTIONS, text)
        return HeldOutScore(len(data.y_test), None, None, dict(prediction.scores))
    others = {name: value for name, value in prediction.scores.items() if name != "mse"}
    truth: Values = data.to_target_units(data.y_test)
    predicted: Values = prediction.values
    if truth.shape != predicted.shape:
        _write_numbers(folder, truth, predicted)
        return HeldOutScore(len(truth), None, None, others)
    predicted = data.to_target_units(predicted)
    mse = float(np.mean((truth - predicted) ** 2))
    variance = float(np.var(truth))
    if data.unit != data.target:
        truth, predicted = np.expm1(truth), np.expm1(predicted)
    _write_numbers(folder, truth, predicted)
    return HeldOutScore(len(truth), mse, 1.0 - mse / variance if variance else None, others)


def _write_numbers(folder: Path, truth: Values, predicted: Values) -> None:
    frame = pd.DataFrame(_columns("y", truth) | _columns("prediction", predicted))
    write_whole(folder / PREDICTIONS, frame.to_csv(index=False, float_format="%.7g"))


def _columns(name: str, values: Values) -> dict[str, Values]:
    """The columns of values, (rows, ...): `y`, or `y0`, `y1` ... of several in a row."""
    if values.ndim == 1:
        return {name: values}
    places = np.ndindex(values.shape[1:])
    return {f"{name}{'_'.join(map(str, at))}": values[(slice(None), *at)] for at in places}


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
    folder = context.location.folder
    written = BestSchedule.from_dict(
        {name: None if _is_infinite(value) else value for name, value in described.items()}
    )
    write_whole(folder / BEST_SCHEDULE, written.to_json())
    write_whole(folder / BEST_CODE, written.to_code())


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
