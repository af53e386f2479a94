"""A trial that has been asked for and has not ended: its epochs, and whether and how it ends."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.search.attributes import ADVICE, TOTAL_STEPS, TRACEBACK, completes, write_record
from sweep.search.origins import BASELINE, given_suggestion, is_outside
from sweep.search.status import Lane
from sweep.search.storage.optuna_private import stored
from sweep.study.settings import StudyConfig
from sweep.training.contract import EpochResult, TrialEnd, TrialSpec
from sweep.training.divergence import divergence
from sweep.training.record import TrialRecord, what_diverged
from sweep.training.specs import trial_spec


@dataclass
class InTraining:
    """A trial in training.

    `reported` is the last epoch that has been reported already, by an interrupted run or before a
    worker's death: up to there the trial has been judged, and Optuna takes no second report.
    """

    trial: optuna.Trial
    spec: TrialSpec
    reported: int = 0
    curve: list[EpochResult] = field(default_factory=list)

    @classmethod
    def of(cls, trial: optuna.Trial, config: StudyConfig) -> InTraining:
        """One that has been asked for: its parameters are drawn, unless they have been."""
        frozen = stored(trial)
        given = given_suggestion(frozen)
        drawn = None if is_outside(frozen) else config.search_space.suggest(trial)
        suggestion = given or drawn
        assert suggestion is not None
        spec = trial_spec(config, trial.number, suggestion, completes(trial))
        return cls(trial, spec, reported=max(frozen.intermediate_values, default=0))

    @property
    def is_pruned(self) -> bool:
        """Whether the pruner may stop it."""
        return completes(self.trial) is None and BASELINE not in self.trial.user_attrs

    @property
    def lane(self) -> Lane:
        """What is shown of it."""
        return Lane(self.trial.number, self.spec.schedule.scheduler, len(self.curve))

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
            name = config.pruning.name
            return TrialState.PRUNED, f"pruned at epoch {result.epoch} by {name}"
        return None

    def ended_early(self, end: TrialEnd) -> tuple[TrialState, str]:
        """How a trial ends that has stopped before its last epoch, and why.

        One that never said what it came to has not completed.
        """
        if end.ending == "completed":
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

    def restart(self) -> None:
        """Begin the course again."""
        self.reported = max(self.reported, len(self.curve))
        self.curve = []
