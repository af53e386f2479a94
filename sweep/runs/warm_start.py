"""Carry-over: the best trials of another study go first, and whether their ranking held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.base.errors import InputError
from sweep.base.wording import counted, number
from sweep.confirm.best_schedule import BestSchedule
from sweep.search.origins import CarriedFrom, Source, carry_over
from sweep.search.storage.opening import explained
from sweep.search.storage.opening import load_study as load_trials
from sweep.search.storage.urls import storage_url
from sweep.search.trials import StudyReader, Trial, completed, standing
from sweep.study.baselines.points import fits, nearest, values_of
from sweep.study.file import load_study
from sweep.study.locations import SAVED_STUDY, Location, locate_results
from sweep.study.metric import Metric
from sweep.study.settings import StudyConfig
from sweep.study.space import Choice, Dimension, Range, Suggestion, Value

MOST = 10
"""Trials that are carried over at most."""

_SHOWN = 3
_BESIDE = ("momentum", "weight_decay")


@dataclass(frozen=True)
class Carried:
    """A trial of another study, as this one is to train it.

    Args:
        trial: Its number there.
        parameters: What Optuna is given: the dimensions that this study searches.
        value: What it came to there; None if it was stopped early.
    """

    trial: int
    parameters: dict[str, Value]
    value: float | None


@dataclass(frozen=True)
class WarmStart:
    """The best trials of another study.

    Args:
        study: The other study's name; its folder if the names are the same.
        epochs: Of a whole trial there.
        maximize: Whether more is better there.
        trials: Those that lie inside this study's space, the best first.
        left_out: Why each of the others does not, a sentence each.
    """

    study: str
    epochs: int
    maximize: bool
    trials: tuple[Carried, ...]
    left_out: tuple[str, ...]

    def enqueue(self, reader: StudyReader, most: int) -> str:
        """Put the trials before all others of a study that has none yet.

        Args:
            reader: Of where they go; each is marked with `from_study`, `from_trial`, `from_value`.
            most: Trials that the study is to have.

        Returns:
            What was carried over and what was not, in a sentence.
        """
        trials = self.trials[:most]
        reader.begin_with(Source(self.study, self.epochs, self.maximize))
        for carried in trials:
            came_from = CarriedFrom(self.study, carried.trial, carried.value)
            carry_over(reader.study, carried.parameters, came_from)
        origin = f"{self.study} ({counted(self.epochs, 'epoch')})"
        told = f"carried over from {origin}: {counted(len(trials), 'trial')}"
        if not self.left_out:
            return told
        listed = "; ".join(self.left_out[:_SHOWN])
        more = len(self.left_out) - _SHOWN
        others = f"; and {more} more" if more > 0 else ""
        return f"{told}; left out {len(self.left_out)}: {listed}{others}"


def best_of_other(location: Location, config: StudyConfig) -> WarmStart:
    """Read the study that `warm_start` names.

    Its confirmed winner is first, then its standing follows. Trials that are the same to this
    study (constant rates with other decays, say) are taken once.

    Args:
        location: This study's places.
        config: This study's settings; `warm_start` is not None.

    Raises:
        InputError: There is no such study, it is this one, no trial of it has completed, or this
            study's sampler or mode leaves no place for its trials.
        StorageError: Its storage cannot be read.
    """
    named = config.warm_start
    if config.sampling.name == "grid":
        raise InputError(f"warm_start {named!r}: the sampler grid trains its own points alone")
    if config.fair:
        raise InputError(
            f"warm_start {named!r}: a fair study (fair) gives every scheduler the same start; "
            "leave one of the two out"
        )
    try:
        folder = locate_results(named)
    except InputError as problem:
        raise InputError(f"warm_start: {problem}") from None
    theirs = load_study(folder / SAVED_STUDY)
    name, url = theirs.name or folder.resolve().name, storage_url(theirs.storage, folder)
    ours = (location.name, storage_url(config.storage, location.folder))
    if folder.resolve() == location.folder.resolve() or (name, url) == ours:
        raise InputError(
            f"warm_start {named!r}: that is this study itself; give this one another --out"
        )
    with explained(url):
        trials = StudyReader(load_trials(name, url), theirs).trials
    best = _best_first(trials, folder, theirs.measure)
    if not best:
        raise InputError(
            f"warm_start {named!r}: no trial of it has completed; run it to its end: "
            f"sweep run {folder}"
        )
    shown = str(folder) if name == location.name else name
    return _fitted(shown, theirs, best[:MOST], config)


def _best_first(trials: Sequence[Trial], folder: Path, metric: Metric) -> list[Trial]:
    """The standing, with a winner that was confirmed since before all; empty if none completed."""
    done = completed(trials, metric)
    if not done or not done[0].is_finite:
        return []
    ranked = [t for t in standing(trials, metric) if t.value is None or t.is_finite]
    written = BestSchedule.read(folder)
    if written is None or not written.confirmation:
        return ranked
    if written.best_of_search != done[0].number:
        return ranked
    return sorted(ranked, key=lambda trial: trial.number != written.trial)


def _fitted(
    name: str, theirs: StudyConfig, best: Sequence[Trial], config: StudyConfig
) -> WarmStart:
    """The trials as this study trains them, and why others are left out."""
    taken: list[Carried] = []
    suggestions: list[Suggestion] = []
    left_out = []
    space = config.search_space
    fixed = {n: d.points(1)[0] for n, d in space.dimensions().items() if d.fixed}
    for trial in best:
        values = _values(trial, theirs)
        reason = _misfit(values, theirs, config)
        if reason:
            left_out.append(f"trial {trial.number}, {reason}")
            continue
        scheduler = str(values["scheduler"])
        asked: dict[str, Dimension] = {"scheduler": Choice(space.schedulers)}
        asked |= space.dimensions_of(scheduler, values.get("optimizer"))
        parameters = {
            n: nearest(d, values.get(n, d.points(1)[0])) for n, d in asked.items() if n not in fixed
        }
        suggestion = space.suggestion({**fixed, "scheduler": scheduler, **parameters})
        if suggestion in suggestions:
            same = taken[suggestions.index(suggestion)].trial
            left_out.append(f"trial {trial.number}, the same as trial {same}")
            continue
        suggestions.append(suggestion)
        taken.append(Carried(trial.number, parameters, trial.value))
    maximize = theirs.measure.maximize
    return WarmStart(name, theirs.epochs, maximize, tuple(taken), tuple(left_out))


def _values(trial: Trial, config: StudyConfig) -> dict[str, Value]:
    """What a trial was trained with, by dimension, and the optimizer's settings beside it."""
    dimensions = config.search_space.dimensions()
    fixed = {n: d.points(1)[0] for n, d in dimensions.items() if d.fixed}
    outside = values_of(trial.suggestion) if trial.baseline else {}
    return {**_of_optimizer(config), **fixed, **trial.parameters, **outside}


