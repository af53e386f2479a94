"""Which schedules of a search are compared in the end, and what must be trained on for that."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sweep.confirm.race import FIRST_SEEDS
from sweep.confirm.verdict import CONSTANT
from sweep.search.budget import Spent, epochs_left, search_epochs_left
from sweep.search.context import RunContext
from sweep.search.trials import Ending, Trial, drawn, standing
from sweep.study.space import Suggestion

_FEWEST = 4
"""Candidates, the constant rate included, however small the budget is."""

_FEWEST_ALIKE = 2

_MOST_ALIKE = 0.4
"""Of the candidates, those of one scheduler."""


def affordable_runs(context: RunContext) -> int:
    """Trainings that a confirmation may have: a share of what the search takes without pruning.

    Where there is a budget, as many as there are epochs left.
    """
    if context.config.budget is not None:
        spent = Spent.by(context.reader)
        return max(0, math.floor(epochs_left(context.config, spent) / context.config.epochs))
    ended = [trial for trial in drawn(context.trials) if trial.ending]
    return round(context.config.confirm.share * len(ended))


def chosen(context: RunContext, budget: int | None, at_most: int | None = None) -> Iterator[Trial]:
    """The candidates: the user's own schedules, the best of the search, the best constant rate.

    As many as the budget allows for, but at least _FEWEST, and no more than _MOST_ALIKE of them of
    one scheduler where there are several: near copies would crowd the others out. In a fair study,
    the best of each scheduler. Where too few have completed, the pruned ones that came furthest
    stand in. The user's own take no place of these, and always have one.

    Args:
        context: Its search is over.
        budget: Trainings that may be done; None for as many candidates as are wished for, whatever
            it takes to confirm them.
        at_most: Candidates in all that there is time for.
    """
    config, space = context.config, context.config.search_space
    several = len(space.schedulers) > 1
    found = standing(context.trials, config.measure)
    own = [trial for trial in found if trial.baseline]
    yield from own
    ranked = [trial for trial in found if not trial.baseline]
    kinds = {trial.scheduler for trial in ranked}
    apart = several and CONSTANT in kinds  # the constant rate has a place of its own
    fewest = _FEWEST - apart
    most = config.confirm.most_candidates(affordable_runs(context) if budget is None else budget)
    if budget is not None:
        most = min(most, max(fewest, budget // FIRST_SEEDS - 1 - len(own)))
    if at_most is not None:
        most = min(most, max(1, at_most - apart - len(own)))
    shared = math.ceil(most / max(len(kinds - {CONSTANT}), 1))
    alike = max(_FEWEST_ALIKE, math.ceil(_MOST_ALIKE * most), shared) if several else most
    theirs = [trial.suggestion for trial in own]
    taken: list[Suggestion] = []
    for trial in ranked:
        names = [other.schedule.scheduler for other in taken]
        name = trial.scheduler
        if several and (config.fair or name == CONSTANT):
            wanted = name not in names
        else:
            others = sum(other != CONSTANT or not several for other in names)
            wanted = others < most and names.count(name) < alike
        if wanted and trial.suggestion not in (*taken, *theirs):
            taken.append(trial.suggestion)
            yield trial


def to_complete(context: RunContext) -> list[Trial]:
    """The pruned trials that must be trained to their end for the candidates to be compared.

    Those that wait for it already, or are in training, are left out, and those that their own code
    has stopped once more. Where there is a budget, there are as many as the search may still train.
    """
    spent = Spent.by(context.reader)
    fitting = search_epochs_left(context.config, spent) / context.config.epochs
    begun = {trial.completes for trial in context.trials}
    lacking = [
        trial
        for trial in chosen(context, None)
        if trial.ending == Ending.PRUNED and trial.number not in begun and trial.completes is None
    ]
    return [trial for place, trial in enumerate(lacking, start=1) if place <= fitting]
