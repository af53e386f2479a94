"""Where a Ray cluster is, and how it is spoken to; one is started where it is asked for."""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import dataclass
from typing import Any

from sweep.base.errors import InputError
from sweep.base.wording import duration
from sweep.training.workers.process_pool import default_workers

_FIND_SECS = 5.0
"""That a cluster's head node has to answer at first."""

_CLIENT = "ray://"
"""What an address begins with that a cluster is spoken to at from outside."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process speaks to.

    Args:
        ray: The module.
        head: Host and port that answer as long as there is a cluster.
        note: Where it is, in half a sentence.
    """

    ray: Any
    head: str
    note: str


def find(asked: str) -> str | None:
    """The address at which a cluster's head node answers; None where one is to be started here.

    Args:
        asked: `ray`, `auto`, or Ray's own address.

    Raises:
        InputError: Nothing answers.
    """
    address = _running() if asked in ("ray", "auto") else asked
    if address is not None and is_reached(_head(address), _FIND_SECS):
        return address
    if asked != "ray" or os.environ.get("RAY_ADDRESS"):
        raise _no_cluster(asked, address, "nothing answers")
    return None


def connect(asked: str) -> Cluster:
    """Find a cluster, or start one.

    Args:
        asked: As for `find`.

    Raises:
        InputError: There is none.
    """
    import ray

    module: Any = ray
    started = time.monotonic()
    address = find(asked)
    is_ours = address is None
    try:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if is_ours:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            context = module.init("local", num_cpus=default_workers(), **quiet)
        else:
            context = module.init(address, **quiet)
    except Exception as problem:  # of many kinds
        why = f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"
        raise _no_cluster(asked, address, why) from None
    is_client = address is not None and address.startswith(_CLIENT) and not is_ours
    head = _head(address or "") if is_client else str(context.address_info["address"])
    where = address if is_client else head
    shown = f"; its dashboard is http://{context.dashboard_url}" if context.dashboard_url else ""
    took = f", started here in {duration(time.monotonic() - started)}" if is_ours else ""
    return Cluster(module, head, f"workers are on the Ray cluster {where}{took}{shown}")


def _running() -> str | None:
    """The address of the cluster that RAY_ADDRESS names, or that this machine belongs to."""
    from ray._private.utils import read_ray_address

    named = os.environ.get("RAY_ADDRESS")
    return named if named and named != "auto" else read_ray_address()


def _head(address: str) -> str:
    """Host and port of what answers at an address."""
    return address.removeprefix(_CLIENT).partition("/")[0]


def is_reached(head: str, secs: float) -> bool:
    """Whether something answers there within some seconds."""
    host, _, port = head.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=secs).close()
    except (OSError, ValueError):
        return False
    return True


def _no_cluster(asked: str, address: str | None, why: str) -> InputError:
    where = f" at {address}" if address and address != asked else ""
    advice = "say where it is: ray://HOST:10001, or RAY_ADDRESS" if address is None else ""
    return InputError(
        f"--cluster {asked}: no Ray cluster is reached{where} ({why}); "
        + (advice or "look at it there with: ray status; where it has a token: RAY_AUTH_MODE=token")
        + "; --cluster local trains on this machine"
    )
