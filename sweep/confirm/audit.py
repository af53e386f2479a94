"""Audit: what pruning cost and saved, by training some of the pruned trials to their end."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.special import betaincinv

from sweep.base.csv_cells import frame_from_csv, frame_to_csv
from sweep.base.errors import InputError
from sweep.base.files import write_whole
from sweep.base.languages.sentences import _
from sweep.base.wording import counted, percent
from sweep.confirm.intervals import LEVEL
from sweep.schedules.schedule import Schedule
from sweep.search.budget import epochs_saved
from sweep.search.context import RunContext
from sweep.search.trials import Ending, Trial, completed, standing_for_themselves
from sweep.study.metric import Metric
from sweep.study.results_folder import AUDIT
from sweep.study.settings import StudyConfig
from sweep.study.space import Suggestion
from sweep.training.contract import TrialSpec
from sweep.training.record import TrialRecord
from sweep.training.specs import trial_spec
from sweep.training.workers.pool import Pool
from sweep.training.workers.retraining import Retraining

_WHAT = "training pruned trials to their end"


@dataclass(frozen=True)
class Audited:
    """A pruned trial that was trained to its end.

    Args:
        trial: Its number.
        suggestion: What it was trained with.
        pruned_at: Epochs that it had when it was stopped, without those of its audition.
        value: What it would have come to; `Metric.worst` if it diverges or raises.
        failed_audition: Whether it was stopped after its audition.
    """

    trial: int
    suggestion: Suggestion
    pruned_at: int
    value: float
    failed_audition: bool = False

    @property
    def schedule(self) -> Schedule:
        """Its schedule."""
        return self.suggestion.schedule


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        audited: The sample, the best first.
        pruned: All trials that the pruner stopped.
        best_value: The search's best value, which they are compared with.
        epochs_trained: By the whole search.
        epochs_saved: By pruning: what the pruned trials would have trained on for, without what
            was trained twice because it was pruned first, and without auditions.
        metric: What trials are compared by.
    """

    audited: tuple[Audited, ...]
    pruned: int
    best_value: float
    epochs_trained: int
    epochs_saved: int
    metric: Metric

    @property
    def better(self) -> tuple[Audited, ...]:
        """Those that would have beaten the best trial of the search."""
        better = self.metric.is_better
        return tuple(one for one in self.audited if better(one.value, self.best_value))

    @property
    def share_better(self) -> tuple[float, float]:
        """The interval for the share of all pruned trials that would have.

        It is Clopper and Pearson's (1934) for a sample of a large number, which is cautious for
        one of few; what the sample itself shows bounds it.
        """
        count, found = len(self.audited), len(self.better)
        least, most = found / self.pruned, (found + self.pruned - count) / self.pruned
        tail = (1 - LEVEL) / 2
        low = float(betaincinv(found, count - found + 1, tail)) if found else 0.0
        high = float(betaincinv(found + 1, count - found, 1 - tail)) if found < count else 1.0
        return max(low, least), min(high, most)

    @property
    def regret(self) -> float | None:
        """How much better the best of the audited is than the search's best, as a share of it.

        None where a share says nothing.
        """
        return self.metric.lead(self.better[0].value, self.best_value) if self.better else 0.0

    @property
    def sentences(self) -> tuple[str, ...]:
        """What it found, in words."""
        count, found = len(self.audited), len(self.better)
        low, high = self.share_better
        pruned = counted(self.pruned, "pruned trial")
        asked = (
            _("all {pruned}", pruned=pruned)
            if count == self.pruned
            else _("{count} of {pruned}", count=count, pruned=pruned)
        )
        first = _(
            "trained {asked} to the end: {found} would have beaten the best of the search",
            asked=asked,
            found=found,
        )
        if count < self.pruned:
            first += _(
                " (of all pruned trials, 95 % interval, {low} to {high} would)",
                low=percent(low),
                high=percent(high),
            )
        cost = _("pruning has cost nothing that this sample shows")
        if found:
            distance = self.metric.distance(self.better[0].value, self.best_value)
            cost = _("the best of them would have been {distance} better", distance=distance)
        whole = self.epochs_trained + self.epochs_saved
        saved = _(
            "pruning saved {saved:,} of {epochs} ({share})",
            saved=self.epochs_saved,
            epochs=counted(whole, "epoch"),
            share=percent(self.epochs_saved / whole),
        )
        return first, *self._by_stage(), cost, saved

    def _by_stage(self) -> tuple[str, ...]:
        """How many would have won of those that failed their audition, and of those pruned later.

        Nothing where no trial of the sample had an audition.
        """
        failed = [one for one in self.audited if one.failed_audition]
        later = [one for one in self.audited if not one.failed_audition]
        if not failed:
            return ()
        better = set(map(id, self.better))
        counts = [sum(id(one) in better for one in stage) for stage in (failed, later)]
        told = _(
            "of {failed} that had failed their audition, {found} would have beaten it",
            failed=len(failed),
            found=counts[0],
        )
        if later:
            told += _(
                "; of {later} that were pruned later, {found}", later=len(later), found=counts[1]
            )
        return (told,)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: every number and the sentences."""
        low, high = self.share_better
        return {
            "pruned": self.pruned,
            "audited": [
                {
                    "trial": one.trial,
                    "schedule": one.schedule.to_dict(),
                    **({"params": dict(params)} if (params := one.suggestion.params) else {}),
                    "pruned_at": one.pruned_at,
                    "failed_audition": one.failed_audition,
                    self.metric.name: one.value if math.isfinite(one.value) else None,
                }
                for one in self.audited
            ],
            "would_have_won": len(self.better),
            "share_low": low,
            "share_high": high,
            "regret": self.regret,
            f"best_{self.metric.name}": self.best_value,
            "epochs_trained": self.epochs_trained,
            "epochs_saved": self.epochs_saved,
            "sentences": list(self.sentences),
        }


def audit(
    context: RunContext,
    pool: Pool,
    sample: int,
    stop: threading.Event,
    on_epochs: Callable[[str, int, int], None],
) -> Audit | None:
    """Train a random sample of the pruned trials to their end; `audit.csv` holds what they came to.

    Each is trained from its own seed, so its first epochs are those that it had.

    Args:
        context: A study that has been run.
        pool: The workers.
        sample: How many; all if there are fewer.
        stop: Set from anywhere to end soon.
        on_epochs: Told what is done, how many epochs have been trained, and of how many at most.

    Returns:
        What was found; None, and the file as it was, if it was stopped.

    Raises:
        InputError: Nothing was pruned, or nothing has completed.
    """
    config = context.config
    pruned = pruned_trials(context.trials)
    metric = config.measure
    done = completed(context.trials, metric)
    if not pruned or not done:
        what = "no trial was pruned" if done else "no trial has completed"
        raise InputError(f"study {context.location.name!r}: {what}, so there is nothing to audit")
    trials = {trial.number: trial for trial in _sample(pruned, sample, config)}
    values: dict[int, float] = {}

    def keep(spec: TrialSpec, record: TrialRecord) -> None:
        value = None if record.reason else record.value(config.objective, metric)
        values[spec.number] = metric.worst if value is None else value

    specs = [
        replace(trial_spec(config, number, trial.suggestion), name=f"audit-{number}")
        for number, trial in sorted(trials.items())
    ]
    most = len(specs) * config.epochs
    Retraining(
        kind="trial",
        epochs=config.epochs,
        stop=stop,
        note=context.note,
        metric=metric,
        on_epochs=lambda count: on_epochs(_WHAT, count, most),
        on_record=keep,
    ).run(pool, specs)
    if stop.is_set():
        return None
    found = _audit(values, context.trials, config)
    write_whole(context.location.folder / AUDIT, frame_to_csv(_frame(found)))
    return found


def read_audit(trials: Sequence[Trial], config: StudyConfig, folder: Path) -> Audit | None:
    """What `audit.csv` holds; None if there is none, or if trials have come or gone since.

    The sample is drawn by the study's seed, so it is that of these trials, or of others.

    Args:
        trials: All trials of the study.
        config: Its settings.
        folder: Its results.
    """
    metric = config.measure
    try:
        frame = frame_from_csv(folder / AUDIT)
        reached = frame[metric.name].astype(float).fillna(metric.worst)
        values = dict(zip(frame["trial"].astype(int), reached, strict=True))
    except (OSError, ValueError, KeyError):
        return None
    sample = _sample(pruned_trials(trials), len(values), config)
    is_of_these = {trial.number for trial in sample} == set(values)
    return _audit(values, trials, config) if is_of_these and completed(trials, metric) else None


def pruned_trials(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that the pruner stopped for good; not those that diverged."""
    alone = standing_for_themselves(trials)
    return [trial for trial in alone if trial.ending == Ending.PRUNED]


