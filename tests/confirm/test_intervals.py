"""Means with intervals and paired differences, against SciPy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sweep.confirm.intervals import is_behind, mean_interval, paired_lead, unpaired_lead

OURS = [1.0, 1.2, 0.9, 1.1]
THEIRS = [1.2, 1.3, 1.2, 1.2]


def test_the_interval_is_students() -> None:
    interval = mean_interval(OURS)
    low, high = stats.t.interval(0.95, 3, np.mean(OURS), stats.sem(OURS))
    assert interval.mean == pytest.approx(1.05)
    assert [interval.low, interval.high] == pytest.approx([low, high])
    assert interval.margin == pytest.approx((high - low) / 2)


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [mean_interval(rng.normal(3.0, 2.0, 4).tolist()) for _ in range(4000)]
    share = np.mean([interval.low <= 3.0 <= interval.high for interval in intervals])
    assert 0.94 < share < 0.96


def test_one_value_or_an_infinite_one_says_nothing() -> None:
    assert mean_interval([2.0]).low == -math.inf and mean_interval([2.0]).mean == 2.0
    assert mean_interval([2.0, math.inf]).low == -math.inf
    assert mean_interval([2.0, math.inf]).mean == math.inf


def test_a_lead_is_paired_and_relative() -> None:
    lead = paired_lead(OURS, THEIRS)
    scale = np.mean(THEIRS)
    expected = stats.ttest_rel(THEIRS, OURS).confidence_interval(0.95)
    assert lead.mean == pytest.approx((scale - np.mean(OURS)) / scale)
    assert lead.low == pytest.approx(expected.low / scale)
    assert lead.high == pytest.approx(expected.high / scale)
    assert paired_lead(OURS, OURS).low == paired_lead(OURS, OURS).high == 0.0


def test_an_unpaired_lead_is_welchs() -> None:
    theirs = [1.2, 1.6, 1.3]
    lead = unpaired_lead(OURS, theirs)
    scale = np.mean(theirs)
    expected = stats.ttest_ind(theirs, OURS, equal_var=False).confidence_interval(0.95)
    assert lead.count == 7
    assert lead.mean == pytest.approx(1 - np.mean(OURS) / scale)
    assert [lead.low, lead.high] == pytest.approx([expected.low / scale, expected.high / scale])


def test_values_that_seeds_do_not_change_have_no_interval() -> None:
    """A spread of 0 is no certainty: the seeds were no chance to draw from."""
    for interval in (
        mean_interval([0.7, 0.7, 0.7]),
        paired_lead([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]),
        unpaired_lead([1.0, 1.0], [2.0, 2.0, 2.0]),
    ):
        assert not interval.is_finite
        assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert not is_behind([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], 0.05)
    one_varies = paired_lead([1.0, 1.1, 1.2], [2.0, 2.0, 2.0])
    assert one_varies.is_finite and one_varies.low > 0
    assert unpaired_lead([1.0, 1.1, 1.2], [2.0, 2.0, 2.0]).is_finite


def test_being_behind_is_a_one_sided_paired_test() -> None:
    p = stats.ttest_rel(THEIRS, OURS, alternative="greater").pvalue
    assert is_behind(THEIRS, OURS, p * 1.01)
    assert not is_behind(THEIRS, OURS, p * 0.99)
    assert not is_behind(OURS, THEIRS, 0.5)
    assert not is_behind([2.0], [1.0], 0.05)
    assert is_behind([2.0, 3.0], [1.0, 2.0], 0.05)  # always behind by the same
    assert not is_behind(OURS, OURS, 0.05)


@pytest.mark.parametrize(
    ("values", "shown"),
    [((3000.0, 3400.0, 3900.0), "± 1100"), ((0.1, 0.1001, 0.1002), "± 0.00025"), ((1.0,), "")],
)
def test_half_its_width_is_told_in_two_digits(values: tuple[float, ...], shown: str) -> None:
    assert mean_interval(values).plus_minus == shown
