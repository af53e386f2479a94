"""Numbers from which everything random derives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MASK = 0xFFFFFFFF


def mix(*numbers: int) -> int:
    """One 32-bit number from several, different for almost all different inputs."""
    mixed = 0
    for number in numbers:
        mixed = (mixed ^ (number & _MASK)) * 0x9E3779B1 & _MASK
        mixed = _finalise(mixed ^ (number >> 32 & _MASK))
    return mixed


def mix_into(mixed: NDArray[np.uint64], numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`mix(*before, number)` for many numbers at once, where `mixed` is `mix(*before)`."""
    mask = np.uint64(_MASK)
    mixed = (mixed ^ (numbers & mask)) * np.uint64(0x9E3779B1) & mask
    final: NDArray[np.uint64] = _finalise(mixed ^ (numbers >> np.uint64(32)))
    return final


def _finalise(x: Any) -> Any:
    """The integer hash lowbias32 (C. Wellons, "Prospecting for Hash Functions", 2018)."""
    x ^= x >> 16
    x = x * 0x7FEB352D & _MASK
    x ^= x >> 15
    x = x * 0x846CA68B & _MASK
    return x ^ x >> 16
