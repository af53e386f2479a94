"""Where a sweep stands: how many trials ended how, and the best of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sweep.search.budget import Spent
from sweep.search.trials import Ending, EndingCounts, Trial, standing_for_themselves
from sweep.study.metric import Metric

_FEWEST_ENDED = 5
_LEAST_SHARE = 0.03
"""Of the epochs: what the first ones take, workers that start among it, says little."""


class Lane(NamedTuple):
    """A trial in training: its number, its scheduler, and the epochs that are known of it.

    `audition` is the horizon in epochs of the audition that it is in; None if it is in none.
    """

    number: int
    scheduler: str
    epochs: int
    audition: int | None = None


class Family(NamedTuple):
    """How many trials of a scheduler have ended, and the best of those that completed."""

    ended: int
    best: Trial | None


@dataclass(frozen=True)
class Status:
    """Where a sweep stands.

    Args:
        total: Trials asked for.
        endings: How many trials have ended how, earlier runs included.
        running: Trials in training now.
        best: The best completed trial, or None.
        epochs: Epochs trained in this run.
        elapsed_secs: Since this run's first trial was handed out.
        remaining_secs: Estimate from the trials of this run, and from its time limit; None as long
            as there are too few to tell, where there is no limit.
        lanes: The trials in training, by number.
        course: The best value after each trial that has completed; it grows while the sweep runs.
        families: What became of each scheduler, by name.
        spent: The epochs that the study has cost, earlier runs included.
    """

    total: int
    endings: EndingCounts
    running: int
    best: Trial | None
    epochs: int
    elapsed_secs: float
    remaining_secs: float | None
    lanes: tuple[Lane, ...]
    course: Sequence[float]
    families: Mapping[str, Family]
    spent: Spent = field(default_factory=Spent)


def secs_for_trials(elapsed_secs: float, ended: int, running: int, left: int) -> float | None:
    """How long the trials that are left may take, from those that have ended.

    Args:
        elapsed_secs: What the run took until now.
        ended: Trials that ended in this time.
        running: Trials in training, which have taken some of it, too.
        left: Trials that have not ended, those in training among them.

    Returns:
        None before as many have ended as are in training, and five, or half of all.
    """
    enough = min(max(_FEWEST_ENDED, running), max(left, 1))
    return elapsed_secs / ended * left if ended >= enough else None


def secs_for_epochs(elapsed_secs: float, epochs: int, left: float) -> float | None:
    """The same from the epochs that were trained; None before they are some per cent of all."""
    enough = max(_LEAST_SHARE * (epochs + left), 1)
    return elapsed_secs / epochs * left if epochs >= enough else None


@dataclass
class Tally:
    """How many trials a study has of each kind, and its best one.

    One that has been trained to its end after it was pruned is counted as that, and once.
    `to_complete` are those that wait for it,
    `trained_on` those that have had it.
    """

    metric: Metric
    started: int = 0
    to_complete: int = 0
    trained_on: int = 0
    best: Trial | None = None
    course: list[float] = field(default_factory=list)
    families: dict[str, Family] = field(default_factory=dict)
    ended: Counter[Ending] = field(default_factory=Counter)

    @classmethod
    def of(cls, trials: Sequence[Trial], metric: Metric) -> Tally:
        """Counted from all trials of a study."""
        tally = cls(metric)
        for trial in trials:
            tally.started += trial.completes is None and not trial.is_waiting
            tally.to_complete += trial.completes is not None and trial.is_waiting
        for trial in standing_for_themselves(trials):
            tally.count(trial)
        return tally

    def count(self, trial: Trial) -> None:
        """Take in a trial that has ended; others do not count."""
        if trial.ending is None:
            return
        self.ended[trial.ending] += 1
        self.trained_on += trial.completes is not None
        ended, best = self.families.get(trial.scheduler, (0, None))
        if trial.value is not None:
            self.best = self._better(self.best, trial)
            self.course.append(self.best.result)
            best = self._better(best, trial)
        self.families[trial.scheduler] = Family(ended + 1, best)

    @property
    def endings(self) -> EndingCounts:
        """How the trials have ended."""
        return EndingCounts(**{str(ending): self.ended[ending] for ending in Ending})

    def _better(self, one: Trial | None, other: Trial) -> Trial:
        """The better of two completed trials, in whatever order they have ended."""
        rank = self.metric.rank
        return min(one or other, other, key=lambda trial: rank(trial.result, trial.number))
