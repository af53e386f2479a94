"""Parzen estimators on the unit cube, and the point that two of them recommend.

The tree-structured Parzen estimator (TPE) of Bergstra et al. (2011, "Algorithms for
Hyper-Parameter Optimization"), multivariate as in Falkner et al. (2018, arXiv 1807.01774): a point
is recommended where the density of good trials is high and that of the others is low. Here, an
observation may lack coordinates.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

_WIDTH = 0.6
_LEAST_WIDTH = 0.1


class ParzenEstimator:
    """A density on the unit cube: a kernel for every observation, and a flat one as the prior.

    A kernel is a product over coordinates: a normal density cut off at 0 and 1 for a number; for
    one of K options, a share for the observed option and the rest spread evenly; flat where the
    observation lacks the coordinate. Kernels are as wide as Scott's rule says: the narrower, the
    closer together observations are and the more there are, the flat one counted in; but no
    narrower than one over their number, lest a few lucky ones draw all others to them.

    Args:
        points: The observations, (observations, coordinates), NaN where one is lacking; option k
            of K is (k + 1/2) / K.
        options: How many options a coordinate has, (coordinates,); 0 for a number.
    """

    def __init__(self, points: Floats, options: NDArray[np.int64]) -> None:
        coordinates = len(options)
        self._points = np.vstack([points, np.full((1, coordinates), np.nan)])
        self._options = options
        self._spread = len(self._points) ** (-1 / (coordinates + 4))
        self._lacking = np.isnan(self._points)
        least = max(1 / len(self._points), _LEAST_WIDTH)
        self._width = np.maximum(_WIDTH * self._spread * self._deviation(), least)
        low = ndtr(-self._points / self._width)
        high = ndtr((1 - self._points) / self._width)
        self._low, self._mass = low, high - low
        peak = -np.log(self._mass * self._width * math.sqrt(2 * math.pi))
        self._peaks = np.where(self._lacking, 0.0, peak)

    def _deviation(self) -> Floats:
        """The standard deviation of each coordinate, the flat kernel's included."""
        counts = (~self._lacking).sum(axis=0)
        means = np.where(self._lacking, 0.0, self._points).sum(axis=0) / np.maximum(counts, 1)
        squares = np.where(self._lacking, 0.0, (self._points - means) ** 2).sum(axis=0)
        deviation: Floats = np.sqrt((squares + 1 / 12) / (counts + 1))
        return deviation

    def sample(self, rng: np.random.Generator, count: int) -> Floats:
        """Points drawn from the density, (count, coordinates)."""
        chosen = rng.integers(len(self._points), size=count)
        flat = rng.random((count, len(self._options)))
        quantiles = self._low[chosen] + flat * self._mass[chosen]
        near = np.clip(self._points[chosen] + self._width * ndtri(quantiles), 0.0, 1.0)
        kept = rng.random(flat.shape) >= self._spread
        near = np.where(self._options > 0, np.where(kept, self._points[chosen], flat), near)
        return np.where(self._lacking[chosen], flat, near)

    def log_density(self, x: Floats) -> Floats:
        """The logarithm of the density at points (count, coordinates), (count,)."""
        distance = (x[:, None, :] - self._points) / self._width
        logs = self._peaks - 0.5 * distance * distance
        for column in np.flatnonzero(self._options):
            count = self._options[column]
            same = np.floor(x[:, None, column] * count) == np.floor(self._points[:, column] * count)
            other = self._spread / count
            logs[:, :, column] = np.log(np.where(same, 1 - self._spread + other, other) * count)
        logs = np.where(self._lacking, 0.0, logs).sum(axis=-1) - math.log(len(self._points))
        greatest = logs.max(axis=1)
        total: Floats = greatest + np.log(np.exp(logs - greatest[:, None]).sum(axis=1))
        return total


def recommended(
    good: ParzenEstimator, other: ParzenEstimator, rng: np.random.Generator, candidates: int
) -> Floats:
    """Of points drawn near good observations, the one that is least like the others.

    Args:
        good: The density of the good observations.
        other: That of the rest, those still under way included.
        rng: Draws the candidates.
        candidates: How many.

    Returns:
        The point, (coordinates,).
    """
    x = good.sample(rng, candidates)
    best: Floats = x[np.argmax(good.log_density(x) - other.log_density(x))]
    return best
