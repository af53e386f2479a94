"""What stands before the first trial of a run."""

from __future__ import annotations

import shutil
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import TrialState

from sweep.base.files import write_whole
from sweep.data.dataset import Dataset
from sweep.data.load import load_dataset
from sweep.runs.account import check_accounted, thrown_away
from sweep.runs.listener import Listener
from sweep.runs.warm_start import WarmStart, best_of_other
from sweep.search.completion import drawn
from sweep.search.context import Sweep
from sweep.search.continuation import comparable, is_untouched, settings_fit
from sweep.search.storage.opening import (
    SETTINGS,
    closing_study,
    peek_study,
)
from sweep.search.storage.owners import owner_of
from sweep.search.storage.urls import without_password
from sweep.search.strategies.samplers import (
    first_trials,
    grid_note,
    reachable_trials,
)
from sweep.study.locations import SAVED_STUDY, Location
from sweep.study.results_folder import ARTIFACTS, CHECKPOINTS, FILES
from sweep.study.sections import DataConfig
from sweep.study.settings import StudyConfig
from sweep.training.contract import TrainingSettings
from sweep.training.workers.messages import NOMINAL_STEPS


def settle_earlier(
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


def load_data(location: Location, config: StudyConfig) -> Dataset | None:
    """The prepared rows; none where the training loop is the user's own."""
    if config.loop:
        return None
    return load_dataset(config.data, config.seed, location.code_folders)


def steps_of(config: StudyConfig, data: Dataset | None) -> int:
    """The horizon; a nominal one where only the user's own loop knows it."""
    if data:
        return TrainingSettings.of(config).horizon(len(data.x_train))
    return config.horizon or NOMINAL_STEPS


def discard(location: Location, study: optuna.Study, url: str) -> None:
    """Throw a study's trials and results away, and nothing else that its storage holds."""
    names = optuna.get_all_study_names(study._storage)
    optuna.delete_study(study_name=location.name, storage=study._storage)
    if "://" not in url and names == [location.name]:
        Path(url).unlink()
    for name in FILES:
        (location.folder / name).unlink(missing_ok=True)
    for name in (CHECKPOINTS, ARTIFACTS):
        shutil.rmtree(location.folder / name, ignore_errors=True)


def draws_before(study: optuna.Study, location: Location) -> int:
    """What sets this run's draws apart from those of others of the study, earlier or beside it."""
    beside = zlib.crc32(owner_of(location.folder).encode()) % 2**20
    is_journal = isinstance(study._storage, JournalStorage)
    return len(study.get_trials(deepcopy=False)) + (0 if is_journal else beside)


def begun(study: optuna.Study, config: StudyConfig, data: Dataset | None, shared: bool) -> bool:
    """Whether trials can be added to a study; the first ones say what the others must have.

    Raises:
        StudyChangedError: They cannot be compared with trials that there are.
    """
    now = comparable(config, data)
    if is_untouched(study):
        study.set_user_attr(SETTINGS, now)
        return True
    return settings_fit(study, now, shared)


def describe(sweep: Sweep) -> None:
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


def save_settings(location: Location, config: StudyConfig, url: str) -> None:
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


def to_carry_over(
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


def enqueue_first(sweep: Sweep, carried: WarmStart | None) -> int:
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
