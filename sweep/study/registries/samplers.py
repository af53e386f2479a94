"""The samplers: how the next trial's parameters are chosen.

`search/strategies/samplers.py` builds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.study.registries.entry import by_name

_FAMILY = "sweep.search.strategies.family_sampler:FamilySampler"


@dataclass(frozen=True)
class Sampler:
    """A sampler.

    Args:
        name: What a study file calls it.
        kind: `module:class` of a sampler of Optuna's kind, whose arguments a study file may give.
            None where all trials are known beforehand, or another sampler is meant.
        defaults: Ours of these arguments, where they are not Optuna's.
        draws_on: Whether it goes on by itself where a study is continued: draws derive from a
            trial's number, or their sequence's position is in the storage. Others get another
            seed, else they would draw their first trials again.
        fair: The same where every scheduler is to get as many trials as the others, each drawn on
            its own; None if it cannot do that.
    """

    name: str
    kind: str | None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    draws_on: bool = False
    fair: Sampler | None = None


_LEARNS_NOTHING = Sampler("random", _FAMILY, {"learns": False}, draws_on=True)
_LEARNS = Sampler("family", _FAMILY, draws_on=True)

SAMPLERS = by_name(
    Sampler("auto", None),
    Sampler("family", _FAMILY, draws_on=True, fair=_LEARNS),
    Sampler(
        "tpe",
        "optuna.samplers:TPESampler",
        {"multivariate": True, "group": True, "constant_liar": True},
    ),
    Sampler("random", "optuna.samplers:RandomSampler", fair=_LEARNS_NOTHING),
    Sampler("grid", None),
    Sampler(
        "qmc",
        "optuna.samplers:QMCSampler",
        {"scramble": True, "warn_independent_sampling": False},
        draws_on=True,
    ),
    Sampler("cmaes", "optuna.samplers:CmaEsSampler", {"warn_independent_sampling": False}),
    Sampler("gp", "optuna.samplers:GPSampler", {"warn_independent_sampling": False}),
)
