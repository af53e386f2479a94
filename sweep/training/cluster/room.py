"""Which machines of a cluster have room for workers, and what to say where none has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweep.base.wording import duration, listed
from sweep.training.cluster.messages import Placement


def room_on(node: dict[str, Any], placement: Placement) -> int:
    """Workers that a machine has room for, if nothing else runs there.

    Args:
        node: The machine, as Ray tells of it.
        placement: What a worker needs.
    """
    needs = {"CPU": placement.cpus, "GPU": placement.gpus}
    there = node["Resources"]
    shares = [there.get(kind, 0.0) / need for kind, need in needs.items() if need]
    return int(min(shares) + 1e-9) if shares else placement.most


def no_room(
    nodes: Sequence[dict[str, Any]], placement: Placement, started: int, waited_secs: float
) -> str:
    """Why a study ends that has waited for workers.

    Args:
        nodes: The machines that there are.
        placement: What a worker needs, and how many there must be.
        started: Workers that there was room for.
        waited_secs: How long the others have been waited for.
    """
    needs = f"{placement.cpus:g} CPU"
    needs += f" and {placement.gpus:g} GPU" if placement.gpus else ""
    have = listed(
        f"{node['NodeManagerHostname']} has {node['Resources'].get('CPU', 0):g} CPU and "
        f"{node['Resources'].get('GPU', 0):g} GPU"
        for node in nodes
    )
    room = sum(room_on(node, placement) for node in nodes)
    if room >= placement.least:
        why = "all of it is taken by others"
    elif room:
        why = f"there would be room for {room}"
    else:
        why = "no machine is large enough"
    lacking = "no room for a worker, which needs"
    if placement.least > 1:
        lacking = (
            f"room for {started} of the {placement.least} workers that a deterministic study has "
            "from its beginning; each needs"
        )
    return (
        f"for {duration(waited_secs)} the cluster has had {lacking} {needs}: {why} "
        f"({have or 'no machine is left'}); [cluster] says what a worker needs and how long it is "
        "waited for. The same command goes on with the rest."
    )
