"""Before anything is trained: rows, settings as they are run, workers, and the study, opened."""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from sweep.base.code_files import fingerprints
from sweep.base.files import write_whole
from sweep.base.user_code import look_in, script_of
from sweep.base.wording import listed, verb
from sweep.confirm.trial_folders import discard_folders
from sweep.data.dataset import Dataset
from sweep.data.load import load_dataset
from sweep.runs.account import has_results, thrown_away
from sweep.runs.before.earlier import earlier
from sweep.runs.warm_start import WarmStart, best_of_other
from sweep.search.context import RunContext
from sweep.search.continuation import begin, comparable, continues, describe, note_code, of_rows
from sweep.search.origins import enqueue_baseline
from sweep.search.storage.journal import repair_journal
from sweep.search.storage.opening import (
    close_storage,
    open_storage,
    open_study,
)
from sweep.search.storage.owners import owner_of
from sweep.search.storage.urls import is_shared, storage_url, to_pass_on
from sweep.search.strategies.pruners import build_pruner
from sweep.search.strategies.samplers import (
    build_sampler,
    family_plan,
    first_trials,
    grid_note,
    reachable_trials,
)
from sweep.search.strategies.without_auditions import knowing_steps
from sweep.search.trials import StudyReader, Trial, drawn
from sweep.study.baselines.reading import baselines
from sweep.study.locations import SAVED_STUDY, Location
from sweep.study.results_folder import ARTIFACTS, CHECKPOINTS, FILES, LOGS, TRIALS
from sweep.study.sections import DataConfig
from sweep.study.settings import StudyConfig
from sweep.study.training.optimizer import BatchSize
from sweep.training.cluster.addresses import find as find_cluster
from sweep.training.contract import TrainingSettings
from sweep.training.own_command.settings import CommandSettings, working_folder
from sweep.training.own_loop import by_value
from sweep.training.workers.devices import named_devices
from sweep.training.workers.gpu_count import count_gpus
from sweep.training.workers.messages import WorkerSetup
from sweep.training.workers.opening import check_cluster, open_pool, preload_for
from sweep.training.workers.pool import Pool
from sweep.training.workers.process_pool import default_workers


def prepare(location: Location, config: StudyConfig) -> Dataset | None:
    """What can be done before anything is opened: find the user's modules, prepare the rows.

    Workers begin to load torch meanwhile.

    Returns:
        The rows; None where the training is the user's own code.
    """
    preload_for(config)
    look_in(location.code_folders)
    if config.own_code:
        return None
    return load_dataset(config.data, config.seed, location.code_folders, config.training.loss)


def as_run(config: StudyConfig, data: Dataset | None) -> tuple[StudyConfig, str]:
    """The settings of a study as it is run on its rows, and what is to be said of them."""
    if data is None:
        return config, ""
    return knowing_steps(config, min(steps_of_batch_sizes(config, data).values()))


def steps_of_batch_sizes(config: StudyConfig, data: Dataset) -> dict[BatchSize, int]:
    """Optimizer steps in one pass over the training rows, by each batch size that is searched."""
    settings, rows = TrainingSettings.of(config), len(data.x_train)
    sizes = config.optimizer.batch_sizes
    return {size: settings.with_batches_of(size).steps_per_epoch(rows) for size in sizes}


def worker_setup(location: Location, config: StudyConfig, data: Dataset | None) -> WorkerSetup:
    """What workers need to build their engines; a loop's threads and folder are still to be given.

    Raises:
        InputError: The study's command cannot be run, there are too few GPUs, or a device is not
            there.
    """
    setup = WorkerSetup.of(config, data, location.code_folders)
    if config.command is None:
        if config.cluster.is_local:
            named_devices(config.device, count_gpus(config.device))
        return setup
    command = CommandSettings.of(config, location, location.folder.absolute() / TRIALS)
    if config.cluster.is_local:
        command = command.shared_out(config, config.trials, default_workers())
    else:  # which shares out what its machines have
        threads = config.threads or max(1, int(config.cluster.cpus_per_worker))
        command = replace(command, threads=threads)
    return replace(setup, command=command)


