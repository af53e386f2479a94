"""The generated shopping log."""

from __future__ import annotations

import numpy as np
import pytest

from sweep.data.behaviour_log import LOG_COVARIANCE, LOG_MEANS, ZERO_SHARES, behaviour_log
from sweep.data.sources import pivot_counts


@pytest.mark.slow
def test_has_the_moments_that_it_imitates() -> None:
    counts, _ = pivot_counts(behaviour_log(4000), "user_id", "behavior_type")
    logs = np.log1p(counts.to_numpy())
    assert list(counts.columns) == ["1", "2", "3", "4"]
    assert logs.mean(axis=0) == pytest.approx(LOG_MEANS, abs=0.08)
    assert np.cov(logs.T) == pytest.approx(LOG_COVARIANCE, abs=0.15)
    assert (logs == 0).mean(axis=0) == pytest.approx(ZERO_SHARES, abs=0.02)


def test_views_are_heavy_tailed() -> None:
    log = behaviour_log(2000)
    views = log[log["behavior_type"] == 1].groupby("user_id").size()
    assert len(views) == 2000
    assert views.mean() > 2 * views.median()
    assert views.max() > 10 * views.mean()


def test_first_users_of_a_larger_log_are_those_of_a_smaller_one() -> None:
    small, large = behaviour_log(10), behaviour_log(30)
    assert large[large["user_id"] <= 10].equals(small)
