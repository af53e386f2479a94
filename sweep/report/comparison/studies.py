"""Several studies beside each other: facts, and sentences about what differs beyond noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import optuna

from sweep.base.errors import InputError
from sweep.report.comparison.entry import Entry, finite
from sweep.report.comparison.settings import Setting, differing_settings, settings_of
from sweep.report.comparison.winners import Difference, difference, obstacles
from sweep.report.summary import summarise
from sweep.search.trials import StudyReader
from sweep.study.metric import Metric
from sweep.study.settings import StudyConfig

_SEVERAL = 3
"""Intervals from which on one that misses by chance is worth a word."""


@dataclass(frozen=True)
class Comparison:
    """Studies beside each other, in the order they were asked for.

    Args:
        entries: The studies, at least two.
    """

    entries: tuple[Entry, ...]

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The settings that are not the same in all of them."""
        return differing_settings([entry.settings for entry in self.entries])

    @property
    def same_settings(self) -> str:
        """That no setting differs, in a sentence; empty where one does."""
        if self.settings:
            return ""
        rows = any(entry.rows for entry in self.entries)
        return f"no setting differs{', and the rows are the same' if rows else ''}"

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
            reasons = "; ".join(obstacles(group[0], others[0]))
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
        names = [entry.name for entry in self.entries]
        return {
            "settings": {
                setting.key: dict(zip(names, setting.values, strict=True))
                for setting in self.settings
            },
            "studies": [
                {
                    **entry.row(),
                    "schedule": entry.summary.best.schedule.to_dict()
                    if entry.summary.best
                    else None,
                    "values": {str(seed): finite(v) for seed, v in entry.values.items()},
                    "curve": [finite(value) for value in entry.curve],
                }
                for entry in self.entries
            ],
            "sentences": list(self.sentences),
            "differences": [
                {
                    "studies": list(found.studies),
                    "basis": found.basis,
                    "lead": {n: finite(v) for n, v in vars(found.lead).items()}
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
            settings=settings_of(study, config),
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