@contextmanager
def passing_setup(
    location: Location, config: StudyConfig, data: Dataset | None
) -> Iterator[WorkerSetup]:
    """What workers need for trainings that leave nothing behind in the results folder."""
    setup = worker_setup(location, config, data)
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        trials = Path(folder) / TRIALS
        if setup.loop:
            threads = config.threads or 1
            setup = replace(setup, loop=replace(setup.loop, folders=trials, threads=threads))
        if setup.command:
            setup = replace(setup, command=replace(setup.command, folders=trials))
        yield setup


def worker_pool(context: RunContext) -> Pool:
    """The workers; they are started when something is to be trained."""
    config = context.config
    setup = worker_setup(context.location, config, context.data)
    if setup.loop:
        folder = context.location.folder.absolute()
        loop = replace(
            setup.loop,
            checkpoints=folder / CHECKPOINTS,
            folders=folder / TRIALS,
            logs=folder / LOGS,
        )
        setup = replace(setup, loop=loop)
    return open_pool(config, setup, config.trials, context.note)


def open_sweep(
    location: Location,
    config: StudyConfig,
    data: Dataset | None,
    fresh: bool,
    note: Callable[[str], None],
) -> tuple[RunContext, WarmStart | None]:
    """The study, ready for its first trial of this run: fresh or continued.

    Args:
        location: Its name and results folder, which `hold` keeps others away from.
        config: Its settings.
        data: Its rows; None where the training loop is the user's own.
        fresh: Whether earlier trials and results are thrown away first.
        note: Told what a user should read.

    Returns:
        The sweep, and the trials of another study that are to go first.

    Raises:
        SweepError: It is refused, as `earlier` says, or another study's best trials, which are to
            go first, cannot be had.
    """
    url = storage_url(config.storage, location.folder)
    if not is_shared(url):
        for repair in repair_journal(Path(url), fresh):
            note(repair)
    before = earlier(location, config, data, url, fresh, to_run=True)
    if fresh and before.is_there:
        _try_training(config, worker_setup(location, config, data))
    carried = _to_carry_over(location, config, before.trials, note)
    if fresh and has_results(location.folder):
        note(f"thrown away: {thrown_away(location.folder)}")
    if not before.stays:
        _discard(location, url, before.is_there)
    draws_before = len(before.trials) + (_own_draws(location) if is_shared(url) else 0)
    sampler = build_sampler(config.sampling, config.seed, draws_before, family_plan(config))
    pruner = build_pruner(config.pruning, config.epochs)
    if reader := before.reader:
        study = reader.study
        study.sampler, study.pruner = sampler, pruner
    else:
        study = open_study(location.name, url, sampler, pruner, config.measure.maximize)
    now = comparable(config, data)
    if continues(study, now, is_shared(url)):
        begin(study, now)
    is_news = describe(study, config.measure, _known(config, data) if data else {})
    if reader is None or is_news:  # from which more may follow of a trial that it has read
        reader = StudyReader(study, config)
    context = RunContext(location, config, data, reader, note)
    _save_settings(location, config, url)
    if changed := note_code(study, _code_files(location, config), bool(before.trials)):
        note(
            f"{listed(changed)} {verb(len(changed), 'has', 'have')} changed since this study's "
            "first trials: new trials may not compare with old ones; --fresh throws those away"
        )
    return context, carried


def _try_training(config: StudyConfig, setup: WorkerSetup) -> None:
    """Try what workers will build, before results that it cannot replace are thrown away.

    Raises:
        InputError: The model, the loop or a function of the user's own cannot be trained with, or
            the cluster is not there.
    """
    if not config.cluster.is_local:
        check_cluster(config)
        find_cluster(config.cluster.address)
        setup = replace(setup, devices=("cpu",)).on_device_of(0)  # here may be no GPU
    from sweep.training.build import checked_model, resolve_device
    from sweep.training.own_loop.loading import load_loop

    if setup.loop:
        load_loop(setup.loop, setup.folders, resolve_device(setup.loop.device))
    elif setup.data is not None:
        checked_model(setup.data, setup.model, setup.folders, setup.settings, setup.kinds)


def _known(config: StudyConfig, data: Dataset) -> dict[str, Any]:
    """What the rows say of all trials: how many steps an epoch has, or else how many rows."""
    known = of_rows(data, config.training.loss)
    steps = steps_of_batch_sizes(config, data)
    if len(steps) > 1:
        return {**known, "training_rows": len(data.x_train)}
    return {**known, "steps_per_epoch": steps.popitem()[1]}


