"""What is said of candidates on common seeds."""

from __future__ import annotations

import json
import math

import pytest

from sweep.confirm.candidate import ranked
from sweep.confirm.verdict import Confirmation
from sweep.schedules.schedule import Schedule
from sweep.study.metric import MSE, Metric
from sweep.study.space import Suggestion

SCHEDULES = {
    1: Schedule("cosine", 0.1, 0.01),
    2: Schedule("constant", 0.05),
    3: Schedule("step", 0.2, 0.1),
}


def confirmed(values: dict[int, list[float]], metric: Metric = MSE) -> Confirmation:
    seeds = range(max(map(len, values.values())))
    found = ranked({n: Suggestion(SCHEDULES[n]) for n in values}, values, metric)
    return Confirmation(found, tuple(seeds), metric=metric)


AHEAD = confirmed({2: [2.0, 2.2, 2.4, 2.1], 1: [1.0, 1.2, 1.3, 1.1], 3: [1.8, 3.0, 2.6]})
TIED = confirmed({1: [1.0, 1.2, 1.4], 2: [1.1, 1.1, 1.6], 3: [1.2, 1.0, 1.7]})
FAILED = confirmed({1: [1.0, math.inf, 1.4], 2: [1.1, 1.1, 1.6]})


def test_the_winner_has_the_best_mean_over_most_seeds() -> None:
    assert [c.trial for c in AHEAD.candidates] == [1, 2, 3]
    assert AHEAD.winner.interval.mean == pytest.approx(1.15)
    assert AHEAD.runs == 11
    fewer = confirmed({1: [1.0, 1.0], 2: [2.0, 2.0, 2.0]})
    assert fewer.winner.trial == 2
    assert FAILED.winner.trial == 2
    assert confirmed({1: [1.0], 2: []}).candidates == confirmed({1: [1.0]}).candidates


def test_a_real_lead_is_said_with_its_interval() -> None:
    assert AHEAD.verdict == "ahead of all 2 other candidates"
    assert AHEAD.against_constant == (
        "the winner has 47 % lower MSE (95 % interval 43 % to 51 %, 4 common seeds) (lr 0.05)"
    )
    assert AHEAD.constant is not None and AHEAD.constant.trial == 2
    assert not AHEAD.tied
    assert AHEAD.dropped_out(AHEAD.candidates[2])


def test_a_lead_over_a_value_near_0_is_told_in_the_metrics_unit() -> None:
    """As a share, the second lead is one of 35000 %."""
    values = {1: [0.7, 0.72, 0.69], 2: [0.001, 0.003, 0.002], 3: [0.6, 0.64, 0.61]}
    found = confirmed(values, Metric("reward", maximize=True))
    assert found.against_constant == (
        "the winner has 0.7013 higher reward (95 % interval 0.665 to 0.7377, 3 common seeds) "
        "(lr 0.05)"
    )
    assert found.against_runner_up.startswith("trial 3, step")
    assert "the winner has 0.08667 higher reward" in found.against_runner_up
    assert found.to_dict()["leads_are_shares"] is False
    assert AHEAD.to_dict()["leads_are_shares"] is True


def test_one_that_dropped_out_is_not_thereby_beaten() -> None:
    """It was behind the leader of its round, which is not the winner."""
    early = confirmed({1: [1.0, 1.1, 1.2, 0.9], 2: [1.9, 2.2, 2.0, 2.1], 3: [1.1, 1.0, 1.3]})
    assert not early.is_ahead_of(early.candidates[2])
    assert early.verdict == (
        "ahead of those that stayed; trial 3 (step) dropped out behind an earlier leader, and is "
        "not shown to be worse"
    )


def test_a_tie_is_called_a_tie() -> None:
    assert TIED.verdict == (
        "tied with trial 2 (constant) and 1 other: 3 fresh seeds show no difference beyond noise "
        "between them"
    )
    assert TIED.against_constant.endswith(": within noise (lr 0.05)")
    assert TIED.against_runner_up.startswith(
        "trial 2, constant, lr 0.05: the winner has 5.3 % lower MSE"
    )


