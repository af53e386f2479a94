"""Several machines of a Ray cluster, all of them this one."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

_UNWATCHED = {"include_log_monitor": False}
"""Without a process on each machine that reads its logs, which nobody asks for."""


class Machines:
    """A head without CPUs, and machines that are added and killed.

    Attributes:
        address: The cluster's.
    """

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "no_monitor": True}
        head |= _UNWATCHED
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self._nodes: list[Any] = []
        self.address: str = self._cluster.address

    def add(self, **environment: str) -> None:
        """One with a CPU and, as it says, a GPU.

        Args:
            environment: Variables of its own.
        """
        self._nodes.append(
            self._cluster.add_node(num_cpus=1, num_gpus=1, env_vars=environment, **_UNWATCHED)
        )

    def kill(self) -> None:
        """Kill the one that was added first, as if its plug was pulled."""
        self._cluster.remove_node(self._nodes.pop(0), allow_graceful=False)

    def kill_all(self) -> None:
        """The head, too."""
        for node in self._cluster.list_all_nodes():
            with suppress(Exception):
                node.kill_all_processes(check_alive=False, allow_graceful=False)


@contextmanager
def machines() -> Iterator[Machines]:
    """A cluster without any machine but its head."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets have short paths
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Machines()
        try:
            yield cluster
        finally:
            cluster.kill_all()
            shutil.rmtree(folder, ignore_errors=True)
