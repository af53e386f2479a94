"""The folders of trials of the user's own code: which may be the winner's, and which stay."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from sweep.confirm.candidates import chosen
from sweep.search.context import RunContext
from sweep.search.trials import Ending, Trial, completed
from sweep.study.results_folder import BEST, BEST_MODEL, TRIALS
from sweep.training.own_command.folder import number_in, remove_but_log
from sweep.training.own_loop.trial import STATE, TRIAL
from sweep.training.specs import trial_spec
from sweep.training.workers.pool import Pool
from sweep.training.workers.retraining import Retraining
from sweep.training.workers.time_limit import TimeLimit


def remove_hopeless(context: RunContext) -> None:
    """Remove the folders of trials that have completed and will not be the winner."""
    folder = context.location.folder / TRIALS
    if context.config.keep or not folder.is_dir():
        return
    there = {other.name for other in folder.iterdir()}  # few: earlier ones are removed already
    done = completed(context.trials, context.config.measure)
    hopeful = {trial.number for trial in (*done[:1], *chosen(context, None))}
    hopeless = (trial for trial in done if trial.number not in hopeful)
    _remove(context, (trial for trial in hopeless if str(trial.number) in there))


def remove_folders(context: RunContext) -> None:
    """Remove what is left once a study is over: of trials that failed, all but their logs."""
    folder = context.location.folder / TRIALS
    if context.config.keep or not folder.is_dir():
        return
    _remove(context, (trial for trial in context.trials if trial.ending))
    for other in list(folder.iterdir()):
        if not other.name.isdecimal() and (other / TRIAL).is_file():
            shutil.rmtree(other, ignore_errors=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _remove(context: RunContext, trials: Iterable[Trial]) -> None:
    for trial in trials:
        folder = context.location.folder / TRIALS / str(trial.number)
        if trial.ending == Ending.FAILED:
            remove_but_log(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def keep_state(context: RunContext, best: Trial) -> None:
    """Let `best_model.pt` be what the winner's loop has yielded last, where it yields states."""
    folder = context.location.folder
    state = folder / BEST / STATE
    if number_in(state.parent) != best.number:
        (folder / BEST_MODEL).unlink(missing_ok=True)
    elif state.is_file():
        state.replace(folder / BEST_MODEL)


def discard_folders(folder: Path) -> None:
    """Throw away the folders of trials, and the winner's."""
    shutil.rmtree(folder / TRIALS, ignore_errors=True)
    if (folder / BEST / TRIAL).is_file():
        shutil.rmtree(folder / BEST)


def keep_best(
    context: RunContext, best: Trial, pool: Pool, stop: threading.Event, limit: TimeLimit
) -> None:
    """Let `best/` be the winner's folder; where it is gone, the trial is trained once more.

    A loop need not have asked for a folder: then there is none.
    """
    config, kept = context.config, context.location.folder / BEST
    if number_in(kept) == best.number:
        return
    there = context.location.folder / TRIALS / str(best.number)
    if config.loop and number_in(there) != best.number:
        if number_in(kept) is not None:
            shutil.rmtree(kept)
        return
    if number_in(there) != best.number and limit.allows(config.epochs):
        context.note(f"training trial {best.number} once more, for its files")
        spec = trial_spec(config, best.number, best.suggestion, best.completes)
        asked = Retraining("trial", config.epochs, stop, context.note, config.measure, limit=limit)
        asked.run(pool, [spec])
        if stop.is_set():
            return
    if number_in(kept) is not None:
        shutil.rmtree(kept)
    if number_in(there) != best.number:
        context.note(f"there is no {BEST}/: the files of trial {best.number} are gone")
    elif config.keep:
        begun = kept.with_name(f"{BEST}.part")  # half a folder must not pass for the whole
        shutil.rmtree(begun, ignore_errors=True)
        shutil.copytree(there, begun, symlinks=True)
        begun.rename(kept)
    else:
        there.rename(kept)
