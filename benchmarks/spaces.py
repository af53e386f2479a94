"""The space that a benchmark's sides search: in a study file's words, and in Optuna's own."""

from __future__ import annotations

from typing import Any

import optuna

from sweep.schedules.schedule import Schedule

SCHEDULERS = ("constant", "step", "exponential", "linear", "cosine", "onecycle", "wsd")
RATES = {"sgd": (1e-3, 1.0), "adamw": (1e-4, 0.1)}
"""Peak rates, by optimizer."""

_MODELS: dict[str, dict[str, Any]] = {
    "behaviour_counts": {"name": "order-pre"},
    "diabetes": {"name": "mlp", "hidden": [32, 32]},
}
_LARGER = {"name": "mlp", "hidden": [64, 64]}


def model_section(table: str) -> dict[str, Any]:
    """What is trained on a table of tables.py, as a study file has it."""
    return _MODELS.get(table, _LARGER)


def space_section(optimizer: str = "sgd") -> dict[str, Any]:
    """The space, as a study file has it."""
    low, high = RATES[optimizer]
    return {
        "scheduler": list(SCHEDULERS),
        "lr": f"{low:g}:{high:g}:log",
        "decay": "1e-4:1:log",
        "warmup": "0:0.2",
    }


def suggest(trial: optuna.trial.BaseTrial, optimizer: str = "sgd") -> Schedule:
    """A schedule of the same space, as a script for Optuna draws it."""
    name = trial.suggest_categorical("scheduler", SCHEDULERS)
    lr = trial.suggest_float("lr", *RATES[optimizer], log=True)
    params: dict[str, Any] = {}
    if name == "step":
        params = {"drops": trial.suggest_int("drops", 1, 5)}
    elif name == "onecycle":
        params = {"pct_start": trial.suggest_float("pct_start", 0.05, 0.5)}
    elif name == "wsd":
        params = {"cooldown": trial.suggest_float("cooldown", 0.1, 0.5)}
    decay = 1.0 if name == "constant" else trial.suggest_float("decay", 1e-4, 1, log=True)
    warmup = 0.0 if name == "onecycle" else trial.suggest_float("warmup", 0, 0.2)
    return Schedule(name, lr, decay, warmup, params)
