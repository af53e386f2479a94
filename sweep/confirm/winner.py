"""The winner of a sweep: its weights, its test rows, and the files that say so."""

from __future__ import annotations

import threading

from sweep.base.errors import TrainingError
from sweep.confirm.best_files import write_best, write_predictions
from sweep.confirm.fresh_seeds import Outcome
from sweep.confirm.trial_folders import keep_best, keep_state
from sweep.confirm.verdict import Confirmation
from sweep.search.context import RunContext
from sweep.search.trials import Trial, standing
from sweep.study.results_folder import BEST_MODEL, PREDICTIONS
from sweep.training.contract import TrialSpec
from sweep.training.record import TrialRecord
from sweep.training.saved.contents import ModelContents
from sweep.training.specs import trial_spec
from sweep.training.workers.messages import Prediction, Save
from sweep.training.workers.pool import Pool
from sweep.training.workers.retraining import Retraining
from sweep.training.workers.time_limit import TimeLimit


def save_order(context: RunContext, trial: Trial) -> Save:
    """The order to write a trial's weights to `best_model.pt`."""
    data = context.data
    assert data is not None
    contents = ModelContents.of(trial.number, context.config, data)
    about = {**contents.model_dump(), context.config.measure.name: trial.value}
    path = context.location.folder / BEST_MODEL
    return Save(trial.number, path.absolute(), about)


def write_winner(
    context: RunContext,
    pool: Pool,
    stop: threading.Event,
    outcome: Outcome,
    limit: TimeLimit,
) -> None:
    """Write everything about the winner; only now are the test rows looked at.

    Where there is no time to train it once more for its weights, those of another one are taken
    away: they would pass for the winner's.
    """
    best = winning_trial(context, outcome.confirmation)
    if context.data is None:  # code of the user's own keeps its models itself
        keep_best(context, best, pool, stop, limit)
        if context.config.loop:
            keep_state(context, best)
        if stop.is_set():
            return
        write_best(context, best, outcome.confirmation, None, outcome.missing)
        return
    folder, score = context.location.folder, None
    prediction = _prediction(context, pool, stop, best, limit)
    if stop.is_set():
        return
    if prediction is None:
        for name in (BEST_MODEL, PREDICTIONS):
            (folder / name).unlink(missing_ok=True)
        context.note(
            f"the time limit left too little to train trial {best.number} once more for its "
            f"weights: there is no {BEST_MODEL}, and no test; the same command with a "
            "longer --timeout, or without one, writes it"
        )
    elif len(context.data.y_test):
        score = write_predictions(folder, context.data, prediction)
    write_best(context, best, outcome.confirmation, score, outcome.missing)


def winning_trial(context: RunContext, confirmation: Confirmation | None) -> Trial:
    """The trial of the schedule that won the confirmation, or else the search."""
    best = standing(context.trials, context.config.measure)
    if confirmation is None:
        return best[0]
    return next(trial for trial in best if trial.number == confirmation.winner.trial)


def _prediction(
    context: RunContext, pool: Pool, stop: threading.Event, best: Trial, limit: TimeLimit
) -> Prediction | None:
    """What the winner's weights in `best_model.pt` predict; None if it was stopped, or in time.

    If the file holds another trial's weights (that one was the best of the search, or the process
    was killed, or another machine trained the winner), the trial is trained once more: the same
    seed gives the same numbers.
    """
    save = save_order(context, best)
    if save.path.exists():
        found = pool.predict(save.path, stop)
        if found and (found.trial, found.value) == (
            best.number,
            save.about[context.config.measure.name],
        ):
            return found
    if stop.is_set() or not limit.allows(context.config.epochs):
        return None
    if not _retrain(context, pool, stop, best, save, limit):
        return None
    again = pool.predict(save.path, stop)
    if again is None and not stop.is_set():
        what = "used" if save.path.exists() else "written; the same command goes on once they can"
        raise TrainingError(f"{save.path}: the weights of trial {best.number} cannot be {what}")
    return again


def _retrain(
    context: RunContext,
    pool: Pool,
    stop: threading.Event,
    trial: Trial,
    save: Save,
    limit: TimeLimit,
) -> bool:
    """Train a trial once more and write its weights; whether it came to its end.

    Raises:
        TrainingError: It raises this time.
    """
    context.note(f"training trial {trial.number} once more, for its weights")
    spec = trial_spec(context.config, trial.number, trial.suggestion, trial.completes)

    ended = False

    def check(spec: TrialSpec, record: TrialRecord) -> None:
        nonlocal ended
        ended = True
        if record.reason:
            raise TrainingError(
                f"trial {trial.number}, trained once more for its weights: {record.reason}"
            )
        again = record.value(context.config.objective, context.config.measure)
        before = trial.value
        if before is not None and (again is None or abs(again - before) > 1e-3 * abs(before)):
            title = context.config.measure.title
            context.note(f"it now ends at a {title} of {again}, not {before:.6g}")

    Retraining(
        kind="trial",
        epochs=context.config.epochs,
        metric=context.config.measure,
        stop=stop,
        note=context.note,
        on_record=check,
        limit=limit,
    ).run(pool, [spec], save)
    return ended and not stop.is_set()
