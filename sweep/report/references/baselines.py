"""The user's own schedules against the best one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.base.languages.sentences import _, read_back
from sweep.confirm.verdict import Confirmation
from sweep.schedules.from_torch import as_text
from sweep.schedules.schedule import Schedule
from sweep.search.trials import Ending, Trial
from sweep.study.metric import Metric


@dataclass(frozen=True)
class BaselineFacts:
    """A schedule of the user's own, and how it compares.

    Args:
        name: What the user calls it.
        trial: Its trial.
        schedule: The schedule.
        value: What it came to in the search; None if it has not completed.
        verdict: How far it is behind, with its interval where it was confirmed, in a few words.
    """

    name: str
    trial: int
    schedule: Schedule
    value: float | None
    verdict: str

    @property
    def sentence(self) -> str:
        """Which it is, and how it compares."""
        described = named = self.schedule.describe()
        if self.name != as_text(self.schedule):
            named = _("{name} ({schedule})", name=self.name, schedule=described)
        return _("{named}: {verdict}", named=named, verdict=self.verdict)


def compared_baselines(
    trials: Sequence[Trial], best: Trial | None, confirmation: Confirmation | None, metric: Metric
) -> tuple[BaselineFacts, ...]:
    """The schedules to compare with, in the order in which they were given.

    Args:
        trials: Of the study, each once.
        best: The winner; None if no trial has completed.
        confirmation: What made it the winner; None if the search alone did.
        metric: What they are compared by.
    """
    candidates = confirmation.candidates if confirmation else ()
    facts = []
    for trial in trials:
        if not trial.baseline:
            continue
        confirmed = next((c for c in candidates if c.trial == trial.number), None)
        if confirmation and confirmed:
            verdict = confirmation.behind(confirmed)
        else:
            verdict = _in_search(trial, best, metric)
        named = (read_back(trial.baseline), trial.number, trial.schedule, trial.value)
        facts.append(BaselineFacts(*named, verdict))
    return tuple(facts)


def _in_search(trial: Trial, best: Trial | None, metric: Metric) -> str:
    if trial.ending is None:
        return _("waits to be trained") if trial.is_waiting else _("in training")
    if trial.value is None:
        reason = read_back(trial.reason)
        if trial.ending == Ending.DIVERGED:
            return reason
        if trial.ending == Ending.FAILED:
            return _("failed: {reason}", reason=reason)
        return _("ended early: {reason}", reason=reason)
    if best is None or best.value is None:
        return _("there is nothing to compare it with")
    if best.number == trial.number:
        return _("the best that was found, by one training each")
    if best.value == trial.value:
        return _("as good, by one training each")
    distance = metric.distance(best.value, trial.value)
    if metric.is_better(trial.value, best.value):
        return _("{distance} ahead by one training each, which may be luck", distance=distance)
    return _("{distance} behind by one training each, which may be luck", distance=distance)