def _sample(pruned: Sequence[Trial], count: int, config: StudyConfig) -> list[Trial]:
    return random.Random(config.seed).sample(pruned, min(count, len(pruned)))


def _audit(values: Mapping[int, float], trials: Sequence[Trial], config: StudyConfig) -> Audit:
    """An audit by what its trials came to."""
    metric = config.measure
    audited = [
        Audited(t.number, t.suggestion, t.epochs, values[t.number], t.failed_audition)
        for t in trials
        if t.number in values
    ]
    return Audit(
        audited=tuple(sorted(audited, key=lambda one: metric.rank(one.value, one.trial))),
        pruned=len(pruned_trials(trials)),
        best_value=completed(trials, metric)[0].result,
        epochs_trained=sum(trial.epochs_spent for trial in trials),
        epochs_saved=epochs_saved(trials, (Ending.PRUNED,), config.epochs),
        metric=metric,
    )


def _frame(found: Audit) -> pd.DataFrame:
    rows = [
        {
            "trial": one.trial,
            "scheduler": one.schedule.scheduler,
            "lr": one.schedule.lr,
            "decay": one.schedule.decay,
            **one.suggestion.params,
            "pruned_at": one.pruned_at,
            "failed_audition": one.failed_audition,
            found.metric.name: one.value if math.isfinite(one.value) else None,
            "would_have_won": one in found.better,
        }
        for one in found.audited
    ]
    return pd.DataFrame(rows)
