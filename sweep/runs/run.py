"""One sweep, from settings to results."""

from __future__ import annotations

import math
import shutil
import signal
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.base.errors import InterruptedSweep, StudyChangedError, TrainingError
from sweep.base.files import write_whole
from sweep.base.user_code import look_in
from sweep.base.wording import counted, duration, verb
from sweep.confirm.audit import Audit, audit
from sweep.confirm.candidates import to_complete
from sweep.confirm.fresh_seeds import Outcome, confirm
from sweep.confirm.winner import save_order, write_winner
from sweep.data.dataset import Dataset
from sweep.data.load import load_dataset
from sweep.report.dashboard.note import RunningNote
from sweep.runs.account import check_accounted, has_results, thrown_away
from sweep.runs.warm_start import WarmStart, best_of_other
from sweep.search import completion
from sweep.search import tables as results
from sweep.search.completion import drawn
from sweep.search.context import Sweep
from sweep.search.continuation import check_folder, comparable, is_untouched, settings_fit
from sweep.search.coordinator import Coordinator, Status
from sweep.search.divergence import is_divergence
from sweep.search.storage.journal import repair_journal
from sweep.search.storage.locks import hold
from sweep.search.storage.opening import (
    ROWS,
    SETTINGS,
    closing_study,
    explained,
    flush,
    open_study,
    peek_study,
)
from sweep.search.storage.owners import SILENT_SECS, in_turn, others_running, owner_of
from sweep.search.storage.patience import patient
from sweep.search.storage.urls import storage_url, without_password
from sweep.search.strategies.pruners import build_pruner
from sweep.search.strategies.samplers import (
    build_sampler,
    family_plan,
    first_trials,
    grid_note,
    reachable_trials,
)
from sweep.study.locations import SAVED_STUDY, Location
from sweep.study.range_ends import check_ends
from sweep.study.settings import DataConfig, StudyConfig
from sweep.training.contract import LoopSettings, TrainingSettings
from sweep.training.workers.pool import (
    NOMINAL_STEPS,
    WorkerPool,
    WorkerSetup,
    default_workers,
    preload,
)
from sweep.training.workers.time_limit import TimeLimit


class Listener:
    """Hears how a sweep goes; each method does nothing unless it is overridden."""

    def on_start(self, location: Location, config: StudyConfig, data: Dataset | None) -> None:
        """The settings are valid and the data is prepared; workers are starting.

        There is no data where the training loop is the user's own.
        """

    def on_note(self, text: str) -> None:
        """Something that a user should read."""

    def on_finished(self, trial: FrozenTrial, status: Status) -> None:
        """A trial has ended."""

    def on_tick(self, status: Status) -> None:
        """Some time has passed, at most a fifth of a second."""

    def on_retraining(self, what: str, epochs: int, most: int) -> None:
        """Trials are being trained again, and why: so many epochs of at most so many."""


