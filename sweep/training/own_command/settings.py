"""What all trials of a study share where a command is what trains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sweep.study.metric import Metric

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
        horizon: Optimizer steps of a trial, where the study says them.
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
    horizon: int | None = None
    keep: bool = False
    threads: int | None = None
    gpus: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    stop_secs: float = STOP_SECS
    finish_secs: float = FINISH_SECS

    def environment_of(self, worker: int) -> dict[str, str]:
        """The environment of a worker's trials, but for what names the trial."""
        added = {"PYTHONUNBUFFERED": "1"}  # a log has what was printed before a kill
        if self.threads is not None:
            added["OMP_NUM_THREADS"] = str(self.threads)
        if self.gpus is not None:
            added["CUDA_VISIBLE_DEVICES"] = self.gpus[worker]
        return {**self.environment, **added}
