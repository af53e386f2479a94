"""Confirm the best schedules on fresh seeds, the same ones for each.

The winner of a search owes its place partly to luck: the best of many noisy values is too good.
So the best of the search, and the best constant rate, are trained again, paired: from each seed
all of them start with the same weights and see the rows in the same order.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from sweep.base.languages.sentences import kept
from sweep.base.wording import counted, duration
from sweep.confirm.candidate import ranked
from sweep.confirm.candidates import affordable_runs, chosen
from sweep.confirm.kept_runs import KeptRuns
from sweep.confirm.race import FIRST_SEEDS, race
from sweep.confirm.verdict import CONSTANT, Confirmation
from sweep.search.budget import counted_trainings, enough_to_confirm
from sweep.search.context import RunContext
from sweep.search.trials import Trial, completed, standing_for_themselves
from sweep.training.seeds import mix
from sweep.training.workers.pool import Pool
from sweep.training.workers.time_limit import TimeLimit

_FEWEST_IN_TIME = 2
"""Candidates that a race must have, however little time there is."""

_WHAT = "confirming the best schedules on fresh seeds"


@dataclass(frozen=True)
class Outcome:
    """What came of confirming.

    Args:
        confirmation: The race; None if it was stopped, or there was no time for one.
        missing: What there was no time for, in a sentence; empty if for all.
    """

    confirmation: Confirmation | None = None
    missing: str = ""


def confirm(
    context: RunContext,
    pool: Pool,
    stop: threading.Event,
    on_epochs: Callable[[str, int, int], None],
    limit: TimeLimit | None = None,
) -> Outcome:
    """Race the best schedules of a search.

    Runs that `confirm.csv` holds already are not done again; every run is in it as it ends.

    Args:
        context: Its search is over, and has completed a trial.
        pool: The workers.
        stop: Set from anywhere to end soon.
        on_epochs: Told what is done, how many epochs have been trained, and of how many at most.
        limit: When to be over: where there is little time, there are fewer candidates, or fewer
            seeds, or nothing is confirmed.
    """
    config, limit = context.config, limit or TimeLimit()
    budget = affordable_runs(context)
    seeds = tuple(mix(config.seed, 5, index) for index in range(config.confirm.seeds))
    step = KeptRuns(context, pool, stop, seeds, limit)
    in_budget = step.affordable
    if config.budget is not None:  # what the file holds has been paid for
        budget = int(in_budget) + step.kept
    meant = _by_number(chosen(context, budget))
    in_time = limit.trainings_left(config.epochs, len(pool), _usual_secs(context))
    possible = min(math.inf if in_time is None else in_time, in_budget)
    trials, first_seeds = meant, FIRST_SEEDS
    if step.missing(meant, FIRST_SEEDS) > possible:
        fitting = _fitting(context, budget, step, len(meant), possible)
        if fitting is None and possible == in_budget:
            return Outcome(missing=no_budget(context, step.cost.elsewhere > 0))
        if fitting is None:
            return Outcome(missing=_no_time(limit, config.epochs))
        trials, first_seeds = fitting
    if config.budget is not None:
        budget += step.known(trials) - step.kept
    most_runs = max(budget, first_seeds * len(trials))
    step.begin(trials, lambda epochs: on_epochs(_WHAT, epochs, most_runs * config.epochs))
    started = time.monotonic()
    by_budget = by_time = most_runs

    def affordable(spent: int) -> int:
        nonlocal by_budget, by_time
        by_budget = by_time = budget - spent
        if limit.is_set:
            fits = limit.trainings_left(config.epochs, len(pool), _usual_secs(context))
            if step.trained:
                fits = int(limit.left_secs * step.trained / (time.monotonic() - started))
            by_time = (fits or 0) + step.known(trials) - spent
        return min(by_budget, by_time)

    losses = race(
        list(trials),
        step.train,
        most_seeds=len(seeds),
        affordable=affordable,
        first_seeds=first_seeds,
        drop=not config.fair,
        references=_references(trials),
    )
    if stop.is_set():
        return Outcome()
    step.write()
    metric = config.measure
    values = {trial: tuple(map(metric.loss, losses[trial])) for trial in losses}
    used = max(map(len, values.values()))
    if not used:
        is_spent = step.affordable < 1 and not limit.is_over
        if is_spent:
            return Outcome(missing=no_budget(context, step.cost.elsewhere > 0))
        return Outcome(missing=_no_time(limit, config.epochs))
    suggestions = {number: trial.suggestion for number, trial in trials.items()}
    last = sum(len(each) == used for each in values.values())
    cut = by_time < last <= by_budget
    missing = ""
    reduced = len(trials) < len(meant) or first_seeds < FIRST_SEEDS
    if cut or (limit.is_set and (step.cut_off or (reduced and possible != in_budget))):
        runs = sum(map(len, values.values()))
        missing = kept(
            "the time limit shortened the confirmation to {runs} of {candidates}; without it, "
            "there are up to {most} of {meant}",
            runs=counted(runs, "training"),
            candidates=counted(len(trials), "candidate"),
            most=max(budget, FIRST_SEEDS * len(meant)),
            meant=len(meant),
        )
    baselines = {number: trial.baseline for number, trial in trials.items()}
    others = {number: step.other_values(number, len(each)) for number, each in values.items()}
    candidates = ranked(suggestions, values, metric, baselines, others)
    found = Confirmation(
        candidates, seeds[:used], not config.fair, metric=metric, objective=config.objective
    )
    if found.doubt:
        context.note(found.doubt)
    return Outcome(found, missing)


def _references(trials: Mapping[int, Trial]) -> list[int]:
    """What the winner is compared with by name: the user's own schedules, and a constant rate."""
    own = [number for number, trial in trials.items() if trial.baseline]
    constant = (n for n, t in trials.items() if t.scheduler == CONSTANT and not t.baseline)
    return [*own, *itertools.islice(constant, 1)]


