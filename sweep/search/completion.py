"""Trials that train a pruned one to its end.

A trial that has ended stays as it is. So where a search leaves too little to compare, a pruned
trial gets a second one: the same parameters, the same seed and so the same course, and no pruner.
It stands for the pruned one from then on, and does not count towards the study's total.
"""

from __future__ import annotations

from collections.abc import Iterable

import optuna
from optuna.trial import TrialState

from sweep.base.languages.sentences import plural
from sweep.search.attributes import COMPLETES, completes
from sweep.search.origins import baseline_attributes
from sweep.search.storage.optuna_private import set_state, trial_in_training
from sweep.search.trials import Trial


def enqueue(study: optuna.Study, pruned: Iterable[Trial]) -> None:
    """Let pruned trials be trained to their end."""
    for trial in pruned:
        attributes = {COMPLETES: trial.number}
        if trial.carried_from:
            attributes |= trial.carried_from.attributes
        if trial.baseline:
            attributes |= baseline_attributes(trial.baseline, trial.suggestion)
        study.enqueue_trial(dict(trial.parameters), user_attrs=attributes)


def next_enqueued(study: optuna.Study) -> optuna.Trial:
    """The first of the trials that wait to train a pruned one to its end, begun.

    Args:
        study: It has such a trial; where others may be at work on its storage, call it in a turn.
    """
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    first = next(frozen for frozen in waiting if completes(frozen) is not None)
    trial = trial_in_training(study, first)
    set_state(trial, TrialState.RUNNING)
    return trial


def sentence(count: int) -> str:
    """That so many pruned trials were trained to their end; empty if none was."""
    if not count:
        return ""
    return plural(
        count,
        "{count} pruned trial was trained to its end, so that there is something to compare",
        "{count} pruned trials were trained to their end, so that there is something to compare",
    )
