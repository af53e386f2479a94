"""A trial that has been asked for and has not ended: its epochs, and whether and how it ends."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.base.languages.sentences import kept
from sweep.base.wording import counted
from sweep.search.attributes import (
    ADVICE,
    TOTAL_STEPS,
    TRACEBACK,
    audition_horizon,
    completes,
    has_passed,
    write_audition,
    write_passed,
    write_record,
)
from sweep.search.origins import BASELINE, given_suggestion, is_outside
from sweep.search.status import Lane
from sweep.search.storage.optuna_private import stored
from sweep.study.metric import Metric
from sweep.study.settings import StudyConfig
from sweep.training.contract import EpochResult, TrialEnd, TrialSpec
from sweep.training.divergence import divergence
from sweep.training.record import Audition, TrialRecord, what_diverged
from sweep.training.specs import trial_spec

_NEARLY = 0.75
"""From such a share of a whole trial's steps on, an audition is told the whole trial's."""


@dataclass(eq=False)
class InTraining:
    """A trial in training.

    `reported` is the last epoch that has been reported already, by an interrupted run or before a
    worker's death: up to there the trial has been judged, and Optuna takes no second report. An
    audition is reported as a whole, at the step that is its horizon; as long as it is in training,
    that is the horizon of `spec`, and `curve` is its course. `audition_value` is what it came to;
    `audition_steps` are the optimizer steps that the user's own code has told of it.
    """

    trial: optuna.Trial
    spec: TrialSpec
    reported: int = 0
    curve: list[EpochResult] = field(default_factory=list)
    awaits_decision: bool = False
    audition_steps: int | None = None
    audition_value: float = math.nan

    @classmethod
    def of(cls, trial: optuna.Trial, config: StudyConfig, audition: int = 0) -> InTraining:
        """One that has been asked for: its parameters are drawn, unless they have been.

        Args:
            trial: It.
            config: The study's settings.
            audition: The horizon of its audition, in epochs; 0 if it has none.
        """
        frozen = stored(trial)
        given = given_suggestion(frozen)
        drawn = None if is_outside(frozen) else config.search_space.suggest(trial)
        suggestion = given or drawn
        assert suggestion is not None
        spec = trial_spec(config, trial.number, suggestion, completes(trial))
        reported = max(frozen.intermediate_values, default=0)
        running = cls(trial, spec, reported)
        if audition and running.is_pruned:
            if reported < audition:
                running.spec = replace(spec, epochs=audition)
            is_reported = reported == audition == audition_horizon(frozen)
            running.awaits_decision = is_reported and not has_passed(frozen)
            running.audition_value = frozen.intermediate_values.get(audition, math.nan)
        running.reported = max(reported, audition)
        return running

    @property
    def is_pruned(self) -> bool:
        """Whether the pruner may stop it."""
        return completes(self.trial) is None and BASELINE not in self.trial.user_attrs

    @property
    def is_audition(self) -> bool:
        """Whether it is not trained over the study's horizon yet."""
        return self.spec.epochs is not None

    @property
    def lane(self) -> Lane:
        """What is shown of it."""
        number, scheduler = self.trial.number, self.spec.schedule.scheduler
        return Lane(number, scheduler, len(self.curve), self.spec.epochs)

    def judge(
        self, result: EpochResult, config: StudyConfig, decisions: Collection[int] | None
    ) -> tuple[TrialState, str] | None:
        """Report an epoch.

        Args:
            result: The epoch.
            config: The study's settings.
            decisions: The epochs after which the pruner is asked; None for all.

        Returns:
            How the trial ends with it, if it does, and why.
        """
        self.curve.append(result)
        diverged = what_diverged(result, config.measure)
        if diverged:
            return TrialState.PRUNED, divergence(result.epoch, diverged)
        if self.spec.epochs:
            if result.epoch >= self.spec.epochs:
                self._end_audition(config)
            return None
        is_new = result.epoch > self.reported
        if is_new:
            averaged = result.averaged
            if averaged is None or config.pruner.signal == "raw":
                self.trial.report(result.value, result.epoch)
            else:
                self.trial.report(averaged, result.epoch)
        if result.epoch >= config.epochs:
            return TrialState.COMPLETE, ""
        may_end = decisions is None or result.epoch in decisions
        if is_new and may_end and self.is_pruned and self.trial.should_prune():
            name, epoch = config.pruning.name, result.epoch
            return TrialState.PRUNED, kept(
                "pruned at epoch {epoch} by {name}", epoch=epoch, name=name
            )
        return None

    def decide(self) -> tuple[TrialState, str] | None:
        """How the trial ends with its audition, if it does not pass it, and why."""
        self.awaits_decision = False
        if self.trial.should_prune():
            over = counted(self.reported, "epoch")
            return TrialState.PRUNED, kept("pruned by its audition over {epochs}", epochs=over)
        return None

    def audition_rank(self, metric: Metric) -> tuple[bool, float, int]:
        """What auditions are sorted by, the best first."""
        value = self.audition_value
        return math.isnan(value), *metric.rank(value, self.trial.number)

    def pass_audition(self) -> None:
        """Keep that it goes on; whatever interrupts it, its audition is decided on no more."""
        self.awaits_decision = False
        write_passed(self.trial)

    def ignores_horizon(self, epochs: int) -> bool:
        """Whether the user's own code has trained an audition as if it were a whole trial.

        Seen by the steps that it has told `attach`, beside those that it takes in an epoch; where
        these are not known, once the whole trial is told no more steps than its audition.

        Args:
            epochs: Of a whole trial.
        """
        if not self.is_audition:
            told_again = self.curve[-1].total_steps if self.curve else None
            return self.audition_steps is not None and told_again == self.audition_steps
        told, taken = (
            [getattr(result, name) or 0 for result in self.curve]
            for name in ("total_steps", "steps")
        )
        if not max(told, default=0) or not max(taken):
            return False
        if told[-1] == epochs:  # a scheduler that is stepped once an epoch
            return epochs != (self.spec.epochs or 0) * max(taken)
        return told[-1] > _NEARLY * epochs * max(taken)

    def skip_audition(self) -> None:
        """Train it over the study's horizon, from the start."""
        self.spec = replace(self.spec, epochs=None)
        self.curve = []

    def _end_audition(self, config: StudyConfig) -> None:
        """Report what the audition came to; what is trained next is the whole trial."""
        if self.ignores_horizon(config.epochs):
            return
        audition = self._audition(config)
        assert self.spec.epochs is not None
        write_audition(self.trial, audition, config.measure)
        value = math.nan if audition.value is None else audition.value
        self.trial.report(value, self.spec.epochs)
        self.audition_value = value
        self.reported = self.spec.epochs
        self.audition_steps = self.curve[-1].total_steps
        self.skip_audition()
        self.awaits_decision = True

    def _audition(self, config: StudyConfig) -> Audition:
        assert self.spec.epochs is not None
        record = TrialRecord.from_curve(self.spec.seed, self.curve, "")
        value = record.value(config.objective, config.measure)
        return Audition(self.spec.epochs, record.curve, value)

    def ended_early(self, end: TrialEnd, config: StudyConfig) -> tuple[TrialState, str] | None:
        """How a trial ends that has stopped before its last epoch, and why.

        One that never said what it came to has not completed. None if it is its audition that has
        ended.
        """
        if end.ending == "completed":
            if self.curve and self.is_audition:
                self._end_audition(config)
                return None
            if self.curve:
                return TrialState.COMPLETE, ""
            return TrialState.FAIL, "it ended before its first epoch did"
        if end.ending == "diverged":
            return TrialState.PRUNED, divergence(end.epoch + 1, end.reason)
        return TrialState.PRUNED, f"pruned at epoch {end.epoch}: {end.reason}"

    def tell(
        self,
        study: optuna.Study,
        config: StudyConfig,
        variance: float,
        state: TrialState,
        reason: str,
        traceback: str = "",
    ) -> FrozenTrial:
        """End the trial in the storage, with its record.

        Args:
            study: Whose.
            config: The study's settings.
            variance: Of the validation target, in the unit of the MSE; 0 where there is none.
            state: How it has ended.
            reason: Why, if it has not completed.
            traceback: Of what it raised.
        """
        if self.is_audition and self.curve:
            write_audition(self.trial, self._audition(config), config.measure)
            self.curve = []
        record = TrialRecord.from_curve(self.spec.seed, self.curve, reason)
        write_record(self.trial, record, config.objective, variance, config.measure)
        if self.curve and self.curve[-1].total_steps:
            self.trial.set_user_attr(TOTAL_STEPS, self.curve[-1].total_steps)
        if self.curve and self.curve[-1].advice:
            self.trial.set_user_attr(ADVICE, [*self.curve[-1].advice])
        if traceback:
            self.trial.set_user_attr(TRACEBACK, traceback)
        complete = state == TrialState.COMPLETE
        value = record.value(config.objective, config.measure) if complete else None
        return study.tell(self.trial, value, state)

    def failure(self, reason: str) -> str:
        """Why it has failed, and that it was in its audition, if it was."""
        if not self.spec.epochs:
            return reason
        return f"{reason}, in its audition, which is told {counted(self.spec.epochs, 'epoch')}"

    def restart(self) -> None:
        """Begin the course again."""
        if not self.is_audition:
            self.reported = max(self.reported, len(self.curve))
        self.curve = []
