"""What a run needs before it opens anything: rows, settings as they are run, workers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sweep.base.user_code import look_in
from sweep.data.dataset import Dataset
from sweep.data.load import load_dataset
from sweep.search.context import RunContext
from sweep.study.auditions import knowing_steps
from sweep.study.locations import Location
from sweep.study.results_folder import CHECKPOINTS, LOGS, TRIALS
from sweep.study.settings import StudyConfig
from sweep.training.contract import TrainingSettings
from sweep.training.own_command.settings import CommandSettings
from sweep.training.workers.messages import WorkerSetup
from sweep.training.workers.pool import WorkerPool, default_workers, preload


def prepare(location: Location, config: StudyConfig) -> Dataset | None:
    """What can be done before anything is opened: find the user's modules, prepare the rows.

    Workers begin to load torch meanwhile.

    Returns:
        The rows; None where the training is the user's own code.
    """
    preload(with_torch=config.command is None)
    look_in(location.code_folders)
    if config.own_code:
        return None
    return load_dataset(config.data, config.seed, location.code_folders)


def as_run(config: StudyConfig, data: Dataset | None) -> tuple[StudyConfig, str]:
    """The settings of a study as it is run on its rows, and what is to be said of them."""
    if data is None:
        return config, ""
    steps = TrainingSettings.of(config).steps_per_epoch(len(data.x_train))
    return knowing_steps(config, steps)


def worker_setup(location: Location, config: StudyConfig, data: Dataset | None) -> WorkerSetup:
    """What workers need to build their engines; a loop's threads and folder are still to be given.

    Raises:
        InputError: The study's command cannot be run, or there are too few GPUs.
    """
    setup = WorkerSetup.of(config, data, location.code_folders)
    if config.command is None:
        return setup
    command = CommandSettings.of(config, location, location.folder.absolute() / TRIALS)
    command = command.shared_out(config, config.trials, default_workers())
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


def worker_pool(context: RunContext) -> WorkerPool:
    """The workers; they are started when something is to be trained."""
    config = context.config
    setup = worker_setup(context.location, config, context.data)
    if setup.command:
        return WorkerPool(setup, setup.command.workers)
    workers = min(config.workers or default_workers(), config.trials)
    if setup.loop:
        folder = context.location.folder.absolute()
        loop = replace(
            setup.loop,
            threads=config.threads or max(1, default_workers() // workers),
            checkpoints=folder / CHECKPOINTS,
            folders=folder / TRIALS,
            logs=folder / LOGS,
        )
        setup = replace(setup, loop=loop)
    return WorkerPool(setup, workers)
