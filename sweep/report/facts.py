"""What a report says of a study: facts, and sentences about them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.base.languages.sentences import _, plural
from sweep.base.wording import column_name, counted, listed, number, percent
from sweep.confirm.audit import Audit
from sweep.confirm.best_schedule import HeldOutScore
from sweep.confirm.verdict import CONSTANT, Confirmation
from sweep.report.importance import Importance
from sweep.report.jsonable import jsonable
from sweep.report.references.baselines import BaselineFacts
from sweep.report.references.by_question import WinnersByQuestion
from sweep.report.references.carried_over import CarriedOver
from sweep.report.references.without_model import WithoutModel
from sweep.report.trials.excluded import Excluded
from sweep.report.trials.facts import Best, Rival, TrialFacts
from sweep.search.budget import Account
from sweep.search.completion import sentence
from sweep.search.trials import EndingCounts
from sweep.study.metric import Metric
from sweep.study.sections import Objective

_TOO_CLOSE = 0.01
"""A distance below this share may well turn with another seed."""

_FEW = 5
"""Trials below which a baseline has hardly been searched."""


@dataclass(frozen=True)
class Counts:
    """How the trials stand.

    Args:
        asked: Trials that the study is to have in all.
        endings: How those have ended that have.
        unfinished: In training, or left there by a run that was interrupted.
        trained_on: Those of the others that had been pruned, and were trained to their end so that
            there is something to compare.
    """

    asked: int
    endings: EndingCounts
    unfinished: int
    trained_on: int = 0


@dataclass(frozen=True)
class SchedulerFacts:
    """What one scheduler came to.

    Args:
        name: The scheduler.
        trials: All of them, running ones included.
        endings: How those have ended that have.
        best: Its best trial, if any has completed.
        median_value: Over its completed trials.
    """

    name: str
    trials: int
    endings: EndingCounts
    best: TrialFacts | None
    median_value: float | None


@dataclass(frozen=True)
class Summary:
    """What a study found.

    Args:
        study: Its name.
        folder: Its results.
        unit: Of the target; the MSE is in its square.
        epochs: Of a whole trial.
        objective: Which validation MSE is a trial's value.
        counts: How the trials stand.
        epochs_trained: By the trials that have ended.
        epochs_saved: Share of those trials' epochs that `trials.epochs_saved` gives, at least 0.
        worker_secs: Time the workers spent on `epochs_trained`.
        best: The winner, of the confirmation or else of the search; None if none has completed.
        constant: The best trial with a constant rate; None if none has completed.
        runner_up: The best trial of any other scheduler than the best one's.
        schedulers: What each scheduler came to, the best first.
        top: The best trials, the best first.
        importance: Which parameters mattered.
        test: How the best model does on rows that nothing else has looked at.
        failure: Why trials failed, most often; empty if none has.
        confirmation: What came of the best schedules on fresh seeds; None if they have not been
            trained on any, or if the search has found a better one since.
        metric: What trials are compared by; where this page says MSE, it is that.
        carried_over: How the trials of another study that went first did; None if none did.
        not_confirmed: What there was no time to confirm, in a sentence; empty if for all.
        left_out: Why a file of results says nothing here; empty if none is wrong.
        advice: What is wrong with steps and rates of the user's own code, a sentence each.
        changed_code: The files of such code that are not what they were for the first trials.
        baselines: The schedules to compare with.
        by_question: The best trials of the search at their best epoch, and after their last one.
        without_model: Predictions that need no model, against the winner.
        audit: What `sweep audit` found of these trials; None if it has not been asked.
        warnings: What a person would warn of who looked at its rows, a sentence each.
        account: What the study has cost.
        excluded: The trials that count for nothing here, and what that means.
    """

    study: str
    folder: Path
    unit: str
    epochs: int
    objective: Objective
    counts: Counts
    epochs_trained: int
    epochs_saved: float
    worker_secs: float
    best: Best | None
    constant: Rival | None
    runner_up: Rival | None
    schedulers: tuple[SchedulerFacts, ...]
    top: tuple[TrialFacts, ...]
    importance: Importance
    test: HeldOutScore | None
    failure: str
    confirmation: Confirmation | None = None
    metric: Metric = field(kw_only=True)
    carried_over: CarriedOver | None = None
    not_confirmed: str = ""
    left_out: str = ""
    advice: tuple[str, ...] = ()
    changed_code: tuple[str, ...] = ()
    baselines: tuple[BaselineFacts, ...] = ()
    by_question: WinnersByQuestion | None = None
    without_model: tuple[WithoutModel, ...] = ()
    audit: Audit | None = None
    warnings: tuple[str, ...] = ()
    account: Account = field(kw_only=True)
    excluded: Excluded = field(kw_only=True)

    @property
    def mse_unit(self) -> str:
        """The unit of the MSE, squared: `buy²`, `(log(1 + buy))²`; of a code, `('4')²`."""
        unit = column_name(self.unit)
        if not unit or not self.metric.is_mse:
            return ""
        return f"{unit}²" if unit.isidentifier() else f"({unit})²"

    @property
    def headline(self) -> str:
        """The result in a sentence."""
        if self.best is None:
            return plural(
                self.counts.endings.ended,
                "no trial has completed yet ({count} has ended)",
                "no trial has completed yet ({count} have ended)",
            )
        best = self.best
        told = ({} if best.r2 is None else {"R²": best.r2}) | {**best.beside}
        aside = _(", ").join(f"{name} {number(value)}" for name, value in told.items())
        value = number(best.value)
        epochs = ""
        if best.best_epoch is not None:
            whole = counted(self.epochs, "epoch")
            epochs = _(" after {epoch} of {epochs}", epoch=best.best_epoch, epochs=whole)
        reached = _(
            "reaches {metric} {value}{weights}{epochs}",
            metric=self.metric.title,
            value=_("{value} ({aside})", value=value, aside=aside) if aside else value,
            weights=_(" with averaged weights") if self.objective == "averaged" else "",
            epochs=epochs,
        )
        if self.confirmation:
            failed = _(
                "{reached} in the search, and diverged or failed on a fresh seed", reached=reached
            )
            reached = self.confirmation.reached or failed
        return _("{schedule} {reached}.", schedule=best.description, reached=reached)

    @property
    def luck(self) -> str:
        """How much of the winner's value in the search was luck, in a sentence."""
        if self.confirmation is None or self.best is None:
            return _("unknown without fresh seeds")
        if not self.best.completed:
            if not self.best.epochs:
                return _("the search had stopped it after its audition")
            return _(
                "the search had stopped it after {epoch} of {epochs}",
                epoch=self.best.epochs,
                epochs=counted(self.epochs, "epoch"),
            )
        if self.confirmation.winner.repeats:
            return _("unknown: every fresh seed gave it the same value")
        mean = self.confirmation.winner.interval.mean
        if not math.isfinite(mean):
            return _("unknown")
        if mean == self.best.value:
            return _("in the search it came to the same")
        return _(
            "in the search it came to {value}, {distance} {word} than on fresh seeds",
            value=number(self.best.value),
            distance=self.metric.distance(self.best.value, mean),
            word=_("worse") if self.metric.is_better(mean, self.best.value) else _("better"),
        )

    @property
    def gain(self) -> str:
        """The best schedule against a constant rate, in a sentence."""
        if self.confirmation and self.confirmation.constant:
            return self.confirmation.against_constant
        if self.best is None or self.constant is None:
            if any(facts.name == CONSTANT for facts in self.schedulers):
                return _("no trial with a constant rate completed")
            return _('no constant-rate trial to compare with; add "constant" to space.scheduler')
        rival = self.constant.trial
        if rival.number == self.best.number:
            return _("a constant rate is the best that was found")
        if rival.value == self.best.value:
            return _("a constant rate is as good")
        return _(
            "{distance} {better} than the best constant rate (lr {rate}: {value})",
            distance=self.metric.distance(self.best.value, rival.value),
            better=self.metric.better,
            rate=number(rival.schedule.lr),
            value=number(rival.value),
        )

    @property
    def has_rival(self) -> bool:
        """Whether there is a next best one, other than the constant rate that `gain` is about."""
        if self.confirmation is None:
            return self.runner_up is not None
        rival = self.confirmation.runner_up
        return rival is not None and rival is not self.confirmation.constant

    @property
    def rivalry(self) -> str:
        """The best schedule against the next best one, in a sentence.

        In a confirmation that is the next best candidate; without one, the best trial of another
        scheduler.
        """
        if self.confirmation:
            return self.confirmation.against_runner_up
        if self.best is None or self.runner_up is None:
            return _("no other scheduler has completed a trial")
        rival, best = self.runner_up.trial, self.best.value
        behind = _("{distance} behind", distance=self.metric.distance(best, rival.value))
        compared = _("as good") if rival.value == best else behind
        return _("{schedule}: {compared}", schedule=rival.description, compared=compared)

    @property
    def shares(self) -> str:
        """How the trials were spread over the schedulers, in a sentence; empty if there is one."""
        trials = [row.trials for row in self.schedulers]
        if len(trials) < 2:
            return ""
        if missing := [row.name for row in self.schedulers if not row.trials]:
            return _("no trial of {schedulers}", schedulers=_(", ").join(missing))
        least = counted(min(trials), "trial")
        return _(
            "every scheduler had at least {trials}, the most had {most}",
            trials=least,
            most=max(trials),
        )

    @property
    def trained_on(self) -> str:
        """How many pruned trials were trained to their end, in a sentence; empty if none was."""
        return sentence(self.counts.trained_on)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What to mind about the comparisons, a sentence each."""
        leader = self.best.number if self.best else None
        rivals = [r for r in (self.constant, self.runner_up) if r and r.trial.number != leader]
        beaten = next((each.caution for each in self.without_model if each.caution), "")
        first = (beaten, *self.warnings, self.left_out, self.not_confirmed, *self.advice)
        notes = [*self.excluded.sentences, *(note for note in first if note)]
        if self.changed_code:
            notes.append(
                _(
                    "{files} changed between the first trials and later ones, which may not "
                    "compare",
                    files=listed(self.changed_code),
                )
            )
        if self.confirmation is None and any(
            rival.behind is not None and rival.behind < _TOO_CLOSE for rival in rivals
        ):
            lead = percent(_TOO_CLOSE)
            notes.append(_("a lead below {lead} may turn with another seed", lead=lead))
        if self.confirmation and self.confirmation.doubt and not self.confirmation.seeds_are_alike:
            notes.append(self.confirmation.doubt)
        searched = {row.name: row.trials for row in self.schedulers}
        few = searched.get(CONSTANT, 0)
        if self.best and few and few < _FEW:
            name = self.best.schedule.scheduler
            if few < searched[name]:
                notes.append(
                    _(
                        "a constant rate had only {trials}, {scheduler} had {others}",
                        trials=counted(few, "trial"),
                        scheduler=name,
                        others=searched[name],
                    )
                )
        candidates = self.confirmation.candidates if self.confirmation else ()
        confirmed = {candidate.schedule.scheduler for candidate in candidates}
        stopped = [
            r.name for r in self.schedulers if r.name in confirmed and not r.endings.completed
        ]
        if stopped:
            notes.append(
                _(
                    "no trial of {schedulers} completed: what stands for it was stopped early in "
                    "the search, and is hardly tuned",
                    schedulers=_(", ").join(stopped),
                )
            )
        return tuple(notes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with the sentences; what is not a finite number is None."""
        names = ("headline", "luck", "shares", "trained_on", "gain", "cautions", "mse_unit")
        sentences = {name: jsonable(getattr(self, name), self.metric) for name in names}
        confirmation = self.confirmation.to_dict() if self.confirmation else None
        named: dict[str, Any] = jsonable(self, self.metric) | sentences
        if confirmation:  # what the search alone says of rivals must not pass for what is confirmed
            for name in ("constant", "runner_up"):
                named[f"search_{name}"] = named.pop(name)
        carried = self.carried_over.to_dict() if self.carried_over else None
        audit = self.audit.to_dict() if self.audit else None
        del named["excluded"]  # files have called it another name from the beginning
        parts = {"confirmation": confirmation, "carried_over": carried, "audit": audit}
        return named | parts | {"set_aside": self.excluded.to_dict()}
