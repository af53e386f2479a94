"""Studies in memory whose trials are made up, epoch by epoch."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from rich.console import Console, RenderableType

from sweep.report.summary import Summary, summarise
from sweep.schedules.schedule import Schedule
from sweep.search.attributes import write_record
from sweep.study.settings import StudyConfig
from sweep.training.contract import EpochResult
from sweep.training.record import TrialRecord

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL

EPOCHS = 4

CONFIG = StudyConfig.model_validate(
    {
        "epochs": EPOCHS,
        "trials": 10,
        "space": {
            "scheduler": ["constant", "cosine", "step", "plateau"],
            "lr": "0.001:1:log",
            "decay": "0.001:1:log",
        },
    }
)

Params = Mapping[str, Any]


def epoch(number: int, epoch: int, value: float, rate: float = 0.1) -> EpochResult:
    averaged = value * 0.75
    return EpochResult(number, epoch, value, averaged, value / 2, rate, rate / 2, 1.0, 0.5)


def new_study(name: str = "shop", unit: str = "buy") -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=name, sampler=optuna.samplers.RandomSampler(seed=0))
    study.set_user_attr("unit", unit)
    return study


def add(
    study: optuna.Study,
    params: Params,
    mses: Sequence[float],
    state: TrialState = COMPLETE,
    reason: str = "",
    config: StudyConfig = CONFIG,
) -> None:
    """Add a trial that ended after as many epochs as there are MSEs."""
    study.enqueue_trial(dict(params))
    trial = study.ask()
    config.search_space.suggest(trial)
    curve = [epoch(trial.number, at, mse) for at, mse in enumerate(mses, start=1)]
    record = TrialRecord.from_curve(7, curve, reason)
    write_record(trial, record, config.objective, 20.0, config.measure)
    value = record.value(config.objective, config.measure) if state == COMPLETE else None
    study.tell(trial, value, state)


def params(scheduler: str, lr: float, decay: float = 0.1, **own: Any) -> dict[str, Any]:
    named = {f"{scheduler}.{name}": value for name, value in own.items()}
    return {"scheduler": scheduler, "lr": lr, "decay": decay, "warmup": 0.1, **named}


def mixed_study() -> optuna.Study:
    """Six completed, one pruned, one diverged, two failed trials."""
    study = new_study()
    add(study, params("constant", 0.1), [30, 20, 18, 16])
    add(study, params("cosine", 0.2, 0.01), [30, 18, 12, 13])
    add(study, params("cosine", 0.1, 0.02), [30, 25, 21, 20])
    add(study, params("step", 0.05, 0.1, drops=2), [40, 30, 20, 15])
    add(study, params("step", 0.03), [50, 45], PRUNED, "pruned at epoch 2 by auto")
    add(study, params("cosine", 0.9), [math.inf], PRUNED, "diverged at epoch 1: MSE is inf")
    add(study, params("step", 0.3, 0.5, drops=3), [], FAIL, "start: ValueError: no [bold] rows")
    add(study, params("step", 0.3, 0.5, drops=3), [9], FAIL, "epoch 2: ValueError: no [bold] rows")
    return study


def mixed(folder: Path, top: int = 10) -> Summary:
    return summarise(mixed_study(), CONFIG, folder, top)


def write_best(folder: Path, trial: int) -> None:
    test = {"rows": 20, "mse": 14.5, "r2": 0.3}
    schedule = Schedule("cosine", 0.2).to_dict()
    text = json.dumps({"schedule": schedule, "trial": trial, "steps_per_epoch": 25, "test": test})
    (folder / "best_schedule.json").write_text(text)
    (folder / "best_schedule.py").write_text("# the schedule\n")


def rendered(renderable: RenderableType, width: int = 80) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, highlight=False)
    console.print(renderable)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
