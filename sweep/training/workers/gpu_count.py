"""How many GPUs this machine has for torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache

from sweep.training.own_command.gpus import visible_gpus
from sweep.training.workers.process_pool import answer_of_a_worker


def count_gpus(name: str, environment: Mapping[str, str] = os.environ) -> int:
    """CUDA devices that torch sees.

    Torch, which takes seconds to load, is asked only where a GPU is named, or `auto` may be one;
    and where this process has not loaded it, in one that loads it for the workers anyway.
    """
    if not name.startswith("cuda") and not (name == "auto" and visible_gpus(environment)):
        return 0
    return _torchs_count() if "torch" in sys.modules else _count_elsewhere()


def _torchs_count() -> int:
    import torch

    return torch.cuda.device_count()


@cache
def _count_elsewhere() -> int:
    return answer_of_a_worker(_torchs_count)
