"""What is sent to a tracker: a study, and each of its trials as a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

Setting = float | int | str | bool
"""The value of a hyperparameter."""


@dataclass(frozen=True)
class Study:
    """Whose runs they are; it is known before the first of them.

    Args:
        name: The study's.
        id: Tells it from others of that name, and from what `--fresh` has thrown away.
        begun: When it was begun, in seconds since 1970.
        settings: What all of its trials have in common, by dotted key.
        metric: What trials are compared by.
        maximize: Whether more of it is better.
    """

    name: str
    id: str
    begun: float
    settings: Mapping[str, Setting]
    metric: str
    maximize: bool


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch.

    Args:
        number: The epoch, from 1.
        at: When it ended, in seconds since 1970.
        values: By name; what is not known is left out.
    """

    number: int
    at: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class TrialRun:
    """A trial that has ended, as a run.

    Args:
        number: The trial's.
        description: What it was trained with, in one line.
        ending: How it ended: completed, pruned, diverged, failed.
        params: What it was trained with, by name.
        tags: What is to be read or filtered by, by name.
        epochs: Its course.
        results: What it came to, by name.
        started: When, in seconds since 1970.
        finished: Likewise.
    """

    number: int
    description: str
    ending: str
    params: Mapping[str, Setting]
    tags: Mapping[str, str]
    epochs: tuple[Epoch, ...]
    results: Mapping[str, float]
    started: float
    finished: float

    @property
    def name(self) -> str:
        """A name that sorts as the trials do."""
        return trial_name(self.number)


def trial_name(number: int) -> str:
    """What the run of a trial is called."""
    return f"trial-{number:04}"


@dataclass(frozen=True)
class StudyRun:
    """What a study has found so far, as a run above those of its trials.

    Args:
        at: When, in seconds since 1970.
        trials: How many have ended.
        results: By name.
        tags: By name.
        course: The best value after each trial, whose number stands for the epoch's.
        report: In Markdown.
        code: The best schedule as Python; empty as long as there is none.
        winner: The winner's number; None as long as there is none.
        winner_files: Its own.
        files: Of the whole study.
        discarded: The numbers of the trials that count for nothing.
    """

    at: float
    trials: int
    results: Mapping[str, float]
    tags: Mapping[str, str]
    course: tuple[Epoch, ...]
    report: str
    code: str
    winner: int | None
    winner_files: tuple[Path, ...] = field(default=())
    files: tuple[Path, ...] = field(default=())
    discarded: tuple[int, ...] = ()


class Connection(Protocol):
    """A tracker that takes runs."""

    def has_trial(self, number: int) -> bool:
        """Whether the run of a trial is there, whole: then it is not sent again."""

    def send_trial(self, trial: TrialRun) -> None:
        """Make a run of a trial, or complete the one that was sent in part."""

    def send_study(self, study: StudyRun) -> None:
        """Make a run of the study, or bring the one that is there up to date."""

    def close(self) -> None:
        """Leave nothing unwritten."""
