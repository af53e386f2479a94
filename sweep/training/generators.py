"""The global random generators of Python, NumPy and torch, which a user's code may draw from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Seed all of them, torch's on every device too.

    Args:
        seed: From 0 to 2**32 - 1, which is as far as NumPy's goes.
    """
    random.seed(seed)
    np.random.seed(seed)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # the other call would keep a traceback each time, for when there is a device
        torch.default_generator.manual_seed(seed)


def python_state() -> tuple[object, ...]:
    """The states of Python's and NumPy's: equal to a later one if none has been drawn from."""
    numpy = np.random.get_state(legacy=False)
    inner = numpy["state"]
    return random.getstate(), inner["key"].tobytes(), inner["pos"], numpy["has_gauss"]


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Inside this context they are seeded; after it they are as they were before.

    Args:
        seed: As `seed_generators` takes it.
        device: The CUDA device whose generator is kept, too, if it is one.
    """
    python, numpy = random.getstate(), np.random.get_state()
    devices = [device] if device is not None and device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            seed_generators(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