def _code_files(location: Location, config: StudyConfig) -> dict[str, str]:
    """A hash of each file of the user's own code, by name."""
    found: dict[str, str] = {}
    scripts: list[Path] = []
    for reference in config.own_functions:
        if reference.startswith(f"{by_value.MODULE}:"):
            found |= by_value.digest(reference)
        elif script := script_of(reference, location.code_folders):
            scripts.append(script)
    if config.command:
        place = working_folder(config, location)
        scripts += [place / word for word in config.command if word.endswith(".py")]
    for path in scripts:
        for name, digest in fingerprints(path).items():
            is_same = found.get(name, digest) == digest  # else of another folder
            found[name if is_same else f"{path.resolve().parent.name}/{name}"] = digest
    return found


def _discard(location: Location, url: str, is_there: bool) -> None:
    """Throw a study's trials and results away, and nothing else that its storage holds."""
    if is_there:
        storage = open_storage(url)
        names = optuna.get_all_study_names(storage)
        optuna.delete_study(study_name=location.name, storage=storage)
        close_storage(storage)
        if not is_shared(url) and names == [location.name]:
            Path(url).unlink()
    for name in FILES:
        (location.folder / name).unlink(missing_ok=True)
    for name in (CHECKPOINTS, ARTIFACTS, LOGS):
        shutil.rmtree(location.folder / name, ignore_errors=True)
    discard_folders(location.folder)


def _own_draws(location: Location) -> int:
    """What sets the draws of a run apart from those of others beside it."""
    return zlib.crc32(owner_of(location.folder).encode()) % 2**20


def _save_settings(location: Location, config: StudyConfig, url: str) -> None:
    storage = None if config.storage is None else url
    update: dict[str, Any] = {"name": location.name, "storage": storage}
    if config.command:
        update["working_folder"] = str(working_folder(config, location))
    if config.own_code is None:
        update["data"] = _found_from(location, config)
    saved = to_pass_on(config.model_copy(update=update))
    write_whole(location.folder / SAVED_STUDY, saved.to_toml())


def _found_from(location: Location, config: StudyConfig) -> DataConfig:
    """The data's settings with a path that is found from the results folder too."""
    saved_at = replace(location, file=location.folder / SAVED_STUDY)
    for folder in location.code_folders:
        path = folder / config.data.source
        if path.is_file() and folder not in saved_at.code_folders[:-1]:
            return config.data.model_copy(update={"source": str(path.resolve())})
    return config.data


def _to_carry_over(
    location: Location,
    config: StudyConfig,
    trials: Sequence[Trial],
    note: Callable[[str], None],
) -> WarmStart | None:
    """What is to be trained first, before anything of an earlier run is thrown away."""
    if config.warm_start is None:
        return None
    if all(trial.is_waiting for trial in trials):
        return best_of_other(location, config)
    if not any(trial.carried_from for trial in trials):
        note(
            "warm_start is for a study's beginning, and this one has trials already: nothing is "
            "carried over"
        )
    return None


def enqueue_first(context: RunContext, carried: WarmStart | None) -> int:
    """Enqueue what the sampler must not decide; the total of trials."""
    config = context.config
    _enqueue_baselines(context)
    trials = drawn(context.trials)
    first, total = first_trials(config, trials), reachable_trials(config, trials)
    room = total - len(trials)
    if note := grid_note(config, trials):
        context.note(note)
    if carried and config.sampling.name == "grid":
        context.note("a grid gives every trial its parameters: nothing is carried over")
    elif carried:
        context.note(carried.enqueue(context.reader, max(room, 0)))
        room -= len(carried.trials)
    for parameters in first[: max(0, room)]:
        context.study.enqueue_trial(parameters)
    return total


def _enqueue_baselines(context: RunContext) -> None:
    """Enqueue the schedules to compare with that the study has not had yet.

    In a fair study, their schedulers are to learn nothing from them.
    """
    config = context.config
    had = [trial.suggestion for trial in context.trials if trial.baseline]
    for baseline in baselines(config):
        if baseline.suggestion in had:
            continue
        had.append(baseline.suggestion)
        space = None if config.fair else config.search_space
        enqueue_baseline(context.study, baseline, space)
        if baseline.told:
            context.note(baseline.told)
