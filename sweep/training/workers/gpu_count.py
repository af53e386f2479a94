"""How many GPUs this machine has for torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool

from sweep.base.errors import TrainingError
from sweep.training.own_command.gpus import visible_gpus
from sweep.training.workers.process_pool import answer_with_torch


def count_gpus(name: str, environment: Mapping[str, str] = os.environ) -> int:
    """CUDA devices that torch sees.

    Torch, which takes seconds to load, is asked only where a GPU is named, or `auto` may be one;
    and where this process has not loaded it, in one that loads it for the workers anyway.

    Raises:
        TrainingError: It cannot be asked.
    """
    if not name.startswith("cuda") and not (name == "auto" and visible_gpus(environment)):
        return 0
    if "torch" in sys.modules:
        return _torchs_count()
    try:
        return answer_with_torch(_torchs_count)
    except BrokenProcessPool:
        raise TrainingError(
            f"device {name!r}: a process that asked torch for its GPUs has died; --device cpu does "
            "without them"
        ) from None


def _torchs_count() -> int:
    import torch

    return torch.cuda.device_count()
