"""Several studies beside each other: facts, and sentences about what differs beyond noise."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import optuna

from sweep.base.errors import InputError
from sweep.base.wording import counted
from sweep.confirm.intervals import Interval, mean_interval, paired_lead, unpaired_lead
from sweep.report.facts import Summary
from sweep.report.summary import summarise
from sweep.search.trials import StudyReader
from sweep.study.metric import Metric, is_a_share
from sweep.study.settings import StudyConfig

_FEWEST = 2
"""Seeds that an interval needs."""
_SEVERAL = 3
"""Intervals from which on one that misses by chance is worth a word."""


@dataclass(frozen=True)
class Entry:
    """One study of a comparison.

    Args:
        name: What it is called here: its name; where several share that, its folder's.
        summary: What it found.
        rows: The fingerprint of its prepared rows and their split; None where only the user's own
            loop knows them.
        seed: What its split and the seeds of its confirmation derive from.
    """

    name: str
    summary: Summary
    rows: str | None
    seed: int

    @property
    def metric(self) -> Metric:
        """What its trials are compared by."""
        return self.summary.metric

    @property
    def unit(self) -> str:
        """Of its value; empty where it has none, or only the user knows it."""
        return self.summary.mse_unit if self.metric.is_mse else ""

    @property
    def values(self) -> dict[int, float]:
        """What the winner came to from each fresh seed; empty without a confirmation."""
        confirmation = self.summary.confirmation
        if confirmation is None:
            return {}
        return dict(zip(confirmation.seeds, confirmation.winner.values, strict=False))

    @property
    def interval(self) -> Interval | None:
        """The confirmed mean; None without a confirmation."""
        return mean_interval(list(self.values.values())) if self.values else None

    @property
    def seeds_are_alike(self) -> bool:
        """Whether fresh seeds made no difference, so that they show nothing."""
        return self.summary.confirmation is not None and self.summary.confirmation.seeds_are_alike

    @property
    def value(self) -> float | None:
        """The confirmed mean, or else the value in the search; None if no trial has completed."""
        if self.interval:
            return self.interval.mean
        return self.summary.best.value if self.summary.best else None

    @property
    def loss(self) -> float:
        """Its value so that less is better; infinite if it has none."""
        return math.inf if self.value is None else self.metric.loss(self.value)

    @property
    def curve(self) -> list[float]:
        """The winner's values over the epochs of its trial in the search."""
        if self.summary.best is None:
            return []
        curve = self.summary.best.curve
        return curve.averaged if self.summary.objective == "averaged" else curve.value

    def losses(self, seeds: Sequence[int] | None = None) -> list[float]:
        """What it came to from some of its fresh seeds, or from all, so that less is better."""
        values = self.values
        return [self.metric.loss(values[seed]) for seed in (values if seeds is None else seeds)]

    def row(self) -> dict[str, Any]:
        """All of it that fits into a row of a table, JSON-able."""
        best, interval, counts = self.summary.best, self.interval, self.summary.counts
        schedule, test = best.schedule if best else None, self.summary.test
        params = [*schedule.params.items(), *best.params.items()] if schedule and best else []
        row = {
            "study": self.name,
            "folder": str(self.summary.folder),
            "trial": best.number if best else None,
            "scheduler": schedule.scheduler if schedule else None,
            "lr": schedule.lr if schedule else None,
            "decay": schedule.decay if schedule else None,
            "warmup": schedule.warmup if schedule else None,
            "parameters": " ".join(f"{name}={value}" for name, value in params),
            "metric": self.metric.name,
            "direction": "maximize" if self.metric.maximize else "minimize",
            "unit": self.unit,
            "confirmed": interval is not None,
            "value": self.value,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "seeds": interval.count if interval else 0,
            "test_mse": test.mse if test else None,
            "trials": counts.endings.ended,
            "trials_asked": counts.asked,
            "epochs": self.summary.epochs,
            "epochs_trained": self.summary.epochs_trained,
            "worker_secs": self.summary.worker_secs,
        }
        return {name: _finite(value) for name, value in row.items()}


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