def _of_optimizer(config: StudyConfig) -> dict[str, Value]:
    if config.own_code:
        return {}
    first = config.optimizer.of({})
    settings: dict[str, Value | None] = {name: getattr(first, name) for name in _BESIDE}
    settings |= {"optimizer": first.names[0], "batch_size": first.batch_sizes[0]}
    return {name: value for name, value in settings.items() if value is not None}


def _misfit(values: dict[str, Value], theirs: StudyConfig, config: StudyConfig) -> str:
    """Why this study cannot have drawn these values; empty if it can."""
    space, scheduler = config.search_space, str(values["scheduler"])
    if scheduler not in space.schedulers:
        return f"{scheduler} is not searched here"
    if space.factories.get(scheduler) != theirs.search_space.factories.get(scheduler):
        return f"{scheduler} is another schedule here"
    set_here = _of_optimizer(config)
    optimizer = values.get("optimizer")
    dimensions: dict[str, Dimension] = dict(space.dimensions_of(scheduler, optimizer))
    for name in (*_BESIDE, *theirs.search_space.params):  # searched there, and set otherwise here
        if name in theirs.search_space.shared and name not in dimensions:
            if name not in set_here:
                return f"{name} is not searched here"
            value = set_here[name]
            dimensions[name] = Choice((value,)) if isinstance(value, str) else Range(value, value)
    for name, dimension in dimensions.items():
        if name in space.ignored_by(scheduler, optimizer):
            continue
        if name not in values:
            return f"{name} was not set there"
        if not fits(dimension, values[name]):
            value = values[name]
            shown = value if isinstance(value, str) else number(value)
            return f"{name} {shown} is not in {dimension}"
    return ""
