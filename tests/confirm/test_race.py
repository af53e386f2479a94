"""The race of candidates over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sweep.confirm.candidate import ranked
from sweep.confirm.race import FIRST_SEEDS, race
from sweep.confirm.verdict import Confirmation
from sweep.schedules.schedule import Schedule
from sweep.study.metric import MSE
from sweep.study.space import Suggestion

Pairs = list[tuple[int, int]]


class Track:
    """Candidates whose values are known: a mean each, and noise that candidates share by seed."""

    def __init__(self, means: dict[int, float], noise: float = 0.0, own: float = 0.0) -> None:
        self.means = means
        self.noise = noise
        self.own = own
        self.rounds: list[Pairs] = []

    def train(self, pairs: Pairs) -> dict[tuple[int, int], float]:
        self.rounds.append(pairs)
        return {(trial, seed): self.value(trial, seed) for trial, seed in pairs}

    def value(self, trial: int, seed: int) -> float:
        shared = np.random.default_rng(seed).normal(0, self.noise)
        own = np.random.default_rng([trial, seed]).normal(0, self.own)
        return float(self.means[trial] + shared + own)


def test_everyone_gets_the_first_seeds_whatever_the_budget() -> None:
    track = Track({1: 1.0, 2: 1.0}, own=1.0)
    values = race([1, 2], track.train, most_seeds=20, affordable=lambda spent: 0)
    assert [len(v) for v in values.values()] == [FIRST_SEEDS] * 2
    assert track.rounds == [[(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]]


def test_those_behind_drop_out_and_the_rest_gets_their_share() -> None:
    track = Track({1: 1.0, 2: 1.0, 3: 5.0, 4: 9.0}, noise=3.0, own=0.2)
    values = race(list(track.means), track.train, most_seeds=20, affordable=lambda s: 40 - s)
    assert len(values[3]) == len(values[4]) == FIRST_SEEDS
    assert len(values[1]) == len(values[2]) > 8
    assert sum(map(len, values.values())) <= 40
    assert values[1] == tuple(track.value(1, seed) for seed in range(len(values[1])))


def test_references_stay_as_long_as_others_race_unless_they_diverge() -> None:
    track = Track({1: 1.0, 2: 1.0, 3: 5.0, 4: 9.0, 5: math.inf}, noise=3.0, own=0.2)
    values = race(
        list(track.means),
        track.train,
        most_seeds=20,
        affordable=lambda s: 50 - s,
        references=[4, 5],
    )
    assert len(values[3]) == len(values[5]) == FIRST_SEEDS
    assert len(values[1]) == len(values[2]) == len(values[4]) > 8
    alone = Track({1: 1.0, 2: 2.0}, noise=5.0)
    values = race([1, 2], alone.train, most_seeds=20, affordable=lambda s: 99, references=[2])
    assert [len(v) for v in values.values()] == [FIRST_SEEDS] * 2


def test_it_ends_when_one_is_left() -> None:
    track = Track({1: 1.0, 2: 2.0}, noise=5.0)
    values = race([1, 2], track.train, most_seeds=20, affordable=lambda spent: 1000)
    assert [len(v) for v in values.values()] == [FIRST_SEEDS] * 2


def test_it_ends_at_the_most_seeds() -> None:
    track = Track({1: 1.0, 2: 1.0}, noise=1.0)
    values = race([1, 2], track.train, most_seeds=7, affordable=lambda spent: 1000)
    assert [len(v) for v in values.values()] == [7, 7]
    values = race([1, 2], track.train, most_seeds=2, affordable=lambda spent: 1000)
    assert [len(v) for v in values.values()] == [2, 2]


def test_without_dropping_all_get_the_same_seeds() -> None:
    track = Track({1: 1.0, 2: 2.0, 3: 9.0}, noise=1.0)
    values = race([1, 2, 3], track.train, most_seeds=20, affordable=lambda s: 20 - s, drop=False)
    assert {len(v) for v in values.values()} == {6}


def test_it_ends_where_seeds_make_no_difference_and_calls_none_behind() -> None:
    track = Track({1: 1.0, 2: 2.0, 3: 9.0})
    values = race([1, 2, 3], track.train, most_seeds=20, affordable=lambda spent: 1000)
    assert [len(v) for v in values.values()] == [FIRST_SEEDS] * 3
    assert len(track.rounds) == 1


def test_one_that_fails_a_seed_is_out_and_all_may_be() -> None:
    track = Track({1: 1.0, 2: math.inf})
    values = race([2, 1], track.train, most_seeds=20, affordable=lambda spent: 1000)
    assert [len(v) for v in values.values()] == [FIRST_SEEDS] * 2
    track = Track({1: math.inf, 2: math.inf})
    values = race([1, 2], track.train, most_seeds=20, affordable=lambda spent: 1000)
    assert [len(v) for v in values.values()] == [FIRST_SEEDS] * 2


@pytest.mark.slow
def test_equals_are_seldom_called_different() -> None:
    """Of two equals, the verdict names a winner hardly more often than its intervals promise."""
    ahead = dropped = 0
    repeats = 600
    for repeat in range(repeats):
        trials = [2 * repeat, 2 * repeat + 1]
        track = Track(dict.fromkeys(trials, 10.0), noise=1.0, own=0.5)
        values = race(trials, track.train, most_seeds=20, affordable=lambda spent: 40 - spent)
        dropped += len({len(v) for v in values.values()}) > 1 or len(values[trials[0]]) < 19
        suggestions = dict.fromkeys(trials, Suggestion(Schedule("constant", 0.1)))
        confirmation = Confirmation(ranked(suggestions, values, MSE), tuple(range(20)), metric=MSE)
        ahead += not confirmation.tied
    assert dropped / repeats < 0.05
    assert ahead / repeats < 0.08


def test_the_best_hardly_ever_drops_out() -> None:
    lost = 0
    for repeat in range(200):
        means = {10 * repeat + i: 1.0 + 0.1 * i for i in range(6)}
        track = Track(means, noise=1.0, own=0.1)
        values = race(list(means), track.train, most_seeds=20, affordable=lambda s: 60 - s)
        lost += len(values[10 * repeat]) < max(map(len, values.values()))
    assert lost <= 2


def test_it_stops_when_training_is_stopped() -> None:
    track = Track({1: 1.0, 2: 1.0})

    def train(pairs: Pairs) -> dict[tuple[int, int], float]:
        return {} if track.rounds else track.train(pairs)

    values = race([1, 2], train, most_seeds=20, affordable=lambda spent: 1000)
    assert [len(v) for v in values.values()] == [FIRST_SEEDS] * 2


def test_seeds_that_all_were_trained_from_count_when_the_time_is_up() -> None:
    track = Track({1: 1.0, 2: 2.0})

    def cut(pairs: Pairs) -> dict[tuple[int, int], float]:
        return dict(list(track.train(pairs).items())[:3])  # both on seed 0, one on seed 1

    values = race([1, 2], cut, most_seeds=20, affordable=lambda spent: 1000)
    assert values == {1: (1.0,), 2: (2.0,)}
    values = race([1, 2], lambda pairs: {}, most_seeds=20, affordable=lambda spent: 1000)
    assert values == {1: (), 2: ()}


def test_the_first_round_may_be_shorter() -> None:
    track = Track({1: 1.0, 2: 1.0})
    race([1, 2], track.train, most_seeds=20, affordable=lambda spent: 0, first_seeds=2)
    assert track.rounds == [[(1, 0), (2, 0), (1, 1), (2, 1)]]