def run_sweep(
    location: Location,
    config: StudyConfig,
    listener: Listener,
    fresh: bool = False,
    started: float | None = None,
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

    Returns:
        The Optuna study.

    Raises:
        SweepError: Wrong input, a storage that cannot be used, workers that cannot train.
        InterruptedSweep: SIGINT or SIGTERM; finished trials are saved, and the same call goes
            on with the rest.
    """
    started = time.monotonic() if started is None else started
    limit = TimeLimit(_deadline(started, config.timeout))
    preload()
    look_in(location.code_folders)
    url = storage_url(config.storage, location.folder)
    check_folder(location)
    plan = family_plan(config)
    sampler = build_sampler(config.sampling, config.seed, 0, plan)
    pruner = build_pruner(config.pruning, config.epochs)
    data = _load_data(location, config)
    maximize = config.measure.maximize
    check_ends(config.search_space, _steps_of(config, data))
    with hold(location.folder, url), explained(url):
        if "://" not in url:
            for repair in repair_journal(Path(url), fresh):
                listener.on_note(repair)
        if has_results(location.folder):
            _settle_earlier(location, url, maximize, fresh, listener)
        study = open_study(location.name, url, sampler, pruner, None if fresh else maximize)
        shared = "://" in url
        carried = _to_carry_over(location, config, study, fresh, listener)
        if fresh or not _begun(study, config, data, shared):
            _discard(location, study, url)
            study = open_study(location.name, url, sampler, pruner, maximize)
            _begun(study, config, data, shared)
        before = _draws_before(study, location)
        study.sampler = build_sampler(config.sampling, config.seed, before, plan)
        sweep = Sweep(location, config, data, study, listener.on_note)
        _describe(sweep)
        _save_settings(location, config, url)
        within_reach = {"trials": reachable_trials(config, drawn(sweep.trials))}
        listener.on_start(location, config.model_copy(update=within_reach), data)
        with (
            _pool(sweep) as pool,
            _stopping_on_signals() as stop,
            patient(study, listener.on_note, stop),
        ):
            deadline = _deadline(started, config.search_timeout)
            _search(sweep, url, listener, pool, stop, deadline, limit, carried)
            _write_tables(sweep)
            if not stop.is_set():
                _conclude(sweep, listener, pool, stop, limit)
            if stop.is_set():
                raise InterruptedSweep(
                    f"interrupted; finished trials are in {location.folder}. "
                    "The same command goes on with the rest."
                )
    return study


def run_audit(
    folder: Path, config: StudyConfig, study: optuna.Study, sample: int, listener: Listener
) -> Audit:
    """Train some of a study's pruned trials to their end.

    Args:
        folder: The study's results.
        config: Its settings as run.
        study: Its trials.
        sample: How many.
        listener: Hears how it goes.

    Raises:
        InputError: Nothing was pruned, or the data is not what the study was trained on.
        InterruptedSweep: SIGINT or SIGTERM.
    """
    preload()
    location = Location(study.study_name, folder / SAVED_STUDY, folder)
    look_in(location.code_folders)
    data = _load_data(location, config)
    trained_on = study.user_attrs.get(SETTINGS, {}).get(ROWS)
    if data and data.fingerprint != trained_on:
        raise StudyChangedError(f"{config.data.source}: not the rows that the study was trained on")
    sweep = Sweep(location, config, data, study, listener.on_note)
    with _pool(sweep) as pool, _stopping_on_signals() as stop:
        found = audit(sweep, pool, sample, stop, listener.on_retraining)
    if found is None:
        raise InterruptedSweep("interrupted; the study and any earlier audit are as they were")
    return found


def _settle_earlier(
    location: Location, url: str, maximize: bool, fresh: bool, listener: Listener
) -> None:
    """Say what of earlier results is thrown away, or make sure that the storage has their trials.

    Raises:
        UnaccountedError: It has not.
    """
    if fresh:
        listener.on_note(f"thrown away: {thrown_away(location.folder)}")
        return
    with closing_study(peek_study(location.name, url, location.folder, maximize)) as study:
        trials = study.get_trials(deepcopy=False) if study else []
        check_accounted(location.folder, trials, url)


def _load_data(location: Location, config: StudyConfig) -> Dataset | None:
    """The prepared rows; none where the training loop is the user's own."""
    if config.loop:
        return None
    return load_dataset(config.data, config.seed, location.code_folders)


def _steps_of(config: StudyConfig, data: Dataset | None) -> int:
    """The horizon; a nominal one where only the user's own loop knows it."""
    if data:
        return TrainingSettings.of(config).horizon(len(data.x_train))
    return config.horizon or NOMINAL_STEPS


def _discard(location: Location, study: optuna.Study, url: str) -> None:
    """Throw a study's trials and results away, and nothing else that its storage holds."""
    names = optuna.get_all_study_names(study._storage)
    optuna.delete_study(study_name=location.name, storage=study._storage)
    if "://" not in url and names == [location.name]:
        Path(url).unlink()
    for name in results.FILES:
        (location.folder / name).unlink(missing_ok=True)
    for name in (results.CHECKPOINTS, results.ARTIFACTS):
        shutil.rmtree(location.folder / name, ignore_errors=True)


def _draws_before(study: optuna.Study, location: Location) -> int:
    """What sets this run's draws apart from those of others of the study, earlier or beside it."""
    beside = zlib.crc32(owner_of(location.folder).encode()) % 2**20
    is_journal = isinstance(study._storage, JournalStorage)
    return len(study.get_trials(deepcopy=False)) + (0 if is_journal else beside)


def _begun(study: optuna.Study, config: StudyConfig, data: Dataset | None, shared: bool) -> bool:
    """Whether trials can be added to a study; the first ones say what the others must have.

    Raises:
        StudyChangedError: They cannot be compared with trials that there are.
    """
    now = comparable(config, data)
    if is_untouched(study):
        study.set_user_attr(SETTINGS, now)
        return True
    return settings_fit(study, now, shared)


def _describe(sweep: Sweep) -> None:
    """What optuna-dashboard shows of a study without being told."""
    study = sweep.study
    if not study.metric_names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([sweep.config.measure.title])
    if sweep.data is None:
        return
    known = {"unit": sweep.data.unit, "steps_per_epoch": sweep.steps_per_epoch}
    for name, value in known.items():
        if study.user_attrs.get(name) != value:
            study.set_user_attr(name, value)


def _save_settings(location: Location, config: StudyConfig, url: str) -> None:
    storage = None if config.storage is None else without_password(url)
    update: dict[str, Any] = {"name": location.name, "storage": storage}
    if config.loop is None:
        update["data"] = _found_from(location, config)
    saved = config.model_copy(update=update)
    write_whole(location.folder / SAVED_STUDY, saved.to_toml())


def _found_from(location: Location, config: StudyConfig) -> DataConfig:
    """The data's settings with a path that is found from the results folder too."""
    saved_at = replace(location, file=location.folder / SAVED_STUDY)
    for folder in location.code_folders:
        path = folder / config.data.source
        if path.is_file() and folder not in saved_at.code_folders[:-1]:
            return config.data.model_copy(update={"source": str(path.resolve())})
    return config.data


def _pool(sweep: Sweep) -> WorkerPool:
    """The workers; they are started when something is to be trained."""
    config = sweep.config
    workers = min(config.workers or default_workers(), config.trials)
    setup = WorkerSetup.of(config, sweep.data, sweep.location.code_folders)
    if config.loop:
        checkpoints = sweep.location.folder.absolute() / results.CHECKPOINTS
        threads = config.threads or max(1, default_workers() // workers)
        loop = replace(LoopSettings.of(config), threads=threads, checkpoints=checkpoints)
        setup = replace(setup, loop=loop)
    return WorkerPool(setup, workers)


def _deadline(started: float, timeout: float | None) -> float:
    return math.inf if timeout is None else started + timeout


def _search(
    sweep: Sweep,
    url: str,
    listener: Listener,
    pool: WorkerPool,
    stop: threading.Event,
    deadline: float,
    limit: TimeLimit,
    carried: WarmStart | None,
) -> None:
    """Run the trials that are still wanted, then those that leave something to compare."""
    config, study = sweep.config, sweep.study
    writer = _TableWriter(sweep)

    def on_finished(trial: FrozenTrial, status: Status) -> None:
        writer.trial_finished()
        running_note.trial_finished()
        listener.on_finished(trial, status)

    total = in_turn(study, lambda: _enqueue_first(sweep, carried))
    running_note = RunningNote(study, config, total)
    owner = owner_of(sweep.location.folder)

    def train(deadline: float, draws: bool = True) -> bool:
        """Whether there was anything to train."""
        coordinator = Coordinator(
            study,
            config,
            owner=owner,
            shared="://" in url,
            trials=total,
            variance=_variance(sweep.data) if sweep.data else 0.0,
            weights=(lambda trial: save_order(sweep, trial)) if sweep.data else None,
            on_finished=on_finished,
            on_tick=listener.on_tick,
            on_note=listener.on_note,
            deadline=deadline,
            limit=limit,
            stop=stop,
            draws=draws,
        )
        if not coordinator.has_work():
            return False
        try:
            coordinator.run(pool)
        except TrainingError:
            _write_tables(sweep)  # they say which trials failed, and why
            raise
        finally:
            flush(study)
        return True

    def enqueue_lacking() -> list[FrozenTrial]:
        """Enqueue the pruned trials that are lacking for a comparison, and return them."""
        lacking = to_complete(sweep)
        completion.enqueue(study, lacking)
        return lacking

    if not train(deadline):
        sweep.note(_nothing_left(sweep, total))
    while not stop.is_set() and limit.allows(config.epochs) and not others_running(study, owner):
        lacking = in_turn(study, enqueue_lacking)
        if not lacking:
            return
        numbers = ", ".join(str(trial.number) for trial in lacking)
        sweep.note(
            f"too few trials completed to be compared: {counted(len(lacking), 'pruned trial')} "
            f"{'is' if len(lacking) == 1 else 'are'} trained on to the end ({numbers})"
        )
        train(limit.at, draws=False)


def _nothing_left(sweep: Sweep, total: int) -> str:
    """That a study has all of its trials, and how to go on."""
    there = sum(trial.state != TrialState.WAITING for trial in drawn(sweep.trials))
    told = (
        f"this study has {counted(there, 'trial')} already, of {total} asked for: none is trained"
    )
    more = sweep.config.model_copy(update={"trials": 2 * there})
    possible = reachable_trials(more, drawn(sweep.trials))
    if possible == there:
        return f"{told}; its grid has no more"
    return f"{told}; to go on, ask for more trials in all, such as {possible}"


def _variance(data: Dataset) -> float:
    """Of the validation target, in the unit of the MSE."""
    return float(data.y_validation.var()) * data.target_scale**2


def _conclude(
    sweep: Sweep, listener: Listener, pool: WorkerPool, stop: threading.Event, limit: TimeLimit
) -> None:
    """Confirm the best schedules and write everything about the winner."""
    config = sweep.config
    elsewhere = others_running(sweep.study, owner_of(sweep.location.folder))
    count = elsewhere.total()
    if elsewhere:
        sweep.note(
            f"{counted(count, 'trial')} of this study {verb(count, 'is', 'are')} in training "
            f"elsewhere ({', '.join(sorted(elsewhere))}): the results here are preliminary; the "
            f"same command confirms them once {verb(count, 'it has', 'those have')} ended, and "
            f"takes over what nothing is heard of for {duration(SILENT_SECS)}"
        )
    if not results.completed(sweep.trials):
        if elsewhere:
            return
        raise TrainingError(_why_nothing_completed(sweep, limit))
    outcome = Outcome()
    if config.confirm.enabled and not elsewhere:
        outcome = confirm(sweep, pool, stop, listener.on_retraining, limit)
        if stop.is_set():
            return
        if outcome.missing:
            sweep.note(outcome.missing)
    write_winner(sweep, pool, stop, outcome, limit)
    if not stop.is_set() and not limit.is_over:
        shutil.rmtree(sweep.location.folder / results.CHECKPOINTS, ignore_errors=True)


@contextmanager
def _stopping_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set; a second one ends the process at once.

    SIGHUP says that the terminal was closed; where it is ignored, as under `nohup`, it stays so.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handled = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        handled.append(signal.SIGHUP)

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = [signal.signal(number, handle) for number in handled]
    try:
        yield stop
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)


def _to_carry_over(
    location: Location,
    config: StudyConfig,
    study: optuna.Study,
    fresh: bool,
    listener: Listener,
) -> WarmStart | None:
    """What is to be trained first, before anything of an earlier run is thrown away."""
    if config.warm_start is None:
        return None
    trials = study.get_trials(deepcopy=False)
    if fresh or all(trial.state == TrialState.WAITING for trial in trials):
        return best_of_other(location, config)
    if not any("from_trial" in trial.user_attrs for trial in trials):
        listener.on_note(
            "warm_start is for a study's beginning, and this one has trials already: nothing is "
            "carried over"
        )
    return None


def _enqueue_first(sweep: Sweep, carried: WarmStart | None) -> int:
    """Enqueue what the sampler must not decide; the total of trials."""
    config, trials = sweep.config, drawn(sweep.trials)
    first, total = first_trials(config, trials), reachable_trials(config, trials)
    room = total - len(trials)
    if note := grid_note(config, trials):
        sweep.note(note)
    if carried and config.sampling.name == "grid":
        sweep.note("a grid gives every trial its parameters: nothing is carried over")
    elif carried:
        sweep.note(carried.enqueue(sweep.study, total))
        room -= len(carried.trials)
    for parameters in first[: max(0, room)]:
        sweep.study.enqueue_trial(parameters)
    return total


class _TableWriter:
    """Rewrites the tables as trials end, but spends little of the time on it."""

    _SHARE = 0.02
    _FIRST_SECS = 2.0

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._next = time.monotonic() + self._FIRST_SECS

    def trial_finished(self) -> None:
        started = time.monotonic()
        if started < self._next:
            return
        _write_tables(self._sweep)
        ended = time.monotonic()
        self._next = ended + max(1.0, (ended - started) / self._SHARE)


def _write_tables(sweep: Sweep) -> None:
    flush(sweep.study)  # a machine that stops must not have lost trials that the tables have
    results.write_tables(sweep.location.folder, sweep.trials, sweep.config, sweep.steps_per_epoch)


def _why_nothing_completed(sweep: Sweep, limit: TimeLimit) -> str:
    ended = [trial for trial in sweep.trials if trial.state.is_finished()]
    failed = [trial for trial in ended if trial.state == TrialState.FAIL]
    if not ended:
        furthest = max(
            (max(trial.intermediate_values, default=0) for trial in sweep.trials), default=0
        )
        had = f", the furthest had {furthest} of {sweep.config.epochs} epochs" if furthest else ""
        return f"no trial has ended{had}: give a longer --timeout"
    reasons = [str(trial.user_attrs.get("reason", "")) for trial in (failed or ended)]
    most = max(dict.fromkeys(reasons), key=reasons.count)  # of equals, the earliest trial's
    if limit.is_set and not limit.allows(sweep.config.epochs):
        advice = "give a longer --timeout"
    elif failed:
        advice = "mend what raises, then run it again with --fresh"
    else:
        diverged = all(map(is_divergence, reasons))
        advice = "give lower rates (--lr)" + (
            "" if diverged else ", more --trials, or --pruner none"
        )
    failures = f", {len(failed)} of them failed" if failed else ""
    return f"no trial has completed ({len(ended)} ended{failures}); most often: {most}; {advice}"
