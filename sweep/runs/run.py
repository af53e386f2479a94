"""One sweep, from settings to results."""

from __future__ import annotations

import math
import shutil
import threading
import time

import optuna

from sweep.base.errors import InterruptedSweep, TrainingError
from sweep.base.files import write_whole
from sweep.base.languages.sentences import ENGLISH
from sweep.base.signals import stopping_on_signals
from sweep.base.wording import counted, duration, verb
from sweep.confirm.candidates import to_complete
from sweep.confirm.fresh_seeds import Outcome, confirm
from sweep.confirm.trial_folders import remove_folders, remove_hopeless
from sweep.confirm.winner import save_order, write_winner
from sweep.report.all_files import load_libraries, write_report
from sweep.report.dashboard.running_note import RunningNote
from sweep.report.trackers.following import Following, following
from sweep.runs.listener import Listener
from sweep.runs.opening import as_run, enqueue_first, open_sweep, prepare, worker_pool, worker_setup
from sweep.runs.throttle import Throttle
from sweep.search import completion
from sweep.search.budget import (
    Spent,
    counted_trainings,
    epochs_left,
    search_epochs_left,
    trainings,
)
from sweep.search.context import RunContext
from sweep.search.continuation import check_folder
from sweep.search.coordinator import Coordinator
from sweep.search.status import Status
from sweep.search.storage.locks import hold
from sweep.search.storage.opening import (
    await_server,
    explained,
    flush,
)
from sweep.search.storage.owners import SILENT_SECS, in_turn, others_running, owner_of
from sweep.search.storage.patient_storage import patient
from sweep.search.storage.urls import is_shared, storage_url
from sweep.search.strategies.samplers import (
    reachable_trials,
)
from sweep.search.tables import write_tables
from sweep.search.trials import Ending, Trial, completed, drawn
from sweep.study.locations import Location
from sweep.study.range_ends import check_ends
from sweep.study.results_folder import CHECKPOINTS, TRACEBACK, TRIALS
from sweep.study.settings import StudyConfig
from sweep.training.divergence import is_divergence
from sweep.training.own_loop.advice import distinct
from sweep.training.workers.pool import Pool
from sweep.training.workers.time_limit import TimeLimit


def run_sweep(
    location: Location,
    config: StudyConfig,
    listener: Listener,
    fresh: bool = False,
    started: float | None = None,
    page_in: str = ENGLISH,
) -> optuna.Study:
    """Train until the study has its total of trials, then write its results.

    Args:
        location: The study's name, file and results folder.
        config: Its settings, flags included.
        listener: Hears how it goes.
        fresh: Whether to throw the study's earlier trials and results away first; not before
            everything that can be checked has been.
        started: When the time that `timeout` allows has begun, as `time.monotonic` has it; now if
            left out.
        page_in: The language of `report.html`.

    Returns:
        The Optuna study.

    Raises:
        SweepError: Wrong input, a storage that cannot be used, workers that cannot train.
        InterruptedSweep: SIGINT or SIGTERM; finished trials are saved, and the same call goes
            on with the rest.
    """
    started = time.monotonic() if started is None else started
    limit = TimeLimit(_deadline(started, config.timeout))
    data = prepare(location, config)
    config, no_auditions = as_run(config, data)
    check_folder(location)
    setup = worker_setup(location, config, data)
    for horizon in setup.horizons:
        check_ends(config.search_space, horizon)
    url = storage_url(config.storage, location.folder)
    await_server(url, listener.on_note)
    with hold(location.folder, url), explained(url):
        context, carried = open_sweep(location, config, data, fresh, listener.on_note)
        within_reach = {"trials": reachable_trials(config, drawn(context.trials))}
        listener.on_start(location, config.model_copy(update=within_reach), data)
        if no_auditions and config.budget is not None:
            listener.on_note(no_auditions)
        if config.command and "metric" not in config.model_fields_set:
            listener.on_note(
                f"no metric is named: what the script reports is taken for {config.metric}, of "
                "which less is better; --metric and --direction say what it is"
            )
        places = config.track.places
        with following(context.reader, location.folder, places, listener.on_note) as trackers:
            with (
                worker_pool(context) as pool,
                stopping_on_signals() as stop,
                patient(context.study, listener.on_note, stop),
            ):
                load_libraries()
                total = in_turn(context.study, lambda: enqueue_first(context, carried))
                search = _Search(context, total, listener, pool, stop, limit, trackers)
                search.run(_deadline(started, config.search_timeout))
                if not stop.is_set():
                    _conclude(context, listener, pool, stop, limit)
                if stop.is_set():
                    raise InterruptedSweep(
                        f"interrupted; finished trials are in {location.folder}. "
                        "The same command goes on with the rest."
                    )
            with patient(context.study, listener.on_note, threading.Event()):
                on_unwritten = listener.on_unwritten
                write_report(context.study, config, location.folder, on_unwritten, page_in)
    return context.study


