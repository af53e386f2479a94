"""Pruners by name: when an unpromising trial is stopped."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.pruners import BasePruner
from pydantic import ValidationError

from sweep.base.errors import StudyFileError
from sweep.base.user_code import load_object
from sweep.search.strategies.arguments import build
from sweep.search.strategies.halving import HalvingPruner
from sweep.study.registries.pruners import PRUNERS
from sweep.study.sections import PrunerConfig


def build_pruner(config: PrunerConfig, epochs: int) -> BasePruner:
    """The pruner of a name: ours, or one of Optuna's.

    Args:
        config: The name, and arguments for the pruner's class.
        epochs: Of a whole trial; validation MSE is reported at epochs 1 to `epochs`.

    Raises:
        StudyFileError: An argument is unknown or refused.
    """
    entry, arguments = PRUNERS[config.name], config.arguments
    if lacking := entry.lacks(arguments):
        raise StudyFileError(f"pruner: {config.name} {lacking}")
    kind, defaults = load_object(entry.kind), dict(entry.defaults(epochs))
    if entry.wraps:
        wrapped = arguments.pop("wrapped", entry.wraps)
        inner = None if wrapped in (None, "none") else build_pruner(_named(wrapped), epochs)
        defaults["wrapped_pruner"] = inner
    if kind is HalvingPruner and "rungs" in arguments:
        defaults = {"keep": 0.5}
        rungs = arguments["rungs"]
        beyond = [r for r in rungs if type(r) is int and r > epochs] if type(rungs) is list else []
        if beyond:
            raise StudyFileError(
                f"pruner.rungs: {beyond[0]} lies beyond the study's {epochs} epochs, so nothing "
                "would be compared there"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner: BasePruner = build(kind, "pruner", defaults, arguments)
    return pruner


def decision_epochs(config: PrunerConfig, epochs: int) -> frozenset[int] | None:
    """The epochs at which a pruner may stop a trial; at all others it need not be asked.

    Args:
        config: The name, and arguments for the pruner's class.
        epochs: Of a whole trial; its last epoch is none of them, for it ends there anyway.

    Returns:
        Epochs from 1 to below `epochs`; None if it may be any.

    Raises:
        StudyFileError: An argument is unknown or refused.
    """
    build_pruner(config, epochs)  # it refuses what is wrong
    rungs = PRUNERS[config.name].rungs(config.arguments, epochs)
    return None if rungs is None else frozenset(rungs)


def possible_ends(config: PrunerConfig, epochs: int) -> list[int] | None:
    """The epochs after which a trial may end, its last one included; None if it may be any."""
    decisions = decision_epochs(config, epochs)
    return None if decisions is None else sorted({*decisions, epochs})


def _named(wrapped: Any) -> PrunerConfig:
    """A pruner within another; it has no auditions."""
    try:
        config = PrunerConfig.model_validate(wrapped)
        return config.model_copy(update={"name": "halving"}) if config.name == "auto" else config
    except ValidationError as error:
        text = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StudyFileError(f"pruner.wrapped: {text}, got {wrapped!r}") from None
