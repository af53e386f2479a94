"""Pruners by name: when an unpromising trial is stopped.

Optuna's are all here but WilcoxonPruner: it pairs the values that two trials have at the same
steps as if the steps were many problems to solve, in any order. Epochs of one training are no such
sample: the early ones would count as much as the last.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import optuna
from optuna.pruners import BasePruner
from pydantic import ValidationError

from sweep.base.errors import StudyFileError
from sweep.search.strategies.arguments import build
from sweep.search.strategies.halving import HalvingPruner
from sweep.study.sections import PrunerConfig

HALVING: Mapping[str, tuple[tuple[Fraction, float], ...]] = MappingProxyType(
    {
        "auto": ((Fraction(2, 15), 0.5), (Fraction(1, 3), 0.5), (Fraction(2, 3), 0.5)),
        "thorough": ((Fraction(1, 3), 0.5), (Fraction(2, 3), 0.5)),
        "fast": ((Fraction(1, 15), 0.4), (Fraction(1, 5), 0.5), (Fraction(3, 5), 0.5)),
    }
)
"""Our own rules: after which part of the epochs trials are compared, and which part goes on.

`benchmarks/pruning.py` measures them beside Optuna's; docs/pruning.md says how they were chosen.
"""


def build_pruner(config: PrunerConfig, epochs: int) -> BasePruner:
    """Optuna's pruner of a name.

    `auto`, `thorough` and `fast` are the rules of HALVING. Their arguments are those of
    HalvingPruner: `rungs`, in epochs, and `keep`.

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
    kind, defaults = _kind(config.name, epochs)
    if kind is HalvingPruner and "rungs" in arguments:
        defaults = {"keep": 0.5}
        rungs = arguments["rungs"]
        beyond = [r for r in rungs if type(r) is int and r > epochs] if type(rungs) is list else []
        if beyond:
            raise StudyFileError(
                f"pruner.rungs: {beyond[0]} lies beyond the study's {epochs} epochs, so nothing "
                "would be compared there"
            )
    return _build(kind, arguments, **defaults)


def decision_epochs(config: PrunerConfig, epochs: int) -> frozenset[int] | None:
    """The epochs at which a pruner may stop a trial; at all others it need not be asked.

    Args:
        config: The name, and arguments for Optuna's class.
        epochs: Of a whole trial; its last epoch is none of them, for it ends there anyway.

    Returns:
        Epochs from 1 to below `epochs`; None if it may be any.

    Raises:
        StudyFileError: An argument is unknown or refused.
    """
    pruner = build_pruner(config, epochs)
    if config.name == "none":
        return frozenset()
    if isinstance(pruner, HalvingPruner):
        return frozenset(rung for rung in pruner.rungs if rung < epochs)
    if config.name != "asha":
        return None
    rung, factor = _asha(config)
    if rung == "auto":
        return None
    rung *= factor ** config.arguments.get("min_early_stopping_rate", 0)
    rungs = set()
    while rung < epochs:
        rungs.add(rung)
        rung *= factor
    return frozenset(rungs)


def _asha(config: PrunerConfig) -> tuple[Any, Any]:
    """Optuna's `min_resource` and `reduction_factor`."""
    arguments = {"min_resource": "auto", "reduction_factor": 4, **config.arguments}
    return arguments["min_resource"], arguments["reduction_factor"]


def usual_share(config: PrunerConfig, epochs: int) -> float | None:
    """About how much of all epochs a search trains, as a share; None if that is not known.

    It follows from the rungs: at each, a part goes on. Under TPE it is somewhat more, since later
    trials are better: recorded trainings gave 40 % for `auto` over 30 epochs, the rungs give 36 %.

    Raises:
        StudyFileError: An argument is unknown or refused.
    """
    rungs = decision_epochs(config, epochs)
    if rungs is None:
        return None
    pruner = build_pruner(config, epochs)
    shares = dict.fromkeys(rungs, 1 / _asha(config)[1])
    if isinstance(pruner, HalvingPruner):
        shares = pruner.shares
    trained, left, before = 0.0, 1.0, 0
    for rung in (*sorted(rungs), epochs):
        trained += left * (rung - before)
        left, before = left * shares.get(rung, 1.0), rung
    return trained / epochs


def _kind(name: str, epochs: int) -> tuple[type[BasePruner], dict[str, Any]]:
    if name in HALVING:
        # In a short study, parts that fall on one epoch are one comparison, the later one.
        shares = {math.ceil(part * epochs): keep for part, keep in HALVING[name]}
        same = len(set(shares.values())) == 1
        keep = next(iter(shares.values())) if same else list(shares.values())
        return HalvingPruner, {"rungs": list(shares), "keep": keep}
    kinds: dict[str, tuple[type[BasePruner], dict[str, Any]]] = {
        "median": (optuna.pruners.MedianPruner, {}),
        "percentile": (optuna.pruners.PercentilePruner, {"percentile": 25.0}),
        "asha": (optuna.pruners.SuccessiveHalvingPruner, {}),
        "hyperband": (optuna.pruners.HyperbandPruner, {"max_resource": epochs}),
        "patient": (optuna.pruners.PatientPruner, {}),
        "threshold": (optuna.pruners.ThresholdPruner, {}),
        "none": (optuna.pruners.NopPruner, {}),
    }
    return kinds[name]


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
