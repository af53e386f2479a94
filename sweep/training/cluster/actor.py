"""What runs on the machines of a cluster."""

from __future__ import annotations

from typing import Any


def actor_class() -> type:
    """The class of actors, which a machine without this package can make too, to say so."""

    class Worker:
        def __init__(self, job: list[Any], index: int) -> None:
            self._job = job
            self._index = index
            self._node: Any = None

        def about(self, packages: tuple[str, ...]) -> dict[str, Any]:
            import importlib.metadata
            import os
            import socket
            import sys

            os.environ.pop("OMP_NUM_THREADS", None)  # Ray's; a local worker has none
            versions: dict[str, str | None] = {}
            for name in packages:
                try:
                    versions[name] = importlib.metadata.version(name)
                except ImportError:
                    versions[name] = None
            return {
                "host": socket.gethostname(),
                "python": sys.executable,
                "versions": versions,
            }

        def begin(self) -> Any:
            if self._node is None:
                import os

                import ray

                from sweep.training.cluster.node import Node

                if not ray.get_gpu_ids():  # Ray hides those that an actor has not asked for no more
                    os.environ["CUDA_VISIBLE_DEVICES"] = ""
                self._node = Node(ray.get(self._job[0]), self._index)
            return self._node.begin()

        def is_there(self) -> bool:
            return True

        def obey(self, orders: Any, files: Any) -> Any:
            return self._node.obey(orders, files)

        def end(self) -> Any:
            return self._node.end()

    return Worker
