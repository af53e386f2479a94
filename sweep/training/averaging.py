"""The running average of a trial's weights: what annealing would make of them, at any epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SPAN_EPOCHS = 1.0
"""How far back the average reaches: after so many epochs a weight's share has fallen to 1/e."""


def average_decays(first_steps: Sequence[int], steps: int) -> NDArray[np.float64]:
    """The decays d of an exponential moving average of the weights in one epoch.

    After each step, average = d * average + (1 - d) * weights; before the first one the average
    is the initial weights. For a trial's step t, from 0,

        d = min(1 - 1 / max(1, SPAN_EPOCHS * steps), (1 + t) / (10 + t)),

    where the second term lets the average leave the initial weights quickly, as in TensorFlow's
    ExponentialMovingAverage with `num_updates`. With one step an epoch d is 0: the average is the
    weights.

    Args:
        first_steps: Steps that each lane has taken before, one per lane.
        steps: In an epoch.

    Returns:
        (steps, lanes) float64.
    """
    t = np.arange(steps)[:, None] + np.asarray(first_steps)  # (steps, lanes)
    longest = 1 - 1 / max(1.0, SPAN_EPOCHS * steps)
    decays: NDArray[np.float64] = np.minimum(longest, (1 + t) / (10 + t))
    return decays
