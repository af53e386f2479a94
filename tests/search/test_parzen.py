"""Densities on the unit cube: they integrate to one and sample what they say."""

from __future__ import annotations

import numpy as np
import pytest

from sweep.search.strategies.parzen import Floats, ParzenEstimator, recommended

NUMBERS = np.array([0, 0])


def points(count: int) -> Floats:
    return np.random.default_rng(1).random((count, 2))


@pytest.mark.parametrize("count", [0, 1, 5, 80])
def test_a_density_integrates_to_one(count: int) -> None:
    middles = (np.arange(200) + 0.5) / 200
    grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    observed = points(count)
    observed[: count // 2, 1] = np.nan
    density = np.exp(ParzenEstimator(observed, NUMBERS).log_density(grid))
    assert density.mean() == pytest.approx(1.0, abs=2e-3)


def test_options_integrate_to_one_too() -> None:
    observed = np.array([[1 / 6, 0.2], [5 / 6, 0.9], [np.nan, 0.5]])
    middles = (np.arange(300) + 0.5) / 300
    grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    estimator = ParzenEstimator(observed, np.array([3, 0]))
    assert np.exp(estimator.log_density(grid)).mean() == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("options", [[0, 0], [3, 0]])
def test_samples_follow_the_density(options: list[int]) -> None:
    observed = np.array([[1 / 6, 0.2], [1 / 6, 0.95], [0.5, np.nan]])
    estimator = ParzenEstimator(observed, np.array(options))
    drawn = estimator.sample(np.random.default_rng(0), 40_000)
    assert drawn.min() >= 0 and drawn.max() <= 1
    middles = (np.arange(120) + 0.5) / 120
    grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    density = np.exp(estimator.log_density(grid)) / len(grid)
    for low in (0.0, 1 / 3, 2 / 3):
        for column in (0, 1):
            inside = (grid[:, column] >= low) & (grid[:, column] < low + 1 / 3)
            share = np.mean((drawn[:, column] >= low) & (drawn[:, column] < low + 1 / 3))
            assert share == pytest.approx(density[inside].sum(), abs=0.015)


def test_no_coordinate_is_a_density_as_well() -> None:
    estimator = ParzenEstimator(np.empty((3, 0)), np.array([], dtype=np.int64))
    assert estimator.log_density(np.empty((2, 0))) == pytest.approx([0.0, 0.0])


def test_what_is_recommended_is_near_the_good_and_far_from_the_rest() -> None:
    good = ParzenEstimator(np.full((8, 2), 0.8), NUMBERS)
    rest = ParzenEstimator(points(40) * 0.6, NUMBERS)
    x = recommended(good, rest, np.random.default_rng(0), 64)
    assert x == pytest.approx([0.8, 0.8], abs=0.25)
