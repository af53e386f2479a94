"""The pool of a study: processes of this machine, or actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from sweep.base.errors import InputError
from sweep.base.library_warnings import are_shown
from sweep.study.settings import StudyConfig
from sweep.training.workers.devices import share_of
from sweep.training.workers.gpu_count import count_gpus
from sweep.training.workers.messages import ANSWER_SECS, ANSWER_SECS_AFAR, WorkerSetup
from sweep.training.workers.pool import Pool
from sweep.training.workers.process_pool import (
    END_LOOP_SECS,
    END_SECS,
    ProcessPool,
    default_workers,
    preload,
)


def preload_for(config: StudyConfig) -> None:
    """Start loading what a study's workers on this machine need, while the caller goes on."""
    if config.cluster.is_local:
        preload(with_torch=config.command is None)


def open_pool(
    config: StudyConfig, setup: WorkerSetup, most: int, note: Callable[[str], None]
) -> Pool:
    """The workers of a study; they are started when something is to be trained.

    Args:
        config: The study's settings.
        setup: What a worker needs; a loop's threads are given here.
        most: Workers that there is any use for.
        note: Told what a user should read of a cluster.

    Raises:
        InputError: Ray is not installed, or the study's code cannot travel.
    """
    if not config.cluster.is_local:
        return _ray_pool(config, setup, most, note)
    if setup.command:
        return ProcessPool(setup, min(setup.command.workers, most))
    share = share_of(config, most, default_workers(), count_gpus(config.device))
    threads = config.threads or max(1, default_workers() // share.workers)
    setup = replace(_with_threads(setup, threads), devices=share.devices)
    return ProcessPool(setup, share.workers)


def check_cluster(config: StudyConfig) -> None:
    """See that a study's settings suit workers on a cluster.

    Raises:
        InputError: They do not, or Ray is not installed.
    """
    cluster = config.cluster
    if find_spec("ray") is None:
        raise InputError(
            f"--cluster {cluster.address}: Ray is not installed: pip install 'sweep-lr[ray]'"
        )
    if config.deterministic and not (cluster.workers or config.workers):
        raise InputError(
            "deterministic: what is decided depends on how many workers there are, and a cluster "
            "has more or fewer: say so with --workers"
        )
    if ":" in config.device:
        raise InputError(
            f"device {config.device!r}: the cluster says which GPU a worker has; use --device "
            "cuda, and [cluster] gpus_per_worker"
        )
    if config.device == "cuda" and not _gpus(config):
        raise InputError(
            "device 'cuda': workers of a cluster see no GPU unless the study says how many each "
            "has to itself: [cluster] gpus_per_worker, or --set cluster.gpus_per_worker=1"
        )


def _gpus(config: StudyConfig) -> float:
    """That a worker of a cluster has to itself."""
    return config.cluster.gpus_per_worker or float(config.gpus_per_trial or 0)


def _ray_pool(
    config: StudyConfig, setup: WorkerSetup, most: int, note: Callable[[str], None]
) -> Pool:
    check_cluster(config)
    from sweep.training.cluster.code import code_of
    from sweep.training.cluster.messages import Job, Placement
    from sweep.training.cluster.ray_pool import RayPool

    cluster = config.cluster
    workers = cluster.workers or config.workers
    threads = config.threads or max(1, int(cluster.cpus_per_worker))
    folders = tuple(folder.resolve() for folder in setup.folders)
    answer_secs = ANSWER_SECS_AFAR if setup.data else ANSWER_SECS  # others' epochs are longer
    job = Job(
        setup=replace(_with_threads(setup, threads), answer_secs=answer_secs),
        code=code_of(config, folders),
        working_folder=Path.cwd(),
        with_library_warnings=are_shown(),
    )
    wanted = None if workers is None else min(workers, most)
    placement = Placement(
        address=cluster.address,
        most=most,
        workers=wanted,
        least=(config.deterministic and wanted) or 1,
        cpus=cluster.cpus_per_worker,
        gpus=_gpus(config),
        patience_secs=cluster.patience,
        grace_secs=(END_SECS if setup.command else END_LOOP_SECS) + 2.0,
    )
    return RayPool(job, placement, note)


def _with_threads(setup: WorkerSetup, threads: int) -> WorkerSetup:
    return replace(setup, loop=setup.loop and replace(setup.loop, threads=threads))