def _deadline(started: float, timeout: float | None) -> float:
    return math.inf if timeout is None else started + timeout


class _Search:
    """The trials that a study still wants, then those that leave something to compare."""

    def __init__(
        self,
        context: RunContext,
        total: int,
        listener: Listener,
        pool: Pool,
        stop: threading.Event,
        limit: TimeLimit,
        trackers: Following,
    ) -> None:
        self._context = context
        self._total = total
        self._listener = listener
        self._pool = pool
        self._stop = stop
        self._limit = limit
        self._trackers = trackers
        self._owner = owner_of(context.location.folder)
        self._tables = Throttle(lambda: _write_tables(context))
        self._folders = Throttle(lambda: remove_hopeless(context))
        self._note = RunningNote(context.reader, total)
        self._advised: tuple[str, ...] = ()
        self._has_news = False

    def run(self, deadline: float) -> None:
        """Search until the total is reached or the time is up; draw nothing after `deadline`."""
        context, study = self._context, self._context.study
        if not self._train(deadline):
            context.note(_nothing_left(context, self._total))
        while (
            not self._stop.is_set()
            and self._limit.allows(context.config.epochs)
            and not others_running(study, self._owner)
        ):
            lacking = in_turn(study, self._enqueue_lacking)
            if not lacking:
                break
            numbers = ", ".join(str(trial.number) for trial in lacking)
            context.note(
                f"too few trials completed to be compared: "
                f"{counted(len(lacking), 'pruned trial')} {verb(len(lacking), 'is', 'are')} "
                f"trained on to the end ({numbers})"
            )
            self._train(self._limit.at, draws=False)
        _write_tables(context)
        if context.config.own_code:
            remove_hopeless(context)

    def _train(self, deadline: float, draws: bool = True) -> bool:
        """Whether there was anything to train."""
        context, study, data = self._context, self._context.study, self._context.data
        coordinator = Coordinator(
            context.reader,
            owner=self._owner,
            shared=is_shared(storage_url(context.config.storage, context.location.folder)),
            trials=self._total,
            variance=data.validation_variance if data and context.config.measure.is_mse else 0.0,
            weights=(lambda trial: save_order(context, trial)) if data else None,
            on_finished=self._on_finished,
            on_tick=self._on_tick,
            on_note=self._listener.on_note,
            deadline=deadline,
            limit=self._limit,
            stop=self._stop,
            draws=draws,
        )
        if not coordinator.has_work():
            return False
        try:
            coordinator.run(self._pool)
        except TrainingError:
            _write_tables(context)  # they say which trials failed, and why
            raise
        finally:
            flush(study)
        return True

    def _on_finished(self, trial: Trial, status: Status) -> None:
        told, self._advised = self._advised, distinct((*self._advised, *trial.advice))
        for sentence in self._advised[len(told) :]:
            self._listener.on_note(sentence)
        if trial.traceback:
            self._write_traceback(trial)
        self._has_news = True
        self._trackers.trial_finished(trial)
        self._listener.on_finished(trial, status)

    def _on_tick(self, status: Status) -> None:
        if self._has_news:  # written now, for workers have their orders: none waits for it
            self._has_news = False
            self._tables.trial_finished()
            self._note.trial_finished()
            if self._context.config.own_code:
                self._folders.trial_finished()
        self._listener.on_tick(status)

    def _write_traceback(self, trial: Trial) -> None:
        folder = self._context.location.folder / TRIALS / str(trial.number)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / TRACEBACK, trial.traceback)

    def _enqueue_lacking(self) -> list[Trial]:
        """Enqueue the pruned trials that are lacking for a comparison, and return them."""
        lacking = to_complete(self._context)
        completion.enqueue(self._context.study, lacking)
        return lacking


