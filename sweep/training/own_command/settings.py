"""What all trials of a study share where a command is what trains them."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sweep.base.errors import InputError
from sweep.study.locations import Location
from sweep.study.metric import Metric
from sweep.study.settings import StudyConfig
from sweep.training.contract import steps_over
from sweep.training.own_command.gpus import shared_out, spread_over, visible_gpus

STOP_SECS = 10.0
"""That a process has to end after it was told to, and again after SIGTERM."""

FINISH_SECS = 60.0
"""That one has to end after its last report, unless its epochs take longer."""


@dataclass(frozen=True)
class CommandSettings:
    """What all trials of a study share.

    Args:
        words: The command and its arguments.
        working_folder: Where it runs.
        metric: What it reports.
        epochs: How often it reports.
        folders: Where the trials' folders are made.
        code_folders: Where schedules of the user's own are imported from.
        horizon: Optimizer steps of a trial, where the study says them.
        evaluate_every: Steps between two reports, where it says them.
        workers: That run it side by side.
        keep: Whether the folders of trials that have ended stay.
        threads: Of a trial's process, where it goes by OMP_NUM_THREADS; None to leave that alone.
        gpus: Those that the trials of each worker see, by the worker's index; None for all.
        environment: What the processes' environment is made from.
        stop_secs: Time to end, where a process is told to.
        finish_secs: Time to end after the last report.
    """

    words: tuple[str, ...]
    working_folder: Path
    metric: Metric
    epochs: int
    folders: Path
    code_folders: tuple[Path, ...] = ()
    horizon: int | None = None
    evaluate_every: int | None = None
    workers: int = 1
    keep: bool = False
    threads: int | None = None
    gpus: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    stop_secs: float = STOP_SECS
    finish_secs: float = FINISH_SECS

    @classmethod
    def of(cls, config: StudyConfig, location: Location, folders: Path) -> CommandSettings:
        """Those of a study; how its machine is shared out is still to be given.

        Args:
            config: The study's settings, which have a command.
            location: Its places.
            folders: Where the trials' folders are made.

        Raises:
            InputError: There is no such command, script or folder.
        """
        words = tuple(config.command or ())
        place = working_folder(config, location)
        if not place.is_dir():
            raise InputError(f"working_folder = {config.working_folder!r}: no folder {place}")
        is_path = os.sep in words[0]
        if not shutil.which(place / words[0] if is_path else words[0]):
            raise InputError(
                f"{words[0]}: no such command{f' in {place}' if is_path else ' on the PATH'}; "
                "trials are trained by: " + shlex.join(words)
            )
        is_python = Path(words[0]).name.startswith("python")
        script = words[1] if is_python and len(words) > 1 else ""
        if script.endswith(".py") and not (place / script).is_file():
            raise InputError(f"{script}: no such script in {place}")
        return cls(
            words=words,
            working_folder=place,
            metric=config.measure,
            epochs=config.epochs,
            folders=folders,
            code_folders=location.code_folders,
            horizon=config.horizon,
            evaluate_every=config.evaluate_every,
            keep=config.keep,
            environment=dict(os.environ),
        )

    def over(self, epochs: int | None) -> CommandSettings:
        """The same for a trial of another horizon in epochs, if one is given."""
        if epochs is None:
            return self
        horizon = steps_over(epochs, self.horizon, self.evaluate_every, self.epochs)
        return replace(self, epochs=epochs, horizon=horizon)

    def shared_out(self, config: StudyConfig, most: int, cores: int) -> CommandSettings:
        """The same, with each worker's share of the machine: where there are GPUs, one each.

        Args:
            config: The study's settings.
            most: Workers that there is any use for.
            cores: That this process may use.

        Raises:
            InputError: There are too few GPUs.
        """
        workers = None if config.workers is None else min(config.workers, most)
        gpus = None
        visible = visible_gpus(self.environment)
        if config.gpus_per_trial:
            gpus = shared_out(visible, config.gpus_per_trial, workers)[:most]
        elif visible:
            gpus = spread_over(visible, workers or min(len(visible), most))
        workers = len(gpus) if gpus else workers
        workers = workers or min(cores, most)
        threads = config.threads
        if threads is None and "OMP_NUM_THREADS" not in self.environment:
            threads = max(1, cores // workers)
        return replace(self, workers=workers, threads=threads, gpus=gpus)

    def environment_of(self, worker: int) -> dict[str, str]:
        """The environment of a worker's trials, but for what names the trial."""
        added = {"PYTHONUNBUFFERED": "1"}  # a log has what was printed before a kill
        if self.threads is not None:
            added["OMP_NUM_THREADS"] = str(self.threads)
        if self.gpus is not None:
            added["CUDA_VISIBLE_DEVICES"] = self.gpus[worker]
        return {**self.environment, **added}


def working_folder(config: StudyConfig, location: Location) -> Path:
    """Where a study's command is run."""
    beside = location.file.parent if location.file else Path()
    return (beside / (config.working_folder or "")).resolve()
