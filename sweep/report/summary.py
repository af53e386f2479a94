"""Gather what a study has found."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import optuna

from sweep.base.languages.sentences import _, read_back
from sweep.confirm.audit import read_audit
from sweep.confirm.best_schedule import BestSchedule, HeldOutScore
from sweep.confirm.verdict import CONSTANT, Confirmation
from sweep.report.edges import edge_advice
from sweep.report.facts import Counts, SchedulerFacts, Summary
from sweep.report.importance import importance
from sweep.report.references.baselines import compared_baselines
from sweep.report.references.by_question import winners_by_question
from sweep.report.references.carried_over import carried_over
from sweep.report.references.without_model import WithoutModel, without_model
from sweep.report.trials.excluded import Excluded
from sweep.report.trials.facts import Best, Curve, Rival, TrialFacts
from sweep.search.budget import Account, Spent, epochs_saved, search_epochs_left
from sweep.search.continuation import changed_code, naive_of, warnings_of
from sweep.search.strategies.samplers import reachable_trials
from sweep.search.tables import beside_metric
from sweep.search.trials import (
    Ending,
    EndingCounts,
    StudyReader,
    Trial,
    completed,
    drawn,
    standing,
    standing_for_themselves,
)
from sweep.study.metric import Metric
from sweep.study.registries.losses import called
from sweep.study.results_folder import TRACEBACK, TRIALS
from sweep.study.settings import StudyConfig
from sweep.study.space import Space
from sweep.training.own_loop.advice import distinct
from sweep.training.record import CURVE_COLUMNS

__all__ = ["Summary", "summarise"]

_LONGEST_REASON = 200


def summarise(
    study: optuna.Study,
    config: StudyConfig,
    folder: Path,
    top: int = 10,
    reader: StudyReader | None = None,
) -> Summary:
    """Gather what a study has found so far.

    Args:
        study: Its trials; it may be running, empty, or without a completed trial.
        config: Its settings.
        folder: Its results; files that are not there yet are done without.
        top: How many of the best trials to list.
        reader: Reads the study, where there is one already.
    """
    reader = reader or StudyReader(study, config)
    trained, every = reader.trials, reader.every_trial
    trials = standing_for_themselves(trained)
    metric = config.measure
    ranked = [trial for trial in completed(trials, metric) if trial.is_finite]
    facts = [_trial_facts(trial, config) for trial in ranked]
    written, invalid = BestSchedule.if_valid(folder)
    excluded = Excluded.of(reader, written, folder)
    confirmation = _confirmation(written, ranked, trials, metric, excluded)
    winner = ranked[0] if ranked else None
    if confirmation:  # it may have been stopped early in the search
        winner = _numbered(confirmation.winner.trial, trials, metric)
    best = _best(winner, config, written) if winner else None
    constant = next((f for f in facts if f.schedule.scheduler == CONSTANT), None)
    other = next((f for f in facts if best and _differs(f, best)), None)
    ended = [trial for trial in trials if trial.ending]
    saved = max(epochs_saved(trained, (Ending.PRUNED, Ending.DIVERGED), config.epochs), 0)
    account = Account(Spent.by(reader), config.epochs, config.budget)
    return Summary(
        study=reader.name,
        folder=folder,
        unit=reader.unit,
        epochs=config.epochs,
        objective=config.objective,
        counts=Counts(
            asked=_asked(config, account.spent, drawn(trained)),
            endings=EndingCounts.of(trial.ending for trial in trials),
            unfinished=sum(trial.ending is None and not trial.is_waiting for trial in trials),
            trained_on=sum(trial.completes is not None for trial in trials),
        ),
        epochs_trained=sum(trial.epochs_spent for trial in every),
        epochs_saved=saved / (len(ended) * config.epochs) if ended else 0.0,
        worker_secs=sum(_seconds(trial) for trial in every),
        best=best,
        constant=_rival(constant, best, metric),
        runner_up=_rival(other, best, metric),
        schedulers=_by_scheduler(trials, facts, config.search_space, metric),
        top=tuple(facts[:top]),
        importance=importance(reader),
        test=_test_score(written, best),
        failure=_failure(trials),
        confirmation=confirmation,
        metric=metric,
        carried_over=carried_over(reader),
        not_confirmed=_not_confirmed(written, ranked, excluded),
        left_out=_("{problem}; it is left out", problem=invalid) if invalid else "",
        advice=tuple(map(read_back, distinct(s for trial in ended for s in trial.advice))),
        changed_code=changed_code(study),
        baselines=compared_baselines(trials, winner, confirmation, metric),
        by_question=winners_by_question(ranked, config.objective, metric, confirmation),
        audit=read_audit(trained, config, folder),
        without_model=_without_model(study, config, best, confirmation, written),
        warnings=tuple(map(read_back, warnings_of(study))),
        account=account,
        excluded=excluded,
    )


def _without_model(
    study: optuna.Study,
    config: StudyConfig,
    best: Best | None,
    confirmation: Confirmation | None,
    written: BestSchedule | None,
) -> tuple[WithoutModel, ...]:
    """Predictions that need no model, against the winner."""
    metric = config.measure
    own = {called(each) for each in (config.metric, config.training.loss) if ":" in each}
    if best is None or metric.name.removeprefix("val_") in own:
        return ()
    value = confirmation.winner.interval if confirmation else best.value
    return without_model(naive_of(study), value, _test_score(written, best), metric)


def _asked(config: StudyConfig, spent: Spent, trials: Sequence[Trial]) -> int:
    """Trials that a study is to have; where its budget is spent, those that it has had."""
    asked = reachable_trials(config, trials)
    if config.budget is None:
        return asked
    begun = sum(not trial.is_waiting for trial in trials)
    is_spent = search_epochs_left(config, spent) < config.audition_epochs + config.epochs
    return begun if is_spent else max(asked, begun)


def _differs(trial: TrialFacts, best: Best) -> bool:
    return trial.schedule.scheduler != best.schedule.scheduler


def _numbered(number: int, trials: Sequence[Trial], metric: Metric) -> Trial | None:
    return next((t for t in standing(trials, metric) if t.number == number), None)


def _confirmation(
    written: BestSchedule | None,
    ranked: Sequence[Trial],
    trials: Sequence[Trial],
    metric: Metric,
    excluded: Excluded,
) -> Confirmation | None:
    """What was written of a confirmation, if the search has found nothing better since.

    Candidates that are excluded are missing; where the winner is, nothing is left of it.
    """
    if written is None or not _is_about(written, ranked, excluded):
        return None
    found = written.confirmed(metric)
    if found is None or not _numbered(found.winner.trial, trials, metric):
        return None
    counting = [c for c in found.candidates if c.trial not in excluded.numbers]
    return replace(found, candidates=tuple(counting))


def _is_about(written: BestSchedule, ranked: Sequence[Trial], excluded: Excluded) -> bool:
    """Whether what was written is of this search, or it has found a better trial since."""
    if not ranked:
        return False
    if written.best_of_search in excluded.numbers and written.confirmation:
        return ranked[0].number in [c.trial for c in written.confirmation.candidates]
    return written.best_of_search == ranked[0].number


def _not_confirmed(
    written: BestSchedule | None, ranked: Sequence[Trial], excluded: Excluded
) -> str:
    is_about = written is not None and _is_about(written, ranked, excluded)
    return read_back(written.not_confirmed) if written and is_about else ""


def _trial_facts(trial: Trial, config: StudyConfig) -> TrialFacts:
    stopped = trial.last_report if trial.last_report is not None else math.nan
    value = stopped if trial.value is None else trial.value
    params = trial.suggestion.params
    return TrialFacts(
        trial.number,
        trial.schedule,
        value,
        trial.r2,
        trial.best_epoch,
        params=params,
        beside=beside_metric(trial.record, config),
    )


def _best(trial: Trial, config: StudyConfig, written: BestSchedule | None) -> Best:
    facts, schedule = _trial_facts(trial, config), trial.schedule
    own = {f"{schedule.scheduler}.{name}": value for name, value in schedule.params.items()}
    values = {"lr": schedule.lr, "decay": schedule.decay, "warmup": schedule.warmup, **own}
    horizon = trial.horizon
    if horizon is None and written and not written.own_code:
        horizon = written.steps_per_epoch and written.steps_per_epoch * config.epochs
    return Best(
        **{field.name: getattr(facts, field.name) for field in fields(TrialFacts)},
        epochs=trial.epochs,
        of_epochs=config.epochs,
        completed=trial.ending == Ending.COMPLETED,
        torch=schedule.torch_spec(horizon) if horizon else None,
        total_steps=horizon,
        curve=Curve(**{part.name: trial.record.column(part.name) for part in fields(Curve)}),
        edges=edge_advice(schedule, {**trial.parameters, **values}, config.search_space),
    )


def _rival(trial: TrialFacts | None, best: Best | None, metric: Metric) -> Rival | None:
    if trial is None or best is None:
        return None
    return Rival(trial, metric.lead(best.value, trial.value))


def _failure(trials: Sequence[Trial]) -> str:
    """The most frequent reason of failed trials, on one line, without the epoch it came in."""
    failed: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.ending == Ending.FAILED and trial.reason:
            reason = re.sub(r"^(epoch \d+|start): ", "", trial.reason)
            failed.setdefault(reason, []).append(trial)
    if not failed:
        return ""
    most = max(failed, key=lambda reason: len(failed[reason]))
    text = " ".join(most.split())
    text = text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."
    first = failed[most][0]
    place = f"{TRIALS}/{first.number}/{TRACEBACK}"
    return _("{problem} (see {place})", problem=text, place=place) if first.traceback else text


def _seconds(trial: Trial) -> float:
    """What a trial's epochs took, those of its audition counted in."""
    rows = (*trial.record.curve, *(trial.audition.curve if trial.audition else ()))
    place = CURVE_COLUMNS.index("seconds")
    return sum(row[place] for row in rows if math.isfinite(row[place]))


def _by_scheduler(
    trials: Sequence[Trial], facts: Sequence[TrialFacts], space: Space, metric: Metric
) -> tuple[SchedulerFacts, ...]:
    listed = dict.fromkeys((*space.schedulers, *(t.scheduler for t in trials if t.scheduler)))
    rows = []
    for name in listed:
        begun = [trial for trial in trials if trial.scheduler == name and not trial.is_waiting]
        done = [fact for fact in facts if fact.schedule.scheduler == name]
        row = SchedulerFacts(
            name=name,
            trials=len(begun),
            endings=EndingCounts.of(trial.ending for trial in begun),
            best=done[0] if done else None,
            median_value=statistics.median(f.value for f in done) if done else None,
        )
        rows.append(row)

    def standing_of(row: SchedulerFacts) -> tuple[float, int]:
        best = row.best
        return metric.rank(best.value, best.number) if best else (math.inf, len(trials))

    return tuple(sorted(rows, key=standing_of))


def _test_score(written: BestSchedule | None, best: Best | None) -> HeldOutScore | None:
    if best is None or written is None or written.trial != best.number:
        return None
    return written.score
