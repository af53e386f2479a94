"""A trial's chance: everything random in it is a function of its seed and the step.

Nothing here depends on what else is trained in the process, so a trial takes the same course
alone, beside others and after an interruption.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sweep.training.seeds import mix, mix_into


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


def dropout_keys(seed: int, first_step: int, steps: int, calls: int) -> NDArray[np.int32]:
    """The keys of all dropout calls of several steps at once, as `dropout_key` gives them.

    Returns:
        (steps, calls) int32.
    """
    state = np.full((steps, calls), mix(seed, 2), dtype=np.uint64)
    numbers = (np.arange(first_step, first_step + steps)[:, None], np.arange(calls))
    for number in numbers:
        state = mix_into(state, number.astype(np.uint64))
    return state.astype(np.uint32).view(np.int32)


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


class KeyedDropout(TorchFunctionMode):
    """Inside this context every `dropout` draws its mask from the next key.

    Other random operations use torch's global generator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def next_key(self, device: torch.device) -> Tensor:
        """The int32 key of the dropout call number `calls`, a scalar."""
        raise NotImplementedError

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
        key = self.next_key(input.device)
        self.calls += 1
        if p == 1.0:
            return input * 0.0
        return input * dropout_mask(key, input.shape, p) * (1.0 / (1.0 - p))


class SeededDropout(KeyedDropout):
    """The masks of one trial, from its seed and step.

    Args:
        seed: The trial's.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._step = 0

    def start_step(self, step: int) -> None:
        """Say which optimizer step, from 0, the next forward pass belongs to."""
        self._step = step
        self.calls = 0

    def next_key(self, device: torch.device) -> Tensor:
        """The key of this step's next dropout call."""
        key = dropout_key(self._seed, self._step, self.calls)
        return torch.tensor(key, dtype=torch.int32, device=device)


class LaneDropout(KeyedDropout):
    """The masks of a lane, from its keys.

    Args:
        keys: (calls,) int32, in the order of the calls.
    """

    def __init__(self, keys: Tensor) -> None:
        super().__init__()
        self._keys = keys

    def next_key(self, device: torch.device) -> Tensor:
        """The next of the keys."""
        return self._keys[self.calls]
