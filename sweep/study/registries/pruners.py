"""The pruners: when an unpromising trial is stopped.

`search/strategies/pruners.py` builds them. Optuna's are all here but WilcoxonPruner: it pairs the
values that two trials have at the same steps as if the steps were many problems to solve, in any
order. Epochs of one training are no such sample: the early ones would count as much as the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sweep.study.registries.entry import by_name

Arguments = Mapping[str, Any]
"""What a study file says beside a pruner's name."""

Rungs = Mapping[int, float]
"""The only epochs in which a pruner may stop a trial, and which share of the trials goes on."""


@dataclass(frozen=True)
class Pruner:
    """A pruner.

    Args:
        name: What a study file calls it.
        kind: `module:class` of a pruner of Optuna's kind, whose arguments a study file may give.
        defaults: From a study's epochs to ours of these arguments, where they are not Optuna's.
        rungs: From the arguments that are given and a study's epochs to its rungs; None if it may
            stop a trial in any epoch.
        lacks: From the arguments that are given to what has to be given beside them, as what
            follows the pruner's name; empty if nothing.
        wraps: The pruner that it waits with unless a study file names another as `wrapped`.
        audition: From a study's epochs to the horizon, in epochs, over which a trial is trained
            first and compared with others; 0 if it has no audition.
    """

    name: str
    kind: str
    defaults: Callable[[int], Arguments] = lambda epochs: {}
    rungs: Callable[[Arguments, int], Rungs | None] = lambda arguments, epochs: None
    lacks: Callable[[Arguments], str] = lambda arguments: ""
    wraps: str | None = None
    audition: Callable[[int], int] = lambda epochs: 0


def _halving(name: str, *parts: tuple[Fraction, float]) -> Pruner:
    """Our own rule: after which parts of the epochs trials are compared, and which part goes on."""

    def defaults(epochs: int) -> Arguments:
        # In a short study, parts that fall on one epoch are one comparison, the later one.
        shares = {math.ceil(part * epochs): keep for part, keep in parts}
        same = len(set(shares.values())) == 1
        keep = next(iter(shares.values())) if same else list(shares.values())
        return {"rungs": list(shares), "keep": keep}

    return _with_rungs(name, defaults)


def _with_rungs(
    name: str,
    defaults: Callable[[int], Arguments],
    audition: Callable[[int], int] = lambda epochs: 0,
) -> Pruner:
    def rungs(arguments: Arguments, epochs: int) -> Rungs:
        own = {"keep": 0.5} if "rungs" in arguments else defaults(epochs)
        settled = {**own, **arguments}
        places, keep = settled["rungs"], settled["keep"]
        shares = keep if isinstance(keep, list) else [keep] * len(places)
        return {rung: share for rung, share in zip(places, shares, strict=True) if rung < epochs}

    kind = "sweep.search.strategies.halving:HalvingPruner"
    return Pruner(name, kind, defaults, rungs, audition=audition)


def _eighth(epochs: int) -> int:
    """The audition of `auto`; there is none where an epoch is more than that."""
    return epochs // 8


def _with_auditions(epochs: int) -> Arguments:
    """What `auto` compares: a third goes on after its audition, half of those after E/4."""
    audition = _eighth(epochs)
    if not audition:
        return _HALVING.defaults(epochs)
    return {"rungs": [audition, math.ceil(epochs / 4)], "keep": [1 / 3, 0.5]}


def _asha_rungs(arguments: Arguments, epochs: int) -> Rungs | None:
    rung, factor = arguments.get("min_resource", "auto"), arguments.get("reduction_factor", 4)
    if rung == "auto":
        return None
    if rung < 1 or factor < 2:
        raise ValueError("no rungs that rise")
    rung *= factor ** arguments.get("min_early_stopping_rate", 0)
    rungs: dict[int, float] = {}
    while rung < epochs:
        rungs[rung] = 1 / factor
        rung *= factor
    return rungs


def usual_share(pruner: str, arguments: Arguments, epochs: int, audition: int) -> float | None:
    """About how much of all epochs a search trains, as a share; None if that is not known.

    It follows from the rungs: at each, a part goes on. Under TPE it is somewhat more, since later
    trials are better: recorded trainings gave 40 % for `halving` over 30 epochs, the rungs give
    36 %.

    Args:
        pruner: Its name.
        arguments: What a study file says beside it; None comes of those that are refused, too.
        epochs: Of a whole trial.
        audition: The horizon of its audition, after which it is trained from the start; else 0.
    """
    try:
        rungs = PRUNERS[pruner].rungs(arguments, epochs)
        if rungs is None:
            return None
        trained, left, before = 0.0, 1.0, 0
        for rung in (*sorted(rungs), epochs):
            trained += left * (rung - before)
            left, before = left * rungs.get(rung, 1.0), 0 if rung == audition else rung
    except (TypeError, ValueError):
        return None
    return trained / epochs


def _threshold_lacks(arguments: Arguments) -> str:
    return (
        ""
        if {"lower", "upper"} & {*arguments}
        else ("needs 'lower', 'upper' or both, in target units²")
    )


# benchmarks/pruning.py measures our own rules beside Optuna's; docs/pruning.md says how they were
# chosen.
_HALVING = _halving("halving", (Fraction(2, 15), 0.5), (Fraction(1, 3), 0.5), (Fraction(2, 3), 0.5))
PRUNERS = by_name(
    _with_rungs("auto", _with_auditions, audition=_eighth),
    _HALVING,
    _halving("thorough", (Fraction(1, 3), 0.5), (Fraction(2, 3), 0.5)),
    _halving("fast", (Fraction(1, 15), 0.4), (Fraction(1, 5), 0.5), (Fraction(3, 5), 0.5)),
    Pruner("median", "optuna.pruners:MedianPruner"),
    Pruner("percentile", "optuna.pruners:PercentilePruner", lambda epochs: {"percentile": 25.0}),
    Pruner("asha", "optuna.pruners:SuccessiveHalvingPruner", rungs=_asha_rungs),
    Pruner("hyperband", "optuna.pruners:HyperbandPruner", lambda epochs: {"max_resource": epochs}),
    Pruner(
        "patient", "optuna.pruners:PatientPruner", lambda epochs: {"patience": 3}, wraps="median"
    ),
    Pruner("threshold", "optuna.pruners:ThresholdPruner", lacks=_threshold_lacks),
    Pruner("none", "optuna.pruners:NopPruner", rungs=lambda arguments, epochs: {}),
)
