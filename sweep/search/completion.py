"""Trials that train a pruned one to its end.

A trial that has ended stays as it is. So where a search leaves too little to compare, a pruned
trial gets a second one: the same parameters, the same seed and so the same course, and no pruner.
It stands for the pruned one from then on, and does not count towards the study's total.
"""

from __future__ import annotations

from collections.abc import Iterable

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.base.wording import counted
from sweep.search.attributes import whole_number

COMPLETES = "completes_trial"
"""The trial attribute that names the pruned trial."""
_CARRIED = "from_"
"""What the attributes of a trial that was carried over from another study begin with."""


def completes(trial: FrozenTrial | optuna.Trial) -> int | None:
    """The number of the pruned trial that a trial trains to its end; None for all others."""
    return whole_number(trial.user_attrs, COMPLETES)


def drawn(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count towards a study's total: those that train no other to its end."""
    return [trial for trial in trials if completes(trial) is None]


def standing_for_themselves(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Each drawn trial once: one that has been trained to its end since as that, the rest as drawn.

    Of a pruned trial and the one that completes it, the second has taken the first one's place when
    it has ended, and is left out before.
    """
    trials = list(trials)
    ended = {completes(trial) for trial in trials if trial.state.is_finished()} - {None}
    return [
        trial
        for trial in trials
        if trial.number not in ended and (completes(trial) is None or trial.state.is_finished())
    ]


def enqueue(study: optuna.Study, pruned: Iterable[FrozenTrial]) -> None:
    """Let pruned trials be trained to their end."""
    for trial in pruned:
        carried = {k: v for k, v in trial.user_attrs.items() if k.startswith(_CARRIED)}
        study.enqueue_trial(trial.params, user_attrs={COMPLETES: trial.number, **carried})


def next_enqueued(study: optuna.Study) -> optuna.Trial:
    """The first of the trials that wait to train a pruned one to its end, begun.

    Args:
        study: It has such a trial; where others may be at work on its storage, call it in a turn.
    """
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    first = next(trial._trial_id for trial in waiting if completes(trial) is not None)
    study._storage.set_trial_state_values(first, state=TrialState.RUNNING)
    return optuna.Trial(study, first)


def sentence(count: int) -> str:
    """That so many pruned trials were trained to their end; empty if none was."""
    if not count:
        return ""
    were = "was trained to its" if count == 1 else "were trained to their"
    return f"{counted(count, 'pruned trial')} {were} end, so that there is something to compare"