def test_one_that_fails_a_seed_is_last_and_said() -> None:
    assert FAILED.compared(FAILED.candidates[1]) == "it diverged or failed on a fresh seed"
    assert FAILED.is_ahead_of(FAILED.candidates[1])
    none = confirmed({1: [math.inf, 1.0]})
    assert none.verdict == "every candidate diverged or failed on a fresh seed"


def test_one_seed_shows_nothing() -> None:
    single = confirmed({1: [1.0], 2: [2.0]})
    assert single.tied
    assert "one common seed, which shows nothing" in single.against_constant


def test_where_seeds_make_no_difference_nothing_is_ahead() -> None:
    alike = confirmed({2: [2.0, 2.0, 2.0], 1: [1.0, 1.0, 1.0], 3: [math.inf] * 3})
    assert alike.seeds_are_alike
    assert [c.trial for c in alike.candidates] == [1, 2, 3]
    assert alike.verdict == (
        "not known: every fresh seed gave a schedule the same value: the training does not depend "
        "on its seed, or the metric cannot tell its runs apart; nothing is shown to be ahead"
    )
    assert not any(map(alike.is_ahead_of, alike.candidates[1:]))
    assert alike.against_constant == (
        "the winner has 50 % lower MSE, the same on each of 3 common seeds, which shows nothing "
        "(lr 0.05)"
    )
    described = alike.to_dict()
    assert described["seeds_are_alike"] is True
    ends = [c[key] for c in described["candidates"] for key in ("mean", "lead_of_winner") if c[key]]
    assert ends and all(interval["low"] is interval["high"] is None for interval in ends)


def test_a_schedule_that_ignores_its_seed_is_named() -> None:
    one = confirmed({1: [1.0, 1.0, 1.0], 2: [2.0, 2.2, 2.4]})
    assert not one.seeds_are_alike
    assert one.doubt.startswith("every fresh seed gave trial 1 (cosine) the same value: ")
    assert not one.winner.interval.is_finite
    two = confirmed({1: [1.0, 1.0, 1.0], 3: [1.5, 1.5, 1.5], 2: [2.0, 2.2, 2.4]})
    assert not two.is_ahead_of(two.candidates[1]) and two.is_ahead_of(two.candidates[2])
    assert "trial 1 (cosine) and 1 other the same value" in two.doubt
    assert AHEAD.doubt == TIED.doubt == confirmed({1: [1.0], 2: [2.0]}).doubt == ""


def test_of_equal_means_the_earlier_trial_is_first() -> None:
    for order in ([3, 1, 2], [2, 3, 1]):
        equal = confirmed({trial: [1.0, 2.0] for trial in order})
        assert [c.trial for c in equal.candidates] == [1, 2, 3]


def test_single_candidates_and_missing_baselines() -> None:
    alone = confirmed({1: [1.0, 1.1]})
    assert alone.verdict == "the only candidate; trained from 2 fresh seeds"
    assert alone.against_constant == "no constant rate was confirmed to compare with"
    assert alone.against_runner_up == "there is no other candidate"
    constant = confirmed({2: [1.0, 1.1], 1: [2.0, 2.2]})
    assert constant.against_constant == "a constant rate is the best that was found"


def test_mean_ranks_are_over_common_seeds_and_share_ties() -> None:
    assert list(AHEAD.mean_ranks()) == pytest.approx([1, 7 / 3, 8 / 3])
    even = confirmed({1: [1.0, 1.0], 2: [1.0, 2.0]})
    assert even.mean_ranks() == (1.25, 1.75)


@pytest.mark.parametrize("confirmation", [AHEAD, TIED, FAILED])
def test_it_comes_back_from_json(confirmation: Confirmation) -> None:
    text = json.dumps(confirmation.to_dict(), allow_nan=False)
    again = Confirmation.from_dict(json.loads(text), MSE)
    assert again == confirmation
    assert again.to_dict() == confirmation.to_dict()