@dataclass(frozen=True)
class Comparison:
    """Studies beside each other, in the order they were asked for.

    Args:
        entries: The studies, at least two.
    """

    entries: tuple[Entry, ...]

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Each study against each other one."""
        return tuple(difference(one, other) for one, other in combinations(self.entries, 2))

    @property
    def groups(self) -> tuple[tuple[Entry, ...], ...]:
        """The studies that have a winner, those together whose values can be compared."""
        groups: dict[tuple[Metric, str, str | None], list[Entry]] = {}
        for entry in self.entries:
            if entry.summary.best:
                groups.setdefault((entry.metric, entry.unit, entry.rows), []).append(entry)
        return tuple(map(tuple, groups.values()))

    @property
    def sentences(self) -> tuple[str, ...]:
        """The differences; what cannot be compared is said once for a group, not for each pair."""
        sentences = [
            difference(one, other).sentence
            for group in self.groups
            for one, other in combinations(group, 2)
        ]
        for group, others in combinations(self.groups, 2):
            reasons = "; ".join(_obstacles(group[0], others[0]))
            sentences.append(
                f"{_listed(group)} cannot be compared with {_listed(others)}: {reasons}"
            )
        empty = [entry for entry in self.entries if entry.summary.best is None]
        return (*sentences, *(f"no trial of {entry.name} has completed yet" for entry in empty))

    @property
    def notes(self) -> tuple[str, ...]:
        """What to mind about the table and the differences, a sentence each."""
        notes = [
            f"{entry.name} has no confirmation: its value is that of the best trial of its search, "
            "which is partly luck"
            for entry in self.entries
            if entry.summary.best and not entry.values
        ]
        notes += [
            f"{entry.name}: {entry.summary.confirmation.doubt}"
            for entry in self.entries
            if entry.summary.confirmation and entry.summary.confirmation.doubt
        ]
        epochs = {entry.name: entry.summary.epochs for entry in self.entries}
        if len(set(epochs.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in epochs.items())
            notes.append(f"a trial does not have the same number of epochs in all: {listed}")
        objectives = {entry.name: entry.summary.objective for entry in self.entries}
        if len(set(objectives.values())) > 1:
            listed = ", ".join(f"{name} {objective!r}" for name, objective in objectives.items())
            notes.append(
                f"a trial's value is not the same thing in all (the setting objective): {listed}"
            )
        intervals = sum(found.lead is not None for found in self.differences)
        if intervals >= _SEVERAL:
            notes.append(
                f"of {intervals} intervals of 95 %, one may leave 0 out by chance alone; trust "
                "those that are far from it"
            )
        return tuple(notes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: every number and the sentences; what is not a finite number is None."""
        return {
            "studies": [
                {
                    **entry.row(),
                    "schedule": entry.summary.best.schedule.to_dict()
                    if entry.summary.best
                    else None,
                    "values": {str(seed): _finite(v) for seed, v in entry.values.items()},
                    "curve": [_finite(value) for value in entry.curve],
                }
                for entry in self.entries
            ],
            "sentences": list(self.sentences),
            "differences": [
                {
                    "studies": list(found.studies),
                    "basis": found.basis,
                    "lead": {n: _finite(v) for n, v in vars(found.lead).items()}
                    if found.lead
                    else None,
                    "beyond_noise": found.beyond_noise,
                    "sentence": found.sentence,
                }
                for found in self.differences
            ],
            "notes": list(self.notes),
        }


def compare(studies: Sequence[tuple[optuna.Study, StudyConfig, Path]]) -> Comparison:
    """Gather what several studies have found.

    Args:
        studies: Of each its trials, its settings as run and its results folder.

    Raises:
        InputError: A study is given twice.
    """
    folders = Counter(folder.resolve() for _, _, folder in studies)
    for _, _, folder in studies:
        if folders[folder.resolve()] > 1:
            raise InputError(f"{folder}: given more than once; compare different studies")
    names = _names([(study.study_name, folder) for study, _, folder in studies])
    entries = (
        Entry(
            name=name,
            summary=summarise(study, config, folder, top=1),
            rows=StudyReader(study, config).rows,
            seed=config.seed,
        )
        for name, (study, config, folder) in zip(names, studies, strict=True)
    )
    return Comparison(tuple(entries))


def _names(studies: Sequence[tuple[str, Path]]) -> list[str]:
    """The shortest names that tell studies apart: their own, their folders', or the paths."""
    for names in ([name for name, _ in studies], [folder.resolve().name for _, folder in studies]):
        if len(set(names)) == len(names):
            return names
    return [str(folder) for _, folder in studies]


def _listed(entries: Sequence[Entry]) -> str:
    *others, last = (entry.name for entry in entries)
    return f"{', '.join(others)} and {last}" if others else last


def difference(one: Entry, other: Entry) -> Difference:
    """What is known of the difference between two studies' winners."""
    names = (one.name, other.name)
    empty = [entry.name for entry in (one, other) if entry.summary.best is None]
    if empty:
        return Difference(names, "none", None, f"no trial of {' and '.join(empty)} has completed")
    obstacles = _obstacles(one, other)
    if obstacles:
        text = f"their values cannot be compared: {'; '.join(obstacles)}"
        return Difference(names, "none", None, text)
    return _of_comparable(one, other)


def _obstacles(one: Entry, other: Entry) -> list[str]:
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


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
