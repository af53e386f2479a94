"""What is known of the difference between two studies' winners."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sweep.base.wording import counted
from sweep.confirm.intervals import Interval, paired_lead, unpaired_lead
from sweep.report.comparison.entry import Entry
from sweep.study.metric import Metric, is_a_share

_FEWEST = 2
"""Seeds that an interval needs."""


@dataclass(frozen=True)
class Difference:
    """Two studies' winners against each other.

    Args:
        studies: Their names, that of the better one first where their values can be compared.
        basis: `paired` by seed; `unpaired`; `none` where there is no interval.
        lead: How much better the first one's value is, as a share of the other's mean.
        text: All of that in half a sentence.
    """

    studies: tuple[str, str]
    basis: Literal["paired", "unpaired", "none"]
    lead: Interval | None
    text: str

    @property
    def beyond_noise(self) -> bool | None:
        """Whether the interval leaves 0 out; None without an interval."""
        return self.lead.low > 0 if self.lead and self.lead.is_finite else None

    @property
    def sentence(self) -> str:
        """`cosine against step: 3.1 % lower MSE (95 % interval ...): beyond noise`."""
        first, second = self.studies
        return f"{first} {'against' if self.lead else 'and'} {second}: {self.text}"


def difference(one: Entry, other: Entry) -> Difference:
    """What is known of the difference between two studies' winners."""
    names = (one.name, other.name)
    empty = [entry.name for entry in (one, other) if entry.summary.best is None]
    if empty:
        return Difference(names, "none", None, f"no trial of {' and '.join(empty)} has completed")
    if reasons := obstacles(one, other):
        text = f"their values cannot be compared: {'; '.join(reasons)}"
        return Difference(names, "none", None, text)
    return _of_comparable(one, other)


def obstacles(one: Entry, other: Entry) -> list[str]:
    """Why two studies' values say nothing about each other; most often there is no reason."""
    if one.metric != other.metric:
        directions = [
            f"{entry.metric.name} ({'more' if entry.metric.maximize else 'less'} is better)"
            for entry in (one, other)
        ]
        return [f"they measure {' and '.join(directions)}"]
    if one.unit != other.unit:
        units = [entry.unit or "a unit that only its loop knows" for entry in (one, other)]
        return [f"the {one.metric.short} is in {units[0]} and in {units[1]}"]
    if one.rows == other.rows:
        return []
    if one.seed != other.seed:
        remedy = f"they split the rows by seeds {one.seed} and {other.seed}; run both with one seed"
    else:
        remedy = "another table, another split, or another preparation"
    return [f"they were not trained and validated on the same rows ({remedy})"]


def _of_comparable(one: Entry, other: Entry) -> Difference:
    """The difference of two studies with the same metric and unit, and no rows known to differ."""
    broken = [e.name for e in (one, other) if e.value is None or not math.isfinite(e.value)]
    if broken:
        text = f"{' and '.join(broken)} diverged or failed on a fresh seed"
        return Difference((one.name, other.name), "none", None, text)
    same_rows = one.rows is not None
    common = [seed for seed in one.values if seed in other.values]
    can_tell = not (one.seeds_are_alike or other.seeds_are_alike)
    if can_tell and same_rows and len(common) >= _FEWEST:
        return _paired(one, other, common)
    first, second = (one, other) if one.loss <= other.loss else (other, one)
    if can_tell and min(len(first.values), len(second.values)) >= _FEWEST:
        return _unpaired(first, second, same_rows)
    assert first.value is not None and second.value is not None
    lead = first.metric.distance(first.value, second.value)
    alike = [e.name for e in (one, other) if e.seeds_are_alike]
    if alike:
        text = (
            f"{lead} {first.metric.better} for {first.name}, which shows nothing: every "
            f"fresh seed gave each schedule of {' and of '.join(alike)} the same value"
        )
        return Difference((first.name, second.name), "none", None, text)
    single = [e.name for e in (one, other) if len(e.values) < _FEWEST]
    text = (
        f"{lead} {first.metric.better} for {first.name}, which shows nothing without two "
        f"fresh seeds of {' and of '.join(single)}"
    )
    return Difference((first.name, second.name), "none", None, text)


def _paired(one: Entry, other: Entry, common: list[int]) -> Difference:
    first, second = one, other
    if math.fsum(one.losses(common)) > math.fsum(other.losses(common)):
        first, second = other, one
    is_share = is_a_share(first.loss, second.loss)
    lead = paired_lead(first.losses(common), second.losses(common), is_share)
    seeds = f"paired over {counted(len(common), 'common seed')}"
    text = _with_interval(first.metric, lead, seeds)
    return Difference((first.name, second.name), "paired", lead, text)


def _unpaired(first: Entry, second: Entry, same_rows: bool) -> Difference:
    is_share = is_a_share(first.loss, second.loss)
    lead = unpaired_lead(first.losses(), second.losses(), is_share)
    seeds = f"{len(first.values)} and {len(second.values)} seeds, not paired"
    caveat = (
        "; their seeds are not the same, so luck with initial weights and order widens the interval"
        if same_rows
        else "; it holds if the loops use the same rows, which sweep cannot see"
    )
    text = f"{_with_interval(first.metric, lead, seeds)}{caveat}"
    return Difference((first.name, second.name), "unpaired", lead, text)


def _with_interval(metric: Metric, lead: Interval, seeds: str) -> str:
    ahead = f"{lead.shown(lead.mean)} {metric.better}"
    if not lead.is_finite:
        return f"{ahead}, the same from each seed, which shows nothing"
    verdict = "beyond noise" if lead.low > 0 else "within noise"
    return f"{ahead} (95 % interval {lead.ends}, {seeds}): {verdict}"