def _nothing_left(context: RunContext, total: int) -> str:
    """That a study has all of its trials, and how to go on."""
    config = context.config
    there = sum(not trial.is_waiting for trial in drawn(context.trials))
    if config.budget is not None and config.sampling.name != "grid":
        spent = Spent.by(context.reader)
        left, kept = epochs_left(config, spent), ""
        if left >= config.epochs and left > search_epochs_left(config, spent):
            kept = f", and {trainings(left / config.epochs)} are kept for the confirmation"
        larger = math.ceil(2 * spent.total / config.epochs)
        return (
            f"of {counted_trainings(config.budget)}, this study has spent "
            f"{trainings(spent.total / config.epochs)} already{kept}: no trial is trained; to go "
            f"on, give a larger budget, such as {max(larger, 1)}"
        )
    told = (
        f"this study has {counted(there, 'trial')} already, of {total} asked for: none is trained"
    )
    more = context.config.model_copy(update={"trials": 2 * there})
    possible = reachable_trials(more, drawn(context.trials))
    if possible == there:
        return f"{told}; its grid has no more"
    return f"{told}; to go on, ask for more trials in all, such as {possible}"


def _conclude(
    context: RunContext,
    listener: Listener,
    pool: Pool,
    stop: threading.Event,
    limit: TimeLimit,
) -> None:
    """Confirm the best schedules and write everything about the winner."""
    config = context.config
    elsewhere = others_running(context.study, owner_of(context.location.folder))
    count = elsewhere.total()
    if elsewhere:
        context.note(
            f"{counted(count, 'trial')} of this study {verb(count, 'is', 'are')} in training "
            f"elsewhere ({', '.join(sorted(elsewhere))}): the results here are preliminary; the "
            f"same command confirms them once {verb(count, 'it has', 'those have')} ended, and "
            f"takes over what nothing is heard of for {duration(SILENT_SECS)}"
        )
    if not completed(context.trials, config.measure):
        if elsewhere:
            return
        raise TrainingError(_why_nothing_completed(context, limit))
    outcome = Outcome()
    if config.confirm.enabled and not elsewhere:
        outcome = confirm(context, pool, stop, listener.on_retraining, limit)
        if stop.is_set():
            return
        if outcome.missing:
            context.note(outcome.missing)
    write_winner(context, pool, stop, outcome, limit)
    if not stop.is_set() and not limit.is_over:
        remove_folders(context)
        shutil.rmtree(context.location.folder / CHECKPOINTS, ignore_errors=True)


def _write_tables(context: RunContext) -> None:
    flush(context.study)  # a machine that stops must not have lost trials that the tables have
    write_tables(context.location.folder, context.reader.every_trial, context.config)


def _why_nothing_completed(context: RunContext, limit: TimeLimit) -> str:
    ended = [trial for trial in context.trials if trial.ending]
    failed = [trial for trial in ended if trial.ending == Ending.FAILED]
    if not ended:
        furthest = max((max(trial.reports, default=0) for trial in context.trials), default=0)
        had = f", the furthest had {furthest} of {context.config.epochs} epochs" if furthest else ""
        return f"no trial has ended{had}: give a longer --timeout"
    reasons = [trial.reason for trial in (failed or ended)]
    most = max(dict.fromkeys(reasons), key=reasons.count)  # of equals, the earliest trial's
    if limit.is_set and not limit.allows(context.config.epochs):
        advice = "give a longer --timeout"
    elif failed:
        advice = "mend what raises, then run it again with --fresh"
    else:
        diverged = all(map(is_divergence, reasons))
        more = "more --trials" if context.config.budget is None else "a larger --budget"
        advice = "give lower rates (--lr)" + ("" if diverged else f", {more}, or --pruner none")
    failures = f", {len(failed)} of them failed" if failed else ""
    return f"no trial has completed ({len(ended)} ended{failures}); most often: {most}; {advice}"
