"""What the coordinator, its Ray driver and the machines of a cluster say beside orders and answers.

Files travel with them, by the paths that they have on the coordinator's machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sweep.base.errors import SweepError
from sweep.training.workers.messages import Answer, Died, Orders, WorkerSetup


@dataclass(frozen=True)
class Appended:
    """What has been added to a file's end."""

    content: bytes


Files = Mapping[Path, bytes | Appended | None]
"""The content of files that are new or others now; None of those that are gone."""


@dataclass(frozen=True)
class Job:
    """What all workers of a study are given, once a machine.

    Args:
        setup: What they need to build their engines.
        code: The files of the user's own code and what it needs beside it, with their content.
        working_folder: The coordinator's.
        with_library_warnings: Whether what libraries warn of is shown.
    """

    setup: WorkerSetup
    code: Mapping[Path, bytes] = field(repr=False)
    working_folder: Path
    with_library_warnings: bool = False


@dataclass(frozen=True)
class Placement:
    """Which workers the driver keeps in the cluster.

    Args:
        address: The cluster's: `ray`, `auto` or Ray's own; see `ClusterConfig`.
        most: Workers that there is any use for.
        workers: How many there are to be; as many as there is room for if left out.
        cpus: That each of them has to itself.
        gpus: The same.
        patience_secs: After which a study with fewer workers than `least` is over.
        grace_secs: That workers have to end what they have started.
        least: Workers without which nothing is trained.
    """

    address: str
    most: int
    workers: int | None
    cpus: float
    gpus: float
    patience_secs: float
    grace_secs: float
    least: int = 1


@dataclass(frozen=True)
class Reply:
    """What a worker says.

    Args:
        message: An answer, the end of its process, or why it cannot build its engine.
        files: What it has written.
    """

    message: Answer | Died | SweepError
    files: Files = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class ReplyFrom:
    """A worker's reply, passed on.

    Args:
        index: The worker.
        message: As in its reply; None for what was written until its end.
        files: What it has written.
    """

    index: int
    message: Answer | Died | SweepError | None
    files: Files = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Note:
    """Something that a user should read: where the cluster is, or what to know of its machines.

    Args:
        text: In a sentence.
    """

    text: str


@dataclass(frozen=True)
class Size:
    """How many workers there are, or will be once they have started."""

    workers: int


@dataclass(frozen=True)
class OrdersTo:
    """Orders to a worker, and the files that they need.

    Args:
        index: The worker.
        orders: Its orders.
        files: By the paths that the orders name.
    """

    index: int
    orders: Orders
    files: Mapping[Path, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Replace:
    """A worker's process has died and is to be followed by a fresh one."""

    index: int


@dataclass(frozen=True)
class Close:
    """All workers are to end."""
