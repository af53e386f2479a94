"""The GPUs that a machine has, without torch, and which of them each worker's trials see."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from sweep.base.errors import InputError
from sweep.base.wording import counted, verb

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Those that CUDA_VISIBLE_DEVICES names, or else all that nvidia-smi lists."""
    named = environment.get(_VISIBLE)
    if named is None:
        try:
            query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
            done = subprocess.run(query, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return ()
        named = ",".join(done.stdout.split()) if done.returncode == 0 else ""
    words = [word.strip() for word in named.split(",")]
    if "-1" in words:  # CUDA sees none from there on
        words = words[: words.index("-1")]
    return tuple(filter(None, words))


def shared_out(gpus: tuple[str, ...], per_trial: int, workers: int | None) -> tuple[str, ...]:
    """Which GPUs the trials of each worker see, as CUDA_VISIBLE_DEVICES names them.

    Args:
        gpus: All that there are.
        per_trial: How many each sees.
        workers: How many workers there are to be; None for as many as there are GPUs for.

    Raises:
        InputError: There are too few.
    """
    room = len(gpus) // per_trial
    if room < (workers or 1):
        asked = counted(workers or 1, "worker")
        there = f"{verb(len(gpus), 'there is', 'there are')} {len(gpus)}"
        raise InputError(
            f"--gpus-per-trial {per_trial}: {asked} at once {verb(workers or 1, 'needs', 'need')} "
            f"{per_trial * (workers or 1)} GPUs, and {there} (CUDA_VISIBLE_DEVICES, or else "
            "nvidia-smi, says which); give fewer, or fewer --workers"
        )
    taken = range(workers or room)
    return tuple(",".join(gpus[i * per_trial : (i + 1) * per_trial]) for i in taken)


def spread_over(gpus: tuple[str, ...], workers: int) -> tuple[str, ...]:
    """Which GPUs the trials of each worker see, where nobody says how many: an even share.

    Where there are more workers than GPUs, they take turns; a single worker has all.

    Args:
        gpus: All that there are, one at least.
        workers: How many workers there are to be.
    """
    each = max(1, len(gpus) // workers)
    places = [[(i * each + k) % len(gpus) for k in range(each)] for i in range(workers)]
    return tuple(",".join(gpus[place] for place in places_of) for places_of in places)