def _by_number(trials: Iterable[Trial]) -> dict[int, Trial]:
    return {trial.number: trial for trial in trials}


def _usual_secs(context: RunContext) -> float | None:
    """An epoch's share of a worker's time, in the trials so far; None if none has trained."""
    ended = (trial for trial in context.trials if trial.ending)
    seconds = [secs for trial in ended for secs in trial.record.column("seconds")]
    return fmean(seconds) if seconds else None


def _fitting(
    context: RunContext, budget: int, step: KeptRuns, most: int, possible: float
) -> tuple[dict[int, Trial], int] | None:
    """Candidates, and seeds that each gets at first, for so many trainings; None if for none."""
    fewest = min(most, _FEWEST_IN_TIME)
    plans = [*((count, FIRST_SEEDS) for count in range(most - 1, fewest - 1, -1)), (fewest, 2)]
    for count, seeds in plans:
        trials = _by_number(chosen(context, budget, count))
        if step.missing(trials, seeds) <= possible:
            return trials, seeds
    return None


def _no_time(limit: TimeLimit, epochs: int) -> str:
    """That nothing is confirmed."""
    secs = limit.training_secs(epochs)
    told = kept(
        "nothing was confirmed on fresh seeds: the time limit left {left}",
        left=duration(limit.left_secs),
    )
    if secs:
        told = kept("{told}, and a training takes about {time}", told=told, time=duration(secs))
    again = kept("the same command with a longer --timeout, or without one, does it")
    return f"{told}; {again}"


def no_budget(context: RunContext, spent_elsewhere: bool) -> str:
    """That nothing is confirmed since there is no budget for it, and how little is known then."""
    config = context.config
    assert config.budget is not None
    budget = counted_trainings(config.budget)
    told = kept(
        "nothing was confirmed on fresh seeds: of a budget of {budget}, too little is left for "
        "that",
        budget=budget,
    )
    if not config.confirm_trainings:
        told = kept(
            "nothing was confirmed on fresh seeds: of a budget of {budget}, too little is left for "
            "that ({enough} would do)",
            budget=budget,
            enough=enough_to_confirm(config),
        )
    elif spent_elsewhere:
        return kept(
            "{told}: it was spent by another run of this study, whose folder has what came of it",
            told=told,
        )
    done = completed(context.trials, config.measure)
    ended = sum(trial.ending is not None for trial in standing_for_themselves(context.trials))
    if ended == 1:
        single = kept("a single schedule was trained, from one seed")
        return f"{told}; {single}"
    each = kept(
        "each schedule was trained from one seed, {done} of {ended} to the end",
        done=len(done),
        ended=ended,
    )
    if len(done) > 1:
        each = kept("{each}, so how much of a lead is luck is not known", each=each)
    return f"{told}; {each}"
