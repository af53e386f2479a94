"""A trial's chance: everything random in it is a function of its seed and the step.

Nothing here depends on what else is trained in the process, so a trial takes the same course
alone, beside others and after an interruption.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sweep.training.seeds import mix


def row_order(seed: int, epoch: int, rows: int) -> Tensor:
    """The order in which an epoch visits the training rows.

    Returns:
        A permutation, (rows,) int64.
    """
    generator = torch.Generator().manual_seed(mix(seed, 1, epoch))
    return torch.randperm(rows, generator=generator)


def dropout_key(seed: int, step: int, layer: int) -> int:
    """The key of one dropout call's mask, as a signed 32-bit number."""
    key = mix(seed, 2, step, layer)
    return key - (1 << 32) if key >= 1 << 31 else key


def dropout_mask(key: Tensor, shape: torch.Size, p: float) -> Tensor:
    """Which elements a dropout call keeps: lowbias32 of each element's index and the key.

    The same arithmetic serves one trial and many lanes: `key` broadcasts against `shape`.

    Args:
        key: int32; of one element, or (lanes, 1, ...) for lanes along the first axis.
        shape: Of the activation of one lane.
        p: The share to drop.

    Returns:
        A bool tensor, True where an element is kept.
    """
    index = torch.arange(shape.numel(), dtype=torch.int32, device=key.device).view(shape)
    x = index * -1640531535 + key  # 0x9E3779B1 as a signed number
    x = x ^ (x >> 16 & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15 & 0x1FFFF)
    x = x * -2073254261  # 0x846CA68B
    x = x ^ (x >> 16 & 0xFFFF)
    return (x & 0x7FFFFFFF) >= int(p * (1 << 31))


class SeededDropout(TorchFunctionMode):
    """Inside this context every `dropout` draws its mask from the trial's seed and step.

    Other random operations use torch's global generator, which the engine seeds each epoch.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._step = 0
        self._layer = 0

    def start_step(self, step: int) -> None:
        """Say which optimizer step, from 0, the next forward pass belongs to."""
        self._step = step
        self._layer = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.nn.functional.dropout:
            return self._dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _dropout(
        self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0.0:
            return input
        key = dropout_key(self._seed, self._step, self._layer)
        self._layer += 1
        if p == 1.0:
            return input * 0.0
        keep = dropout_mask(
            torch.tensor(key, dtype=torch.int32, device=input.device), input.shape, p
        )
        return input * keep * (1.0 / (1.0 - p))
