"""Gather what a study has found."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.confirm.best_schedule import BestSchedule, HeldOutScore
from sweep.confirm.verdict import BASELINE, Confirmation
from sweep.report.carried_over import carried_over
from sweep.report.edges import edge_advice
from sweep.report.facts import (
    Best,
    Counts,
    Rival,
    SchedulerFacts,
    Summary,
    TrialFacts,
)
from sweep.report.importance import importance
from sweep.search.attributes import number, text, whole_number
from sweep.search.completion import completes, drawn, standing_for_themselves
from sweep.search.strategies.samplers import reachable_trials
from sweep.search.trial_records import read_record
from sweep.search.trials import (
    completed,
    has_diverged,
    horizon_of,
    schedule_of,
    standing,
    suggestion_of,
)
from sweep.study.metric import Metric
from sweep.study.settings import StudyConfig
from sweep.study.space import Space
from sweep.training.record import TrialRecord

__all__ = ["Summary", "summarise"]

_LONGEST_REASON = 200


def summarise(study: optuna.Study, config: StudyConfig, folder: Path, top: int = 10) -> Summary:
    """Gather what a study has found so far.

    Args:
        study: Its trials; it may be running, empty, or without a completed trial.
        config: Its settings.
        folder: Its results; files that are not there yet are done without.
        top: How many of the best trials to list.
    """
    trained = study.get_trials(deepcopy=False)
    trials = standing_for_themselves(trained)
    space = config.search_space
    metric = config.measure
    ranked = [t for t in completed(trials, metric) if math.isfinite(t.values[0])]
    facts = [_trial_facts(trial, space) for trial in ranked]
    written, invalid = BestSchedule.if_valid(folder)
    confirmation = _confirmation(written, ranked, trials, metric)
    winner = ranked[0] if ranked else None
    if confirmation:  # it may have been stopped early in the search
        winner = _numbered(confirmation.winner.trial, trials, metric)
    best = _best(winner, config, _steps_per_epoch(study, written)) if winner else None
    constant = next((f for f in facts if f.schedule.scheduler == BASELINE), None)
    other = next((f for f in facts if best and _differs(f, best)), None)
    ended = [trial for trial in trials if trial.state.is_finished()]
    records = [read_record(trial) for trial in trained if trial.state.is_finished()]
    stopped = [read_record(trial) for trial in trials if trial.state == TrialState.PRUNED]
    epochs_trained = sum(len(record.curve) for record in records)
    twice = epochs_trained - sum(len(read_record(trial).curve) for trial in ended)
    saved = sum(config.epochs - len(record.curve) for record in stopped) - twice
    return Summary(
        study=study.study_name,
        folder=folder,
        unit=text(study.user_attrs, "unit"),
        epochs=config.epochs,
        objective=config.objective,
        counts=_counts(trials, reachable_trials(config, drawn(trained))),
        epochs_trained=epochs_trained,
        epochs_saved=saved / (len(ended) * config.epochs) if ended else 0.0,
        worker_secs=sum(map(_seconds, records)),
        best=best,
        constant=_rival(constant, best, metric),
        runner_up=_rival(other, best, metric),
        schedulers=_by_scheduler(trials, facts, space, metric),
        top=tuple(facts[:top]),
        importance=importance(study, space),
        test=_test_score(written, best),
        failure=_failure(trials),
        confirmation=confirmation,
        metric=metric,
        carried_over=carried_over(study, metric),
        not_confirmed=_not_confirmed(written, ranked),
        left_out=f"{invalid}; it is left out" if invalid else "",
    )


def _differs(trial: TrialFacts, best: Best) -> bool:
    return trial.schedule.scheduler != best.schedule.scheduler


def _numbered(number: int, trials: Sequence[FrozenTrial], metric: Metric) -> FrozenTrial | None:
    return next((t for t in standing(trials, metric) if t.number == number), None)


def _confirmation(
    written: BestSchedule | None,
    ranked: Sequence[FrozenTrial],
    trials: Sequence[FrozenTrial],
    metric: Metric,
) -> Confirmation | None:
    """What was written of a confirmation, if the search has found nothing better since."""
    if written is None or not _is_about(written, ranked):
        return None
    found = written.confirmed(metric)
    return found if found and _numbered(found.winner.trial, trials, metric) else None


def _is_about(written: BestSchedule, ranked: Sequence[FrozenTrial]) -> bool:
    """Whether what was written is of this search, or it has found a better trial since."""
    return bool(ranked) and written.best_of_search == ranked[0].number


def _not_confirmed(written: BestSchedule | None, ranked: Sequence[FrozenTrial]) -> str:
    return written.not_confirmed if written and _is_about(written, ranked) else ""


def _trial_facts(trial: FrozenTrial, space: Space) -> TrialFacts:
    attributes = trial.user_attrs
    schedule = schedule_of(trial, space)
    value = float(trial.values[0])
    return TrialFacts(
        trial.number,
        schedule,
        value,
        number(attributes, "r2"),
        whole_number(attributes, "best_epoch"),
    )


def _best(trial: FrozenTrial, config: StudyConfig, steps_per_epoch: int | None) -> Best:
    record = read_record(trial)
    facts = _trial_facts(trial, config.search_space)
    suggestion = suggestion_of(trial, config.search_space)
    schedule = suggestion.schedule
    own = {f"{schedule.scheduler}.{name}": value for name, value in schedule.params.items()}
    values = {"lr": schedule.lr, "decay": schedule.decay, "warmup": schedule.warmup, **own}
    total_steps = horizon_of(trial, steps_per_epoch and steps_per_epoch * config.epochs)
    columns = ("lr_first", "lr_last", "train_mse", "val_mse", "averaged_val_mse")
    return Best(
        **{field.name: getattr(facts, field.name) for field in fields(TrialFacts)},
        epochs=len(record.curve),
        torch=schedule.torch_spec(total_steps) if total_steps else None,
        total_steps=total_steps,
        curve={name: record.column(name) for name in columns},
        edges=edge_advice(schedule, {**trial.params, **values}, config.search_space),
    )


def _rival(trial: TrialFacts | None, best: Best | None, metric: Metric) -> Rival | None:
    if trial is None or best is None:
        return None
    return Rival(trial, metric.lead(best.val_mse, trial.val_mse))


def _counts(trials: Sequence[FrozenTrial], asked: int) -> Counts:
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    diverged = sum(map(has_diverged, pruned))

    def count(state: TrialState) -> int:
        return sum(trial.state == state for trial in trials)

    return Counts(
        asked=asked,
        completed=count(TrialState.COMPLETE),
        pruned=len(pruned) - diverged,
        diverged=diverged,
        failed=count(TrialState.FAIL),
        unfinished=count(TrialState.RUNNING),
        trained_on=sum(completes(trial) is not None for trial in trials),
    )


def _failure(trials: Sequence[FrozenTrial]) -> str:
    """The most frequent reason of failed trials, on one line, without the epoch it came in."""
    reasons = Counter(
        re.sub(r"^(epoch \d+|start): ", "", reason)
        for trial in trials
        if trial.state == TrialState.FAIL and (reason := text(trial.user_attrs, "reason"))
    )
    most = reasons.most_common(1)[0][0] if reasons else ""
    text = " ".join(most.split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."


def _seconds(record: TrialRecord) -> float:
    return sum(seconds for seconds in record.column("seconds") if math.isfinite(seconds))


def _scheduler_of(trial: FrozenTrial, space: Space) -> str:
    """The scheduler of a trial in whatever state; empty if it never came to have one."""
    fixed = space.schedulers[0] if len(space.schedulers) == 1 else ""
    return str(trial.params.get("scheduler", fixed))


def _by_scheduler(
    trials: Sequence[FrozenTrial], facts: Sequence[TrialFacts], space: Space, metric: Metric
) -> tuple[SchedulerFacts, ...]:
    names = [_scheduler_of(trial, space) for trial in trials]
    listed = dict.fromkeys((*space.schedulers, *filter(None, names)))
    rows = []
    for name in listed:
        mine = [trial for trial, scheduler in zip(trials, names, strict=True) if scheduler == name]
        begun = [trial for trial in mine if trial.state != TrialState.WAITING]
        counts = _counts(begun, 0)
        done = [fact for fact in facts if fact.schedule.scheduler == name]
        row = SchedulerFacts(
            name=name,
            trials=len(begun),
            completed=counts.completed,
            pruned=counts.pruned,
            diverged=counts.diverged,
            failed=counts.failed,
            best=done[0] if done else None,
            median_val_mse=statistics.median(f.val_mse for f in done) if done else None,
        )
        rows.append(row)

    def standing_of(row: SchedulerFacts) -> tuple[float, int]:
        best = row.best
        return metric.rank(best.val_mse, best.number) if best else (math.inf, len(trials))

    return tuple(sorted(rows, key=standing_of))


def _steps_per_epoch(study: optuna.Study, written: BestSchedule | None) -> int | None:
    steps = whole_number(study.user_attrs, "steps_per_epoch")
    if steps is None and written and not written.loop:  # each trial of a loop has its own horizon
        steps = written.steps_per_epoch
    return steps or None


def _test_score(written: BestSchedule | None, best: Best | None) -> HeldOutScore | None:
    if best is None or written is None or written.trial != best.number:
        return None
    return written.score
