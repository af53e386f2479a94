"""A race: candidates get more and more seeds, and those that are clearly behind drop out.

After each round those that are behind the leader by a paired t-test drop out, and what is left
gets more seeds, until the budget is spent or one is left, or until seeds turn out to make no
difference to any. What the winner will be compared with, such as a baseline, stays until then: a
comparison is as sure as the seeds that both have.

Racing by a t-test is that of irace (López-Ibáñez et al., "The irace package", 2016). The level is
strict, because the test is repeated after each round and the leader is chosen by the same numbers:
of two equals, one drops out in about one race of thirty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from sweep.confirm.intervals import is_behind, vary

FIRST_SEEDS = 3
"""Seeds that every candidate gets before any may drop out."""

_DROP_LEVEL = 0.005

Train = Callable[[list[tuple[int, int]]], dict[tuple[int, int], float]]
"""Trains pairs of a trial and a seed's index, and gives what each came to: less is better."""


def race(
    trials: Sequence[int],
    train: Train,
    *,
    most_seeds: int,
    affordable: Callable[[int], int],
    first_seeds: int = FIRST_SEEDS,
    drop: bool = True,
    references: Collection[int] = (),
) -> dict[int, tuple[float, ...]]:
    """Train candidates on seed after seed, and drop those that are behind.

    Args:
        trials: The candidates, by trial number.
        train: Trains some of them; what is missing in its answer ends the race, with the seeds
            that all of them were trained from.
        most_seeds: That any candidate gets.
        affordable: How many more trainings may be done, told how many have been.
        first_seeds: That all get, whatever is affordable.
        drop: Whether to drop candidates at all.
        references: Candidates that stay, unless they diverge, as long as the race goes on.

    Returns:
        The losses of each candidate, one for each seed.
    """
    values: dict[int, list[float]] = {trial: [] for trial in trials}
    left = list(trials)
    seeds = spent = 0
    while left and seeds < most_seeds:
        wanted = first_seeds if not seeds else max(1, seeds // 2)
        wanted = min(wanted, most_seeds - seeds)
        if seeds:
            wanted = min(wanted, affordable(spent) // len(left))
        if wanted < 1:
            break
        pairs = [(trial, seed) for seed in range(seeds, seeds + wanted) for trial in left]
        results = train(pairs)
        spent += len(results)
        for seed in range(seeds, seeds + wanted):
            if not all((trial, seed) in results for trial in left):
                break
            for trial in left:
                values[trial].append(results[trial, seed])
        if len(results) < len(pairs):
            break
        seeds += wanted
        contenders = _still_in(left, values) if drop else left
        if len(contenders) <= 1 or not any(vary(values[trial]) for trial in left):
            break  # more seeds would tell nothing
        left = [t for t in left if t in contenders or (t in references and _finite(values[t]))]
    return {trial: tuple(values[trial]) for trial in trials}


def _still_in(left: Sequence[int], values: Mapping[int, Sequence[float]]) -> list[int]:
    """The candidates that are not behind the one with the best mean."""
    finite = [trial for trial in left if _finite(values[trial])]
    if not finite:
        return []
    leader = min(finite, key=lambda trial: (math.fsum(values[trial]), trial))
    return [t for t in finite if not is_behind(values[t], values[leader], _DROP_LEVEL)]


def _finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))
