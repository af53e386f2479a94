"""What a trial of Optuna's says in our words."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from sweep.schedules.schedule import Schedule
from sweep.search.attributes import text, whole_number
from sweep.search.completion import standing_for_themselves
from sweep.study.metric import MSE, Metric
from sweep.study.space import Space, Suggestion
from sweep.training.divergence import is_divergence


def suggestion_of(trial: FrozenTrial, space: Space) -> Suggestion:
    """What a trial was trained with; fixed parameters are the space's."""
    fixed = {n: d.points(1)[0] for n, d in space.dimensions().items() if d.fixed}
    return space.suggestion({**fixed, **trial.params})


def schedule_of(trial: FrozenTrial, space: Space) -> Schedule:
    """The schedule that a trial was trained with."""
    return suggestion_of(trial, space).schedule


def horizon_of(trial: FrozenTrial, horizon: int | None) -> int | None:
    """A trial's optimizer steps: those of the study, or what the trial's own loop told."""
    return horizon or whole_number(trial.user_attrs, "total_steps") or None


def completed(trials: Sequence[FrozenTrial], metric: Metric = MSE) -> list[FrozenTrial]:
    """The trials trained to their last epoch, best first; of equal ones, the earlier trial."""
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return sorted(done, key=lambda trial: metric.rank(trial.values[0], trial.number))


def standing(trials: Sequence[FrozenTrial], metric: Metric = MSE) -> list[FrozenTrial]:
    """The completed trials, best first, then the pruned ones, those that came furthest first.

    Of pruned trials that came as far, the one with the best last report is first; those that
    diverged are left out, and those that another trial has trained to its end.
    """
    stopped = [
        trial
        for trial in standing_for_themselves(trials)
        if trial.state == TrialState.PRUNED
        and trial.intermediate_values
        and not has_diverged(trial)
    ]

    def progress(trial: FrozenTrial) -> tuple[int, tuple[float, int]]:
        last = max(trial.intermediate_values)
        return -last, metric.rank(trial.intermediate_values[last], trial.number)

    return completed(trials, metric) + sorted(stopped, key=progress)


def value_of(trial: FrozenTrial) -> float | None:
    """What a trial came to; None for one that was stopped early: its last report is no value."""
    return trial.value if trial.state == TrialState.COMPLETE else None


def has_diverged(trial: FrozenTrial) -> bool:
    """Whether a trial was stopped because a loss or gradient was not finite."""
    return is_divergence(text(trial.user_attrs, "reason"))
