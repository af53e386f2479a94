"""Which parameters told good trials from bad ones."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from optuna.exceptions import ExperimentalWarning

from sweep.base.languages.sentences import _, plural
from sweep.search.in_memory import in_memory
from sweep.search.trials import Ending, StudyReader

BEST_SHARE = 0.25
_FEWEST = 40
"""Completed trials: with ten among the best, chance has less of a say."""


@dataclass(frozen=True)
class Importance:
    """How much each parameter matters.

    Args:
        shares: By parameter, the greatest first; they add up to 1. Empty if nothing can be said.
        note: Why nothing can be said; else what the shares mean.
    """

    shares: dict[str, float]
    note: str


def importance(reader: StudyReader) -> Importance:
    """How much each parameter of all trials matters for being among the best quarter of them.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023, arXiv 2304.10255): fast and deterministic. The
    schedules' own parameters are left out: too few trials have each of them.
    """
    done = [trial for trial in reader.trials if trial.ending == Ending.COMPLETED]
    done = [trial for trial in done if not trial.is_outside]
    if len(done) < _FEWEST:
        note = plural(
            len(done),
            "takes {fewest} completed trials; there is {count}",
            "takes {fewest} completed trials; there are {count}",
            fewest=_FEWEST,
        )
        return Importance({}, note)
    shared = set.intersection(*(set(trial.parameters) for trial in done))
    if not shared:
        return Importance({}, _("every parameter is fixed"))
    if len({trial.value for trial in done}) == 1:
        return Importance({}, _("every completed trial has the same value"))
    from optuna.importance import (  # scikit-learn comes with it, which takes a second
        PedAnovaImportanceEvaluator,
        get_param_importances,
    )

    used = in_memory(reader.study, done, reader.config.search_space, sorted(shared))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ExperimentalWarning)
            found = get_param_importances(
                used,
                evaluator=PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE),
                params=sorted(shared),
            )
    except (UserWarning, RuntimeError, ValueError) as problem:
        return Importance({}, _("cannot be told from these trials: {problem}", problem=problem))
    shares = {name: float(share) for name, share in found.items()}
    if not shares or not all(map(math.isfinite, shares.values())) or not sum(shares.values()):
        return Importance({}, _("no parameter tells the best quarter of the trials from the rest"))
    return Importance(shares, _("for being among the best quarter of the completed trials"))
