"""Pruners by name: when an unpromising trial is stopped."""

from __future__ import annotations

import math
import warnings
from typing import Any

import optuna
from optuna.pruners import BasePruner
from pydantic import ValidationError

from sweep.arguments import build
from sweep.errors import StudyFileError
from sweep.settings import PrunerConfig


def build_pruner(config: PrunerConfig, epochs: int) -> BasePruner:
    """Optuna's pruner of a name.

    `auto` stops a trial that is among the worse quarter, after a third of the epochs: schedules
    that anneal late lose early comparisons which they win at the end.

    Args:
        config: The name, and arguments for Optuna's class.
        epochs: Of a whole trial; validation MSE is reported at epochs 1 to `epochs`.

    Raises:
        StudyFileError: An argument is unknown or refused.
    """
    arguments = config.arguments
    if config.name == "patient":
        wrapped = arguments.pop("wrapped", "median")
        inner = None if wrapped in (None, "none") else build_pruner(_named(wrapped), epochs)
        return _build(optuna.pruners.PatientPruner, arguments, wrapped_pruner=inner, patience=3)
    if config.name == "threshold" and not {"lower", "upper"} & set(arguments):
        raise StudyFileError("pruner: threshold needs 'lower', 'upper' or both, in target units²")
    kind, defaults = _kinds(epochs)[config.name]
    return _build(kind, arguments, **defaults)


def decision_epochs(config: PrunerConfig, epochs: int) -> frozenset[int] | None:
    """The epochs at which a pruner may stop a trial; None if any may be one."""
    return frozenset() if config.name == "none" else None


def _kinds(epochs: int) -> dict[str, tuple[type[BasePruner], dict[str, Any]]]:
    third = math.ceil(epochs / 3)
    return {
        "auto": (
            optuna.pruners.PercentilePruner,
            {"percentile": 75.0, "n_startup_trials": 5, "n_warmup_steps": third},
        ),
        "median": (optuna.pruners.MedianPruner, {}),
        "percentile": (optuna.pruners.PercentilePruner, {"percentile": 25.0}),
        "asha": (optuna.pruners.SuccessiveHalvingPruner, {}),
        "hyperband": (optuna.pruners.HyperbandPruner, {"max_resource": epochs}),
        "threshold": (optuna.pruners.ThresholdPruner, {}),
        "none": (optuna.pruners.NopPruner, {}),
    }


def _named(wrapped: Any) -> PrunerConfig:
    try:
        return PrunerConfig.model_validate(wrapped)
    except ValidationError as error:
        text = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StudyFileError(f"pruner.wrapped: {text}, got {wrapped!r}") from None


def _build(kind: type[BasePruner], given: dict[str, Any], **defaults: Any) -> BasePruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner: BasePruner = build(kind, "pruner", defaults, given)
    return pruner
