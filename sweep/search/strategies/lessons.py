"""What a sampler of schedulers learns from a study's trials, as arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.search.strategies.parzen import Floats

_GOOD_SHARE = 0.2
_MOST_GOOD = 25
_BLOCK = 512
_RECENT = 2 * _BLOCK
"""A draw learns from each of so many trials before it."""
_BEST, _SPREAD = 256, 512
"""Of earlier ones, it learns from so many of the best, and so many of the rest, evenly spaced."""


class Lessons:
    """What each trial of a study teaches, by number; what a draw costs does not grow with them.

    In a study of more than 2 * _RECENT trials, the early ones are represented by the best of them,
    overall and of each scheduler, and by some of the rest. Which ones is found anew after every
    _BLOCK trials.

    Args:
        columns: Coordinates of a trial.
        families: How many schedulers there are.
    """

    def __init__(self, columns: int, families: int) -> None:
        self._all = np.zeros(0, _lesson(columns))
        self._count = 0
        self._open: list[int] = []
        self._seen: dict[int, object] = {}
        self._families = families
        self._early = 0
        self._kept = np.zeros(0, np.int64)
        self._early_started = np.zeros(families, np.int64)

    def open_ones(self, count: int) -> list[int]:
        """The numbers of the trials, of `count`, of which more may be learnt; rising."""
        if (lacking := count - len(self._all)) > 0:
            room = np.zeros(max(lacking, len(self._all)), self._all.dtype)
            self._all = np.concatenate([self._all, room])
        is_over = self._all["is_over"]
        self._open = [n for n in (*self._open, *range(self._count, count)) if not is_over[n]]
        self._count = count
        return self._open

    def is_news(self, number: int, trial: object) -> bool:
        """Whether a trial has changed since the last time, which makes another object of it."""
        is_known = self._seen.get(number) is trial
        self._seen[number] = trial
        return not is_known

    def learn(self, number: int, lesson: tuple[Any, ...]) -> None:
        """Keep what a trial teaches: the fields of `_lesson`."""
        self._all[number] = lesson
        if self._all[number]["is_over"]:
            self._seen.pop(number, None)

    def leave_out(self, number: int) -> None:
        """Learn nothing from a trial: another one stands for it, or it counts for nothing."""
        is_news = self._all[number]["family"] != -1
        self._all[number]["family"] = -1
        if is_news and number < self._early:
            self._early = 0  # to be found anew

    def beside(self, number: int) -> Others:
        """What there is to know of all trials but the one of this number."""
        is_long = self._count > 2 * _RECENT
        early = (self._count - _RECENT) // _BLOCK * _BLOCK if is_long else 0
        if early != self._early:
            self._early = early
            self._kept = self._representatives(early)
            self._early_started = self._started(self._all[:early])
        recent = np.arange(early, self._count)
        started = self._started(self._all[recent[recent != number]])
        seen = np.concatenate([self._kept, recent])
        lessons = self._all[seen[seen != number]]
        lessons = lessons[lessons["family"] >= 0]
        return Others(lessons, self._early_started + started)

    def _started(self, lessons: NDArray[np.void]) -> NDArray[np.int64]:
        families = lessons["family"]
        return np.bincount(families[families >= 0], minlength=self._families)

    def _representatives(self, early: int) -> NDArray[np.int64]:
        """The numbers of those, of the first `early` trials, that stand for all of them; rising."""
        lessons = self._all[:early]
        teaching = np.flatnonzero(lessons["teaches"] & (lessons["family"] >= 0))
        judged = teaching[lessons["has_value"][teaching]]
        ranked = judged[_best_first(lessons["rank"][judged])]
        families = lessons["family"][ranked]
        best = [ranked[families == family][:_MOST_GOOD] for family in range(self._families)]
        kept = np.unique(np.concatenate([ranked[:_BEST], *best]))
        rest = np.setdiff1d(teaching, kept)
        spread = np.linspace(0, max(len(rest) - 1, 0), min(_SPREAD, len(rest))).astype(np.int64)
        return np.union1d(kept, rest[spread])


def _lesson(columns: int) -> np.dtype[np.void]:
    """What a trial teaches.

    Whether that is final; its scheduler's position, or -1 if it has none yet; whether it teaches
    more than that it was begun; whether it has ended or has come far enough to report; whether it
    was trained to its last epoch; its rank, two numbers; its coordinates.
    """
    flags = [(name, np.bool_) for name in ("teaches", "has_value", "completed")]
    numbers = [("rank", np.float64, (2,)), ("row", np.float64, (columns,))]
    return np.dtype([("is_over", np.bool_), ("family", np.int64), *flags, *numbers])


def _best_first(ranks: Floats) -> NDArray[np.int64]:
    """Positions of trials, (trials,), by their ranks, (trials, 2): the second decides ties."""
    return np.lexsort((ranks[:, 1], ranks[:, 0]))


class Others:
    """The trials beside the one that is drawn, as arrays.

    Attributes:
        started: How many trials each scheduler has had or is to have, failed ones included.
        families: The scheduler's position of each trial that teaches something.
        rows: Their coordinates.
        best_first: Positions of those that have ended or reported, the best first.
        completed: How many of them were trained to their last epoch.
    """

    def __init__(self, lessons: NDArray[np.void], started: NDArray[np.int64]) -> None:
        self.started = started
        taught = lessons[lessons["teaches"]]
        self.families: NDArray[np.int64] = taught["family"]
        self.rows: Floats = taught["row"]
        judged = np.flatnonzero(taught["has_value"])
        self.best_first = judged[_best_first(taught["rank"][judged])]
        self.completed = int(taught["completed"].sum())

    def split(self, family: int, alone: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of the trials that are good examples for a scheduler, and of the rest.

        Args:
            family: The scheduler; its own best trial is always a good one.
            alone: Whether its own trials are all that there is.
        """
        own = self.families == family
        ranked = self.best_first[own[self.best_first]] if alone else self.best_first
        good = np.zeros(len(own), dtype=bool)
        good[ranked[: min(math.ceil(_GOOD_SHARE * len(ranked)), _MOST_GOOD)]] = True
        good[self.best_first[own[self.best_first]][:1]] = True
        return np.flatnonzero(good), np.flatnonzero(~good & (own | (not alone)))
