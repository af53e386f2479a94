"""Means with intervals, and differences: paired over common seeds, or else unpaired."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from sweep.base.languages.sentences import _
from sweep.base.wording import number, percent

LEVEL = 0.95
"""Of every interval."""


@dataclass(frozen=True)
class Interval:
    """A mean, and the interval that holds the true one with a probability of LEVEL.

    Args:
        mean: Over the values.
        low: Its lower end; -inf where the values tell none: a single one, or all of them equal.
        high: Its upper end; inf where they tell none.
        count: Of values.
        is_share: Whether they are shares of 1, and told in percent.
    """

    mean: float
    low: float
    high: float
    count: int
    is_share: bool = False

    def shown(self, value: float) -> str:
        """Its mean or one of its ends as people read it."""
        return percent(value) if self.is_share else number(value)

    @property
    def ends(self) -> str:
        """`0.8 % to 12 %`."""
        return _("{low} to {high}", low=self.shown(self.low), high=self.shown(self.high))

    @property
    def is_finite(self) -> bool:
        """Whether it has ends: without them, nothing is known but the mean."""
        return math.isfinite(self.margin)

    @property
    def margin(self) -> float:
        """Half its width."""
        return (self.high - self.low) / 2

    @property
    def plus_minus(self) -> str:
        """Half its width in two digits, `± 240`; empty where it has no ends."""
        return f"± {number(float(f'{self.margin:.2g}'))}" if self.is_finite else ""


def _without_ends(mean: float, count: int, is_share: bool = False) -> Interval:
    return Interval(mean, -math.inf, math.inf, count, is_share)


def vary(values: Sequence[float]) -> bool:
    """Whether values differ from seed to seed.

    Where none do, the seeds were no chance to draw from: a training that seeds itself, or a metric
    that cannot tell its runs apart. A spread of 0 would then pass for certainty.
    """
    return len(set(values)) > 1


def student_quantile(probability: float, count: int) -> float:
    """Student's t for the mean of `count` values: `count - 1` degrees of freedom."""
    return float(stdtrit(count - 1, probability))


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of some values with Student's interval.

    Args:
        values: At least one; where all are equal or one is not finite, the interval has no ends.
    """
    mean = math.fsum(values) / len(values)
    if not (vary(values) and math.isfinite(mean)):
        return _without_ends(mean, len(values))
    return _student_interval(values, mean)


def _student_interval(values: Sequence[float], mean: float, is_share: bool = False) -> Interval:
    count = len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    margin = student_quantile((1 + LEVEL) / 2, count) * error
    return Interval(mean, mean - margin, mean + margin, count, is_share)


def paired_lead(ours: Sequence[float], theirs: Sequence[float], as_share: bool = True) -> Interval:
    """How much lower our values are, as a share of the mean of theirs, seed by seed.

    Args:
        ours: A value for each common seed, at least one.
        theirs: The same number of them.
        as_share: Whether a share says something; else leads are plain differences.

    Returns:
        The interval of the leads. It has no ends where neither side's values differ from seed to
        seed; where they do and the lead is always the same, it has no width.
    """
    scale = _scale(theirs, as_share)
    leads = [(their - our) / scale for our, their in zip(ours, theirs, strict=True)]
    mean = math.fsum(leads) / len(leads)
    if not (vary(ours) or vary(theirs)) or not math.isfinite(mean):
        return _without_ends(mean, len(leads), as_share)
    return _student_interval(leads, mean, as_share)


def unpaired_lead(
    ours: Sequence[float], theirs: Sequence[float], as_share: bool = True
) -> Interval:
    """How much lower our values are, as a share of the mean of theirs, with Welch's interval.

    Welch (1947), "The generalization of 'Student's' problem when several different population
    variances are involved": t with the degrees of freedom of Satterthwaite.

    Args:
        ours: At least two finite values.
        theirs: At least two as well, from whatever seeds. Their mean is taken for a fixed number.
        as_share: Whether a share says something; else the lead is a plain difference.

    Returns:
        The interval, without ends where neither side's values differ; its count is that of all
        values.
    """
    count = len(ours) + len(theirs)
    our_mean, their_mean = (math.fsum(values) / len(values) for values in (ours, theirs))
    scale = _scale(theirs, as_share)
    lead = (their_mean - our_mean) / scale
    errors = [float(np.var(values, ddof=1)) / len(values) for values in (ours, theirs)]
    total = sum(errors)
    if not (vary(ours) or vary(theirs)):
        return _without_ends(lead, count, as_share)
    shares = zip(errors, (ours, theirs), strict=True)
    freedom = 1 / sum((error / total) ** 2 / (len(values) - 1) for error, values in shares)
    margin = float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(total) / scale
    return Interval(lead, lead - margin, lead + margin, count, as_share)


def _scale(theirs: Sequence[float], as_share: bool) -> float:
    return abs(math.fsum(theirs) / len(theirs)) or 1.0 if as_share else 1.0


def is_behind(theirs: Sequence[float], ours: Sequence[float], level: float) -> bool:
    """Whether their values are greater by a one-sided paired t-test.

    Values that do not differ from seed to seed on either side show nothing.

    Args:
        theirs: A value for each common seed.
        ours: The same number of them.
        level: Of the test: how often it says so of equals, at most.
    """
    differences = [their - our for their, our in zip(theirs, ours, strict=True)]
    count = len(differences)
    if not (vary(theirs) or vary(ours)):
        return False
    mean = math.fsum(differences) / count
    error = float(np.std(differences, ddof=1)) / math.sqrt(count)
    return mean > student_quantile(1 - level, count) * error
