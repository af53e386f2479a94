"""Ranges, what Optuna is asked for, and the grid."""

from __future__ import annotations

from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial

from sweep.schedules.schedule import SHAPES, Schedule
from sweep.study.fields.dimensions import default_own_dimensions
from sweep.study.settings import StudyConfig
from sweep.study.space import Choice, Dimension, Range, Space, Value

LR = Range(1e-3, 1.0, log=True)
DECAY = Range(1e-4, 1.0, log=True)
WARMUP = Range(0.0, 0.2)


def space(*schedulers: str, **shared: Range) -> Space:
    own: dict[str, Dimension] = {}
    for scheduler in schedulers:
        own |= default_own_dimensions(scheduler)
    return Space(schedulers, {"lr": LR, "decay": DECAY, "warmup": WARMUP, **shared}, own)


class TestRangeParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1e-3:1:log", Range(1e-3, 1.0, log=True)),
            ("0:0.2", Range(0.0, 0.2)),
            (" 1 : 2 ", Range(1.0, 2.0)),
            ("-1:-0.5", Range(-1.0, -0.5)),
            ("0.05", Range(0.05, 0.05)),
            (0.05, Range(0.05, 0.05)),
            (3, Range(3.0, 3.0)),
            ("2:2:log", Range(2.0, 2.0, log=True)),
            (Range(1.0, 2.0), Range(1.0, 2.0)),
        ],
    )
    def test_reads(self, text: Any, expected: Range) -> None:
        assert Range.parse(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ":",
            "1:",
            "a:b",
            "1:2:3",
            "1:2:lgo",
            "1:2:log:log",
            "1:log",
            "log",
            True,
            None,
            [1, 2],
        ],
    )
    def test_refuses_other_forms(self, text: Any) -> None:
        with pytest.raises(ValueError) as raised:
            Range.parse(text)
        assert str(raised.value) == "expected 'LOW:HIGH', 'LOW:HIGH:log' or one number"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1:0.5", "low must be at most high: write '0.5:1'"),
            ("1:0.5:log", "low must be at most high: write '0.5:1:log'"),
            ("1:0:log", "low must be at most high: write '0:1'"),
            ("0:1:log", "a :log range must start above 0"),
            ("0:inf", "both ends must be finite numbers, but got 0:inf"),
            ("nan", "both ends must be finite numbers, but got nan:nan"),
        ],
    )
    def test_says_what_is_wrong_with_the_ends(self, text: str, expected: str) -> None:
        with pytest.raises(ValueError) as raised:
            Range.parse(text)
        assert str(raised.value) == expected

    def test_whole_numbers(self) -> None:
        assert Range.parse("1:5", integer=True) == Range(1, 5, integer=True)
        with pytest.raises(ValueError) as raised:
            Range.parse("1.5:5", integer=True)
        assert str(raised.value) == "whole numbers are expected, but got '1.5:5'"


def distribution(dimension: Dimension) -> BaseDistribution:
    """What Optuna should be asked for."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.options)
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


class TestRange:
    @pytest.mark.parametrize(
        "text", ["0.001:1:log", "0:0.2", "0.05", "0.123456789:0.3333333333333333", "1e-12:1:log"]
    )
    def test_is_read_back_from_its_text(self, text: str) -> None:
        assert str(Range.parse(text)) == text
        assert Range.parse(str(Range.parse(text))) == Range.parse(text)

    @pytest.mark.parametrize(
        ("bounds", "count", "expected"),
        [
            (Range(0.0, 1.0), 3, [0.0, 0.5, 1.0]),
            (Range(0.01, 1.0, log=True), 3, [0.01, 0.1, 1.0]),
            (Range(0.0, 1.0), 1, [0.5]),
            (Range(0.01, 1.0, log=True), 1, [0.1]),
            (Range(0.3, 0.3), 5, [0.3]),
            (Range(1, 2, integer=True), 5, [1, 2]),
            (Range(1, 5, integer=True), 3, [1, 3, 5]),
        ],
    )
    def test_points(self, bounds: Range, count: int, expected: list[Value]) -> None:
        points = bounds.points(count)
        assert points == pytest.approx(expected)
        assert {type(point) for point in points} == {int if bounds.integer else float}

    def test_points_never_leave_the_range(self) -> None:
        """geomspace ends a rounding error away from where it should."""
        for exponent in range(1, 12):
            bounds = Range(3 * 10.0**-exponent, 0.7, log=True)
            points = bounds.points(7)
            assert (points[0], points[-1]) == (bounds.low, bounds.high)


class TestChoice:
    ALLOWED = ("up", "down", "flat")

    @pytest.mark.parametrize(
        ("value", "options"),
        [
            ("up", ("up",)),
            (["up", "flat"], ("up", "flat")),
            (["up", "up"], ("up",)),
        ],
    )
    def test_reads_a_word_or_a_list(self, value: Any, options: tuple[str, ...]) -> None:
        assert Choice.parse(value, self.ALLOWED) == Choice(options)
        assert Choice(options).fixed is (len(options) == 1)

    @pytest.mark.parametrize("value", ["u", [], ["up", "left"], 3, None, [["up"]]])
    def test_refuses_everything_else(self, value: Any) -> None:
        with pytest.raises(ValueError) as raised:
            Choice.parse(value, self.ALLOWED)
        assert str(raised.value) == "expected some of up, down, flat"

    def test_points_are_all_options(self) -> None:
        assert Choice(("up", "flat")).points(1) == ["up", "flat"]


class TestSuggest:
    def test_gives_the_schedule_that_was_asked_for(self) -> None:
        trial = FixedTrial(
            {
                "scheduler": "step",
                "lr": 0.1,
                "decay": 0.01,
                "warmup": 0.05,
                "step.drops": 3,
                "momentum": 0.8,
                "weight_decay": 1e-3,
            }
        )
        searched = space(
            "step",
            "cosine",
            momentum=Range(0.0, 0.9),
            weight_decay=Range(1e-6, 1e-2, log=True),
        )
        suggestion = searched.suggest(trial)
        schedule = suggestion.schedule
        assert (schedule.scheduler, schedule.lr, schedule.decay) == ("step", 0.1, 0.01)
        assert (schedule.warmup, schedule.params) == (0.05, {"drops": 3})
        assert (suggestion.momentum, suggestion.weight_decay) == (0.8, 1e-3)

    def test_asks_for_the_parameters_of_its_own_scheduler_alone(self) -> None:
        trial = FixedTrial({"scheduler": "cosine", "lr": 0.1, "decay": 0.1, "warmup": 0.0})
        assert space("cosine", "step", "wsd").suggest(trial).schedule.params == {}
        assert set(trial.distributions) == {"scheduler", "lr", "decay", "warmup"}

    def test_asks_every_scheduler_for_the_shared_parameters(self) -> None:
        """Also constant, which has no decay: the sampler models them jointly."""
        trial = FixedTrial({"scheduler": "constant", "lr": 0.1, "decay": 0.1, "warmup": 0.1})
        schedule = space("constant", "step").suggest(trial).schedule
        assert set(trial.distributions) == {"scheduler", "lr", "decay", "warmup"}
        assert (schedule.decay, schedule.warmup) == (1.0, 0.1)

    def test_onecycle_brings_its_own_warmup(self) -> None:
        trial = FixedTrial(
            {"scheduler": "onecycle", "lr": 0.1, "decay": 0.1, "warmup": 0.1}
            | {"onecycle.pct_start": 0.25}
        )
        schedule = space("onecycle", "step").suggest(trial).schedule
        assert (schedule.warmup, schedule.params) == (0.0, {"pct_start": 0.25})

    def test_fixed_parameters_are_not_asked_for(self) -> None:
        trial = FixedTrial({"decay": 0.5})
        one = Space(
            ("step",),
            {"lr": Range(0.1, 0.1), "decay": DECAY, "warmup": Range(0.0, 0.0)},
            {"step.drops": Range(2, 2, integer=True)},
        )
        schedule = one.suggest(trial).schedule
        assert set(trial.distributions) == {"decay"}
        assert (schedule.lr, schedule.params) == (0.1, {"drops": 2})
        assert type(schedule.params["drops"]) is int

    def test_names_and_ranges_are_optunas(self) -> None:
        everything = space(*SHAPES)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        asked: dict[str, Any] = {}
        for _ in range(150):
            trial = study.ask()
            everything.suggest(trial)
            asked |= trial.distributions
        assert asked == {n: distribution(d) for n, d in everything.dimensions().items()}

    def test_custom_schedules_carry_their_factory(self) -> None:
        custom = Space(
            ("mine",),
            {"lr": LR, "decay": DECAY, "warmup": WARMUP},
            {"mine.bend": Range(1.0, 3.0)},
            {"mine": "shapes:bent"},
        )
        trial = FixedTrial({"lr": 0.1, "decay": 0.2, "warmup": 0.1, "mine.bend": 2.0})
        schedule = custom.suggest(trial).schedule
        assert (schedule.factory, schedule.params) == ("shapes:bent", {"bend": 2.0})
        assert (schedule.decay, schedule.warmup) == (0.2, 0.1)


class TestGrid:
    def test_every_combination_once_and_schedulers_in_turns(self) -> None:
        grid = space("cosine", "exponential").grid(2)
        assert len(grid) == 2 * 2**3
        assert len({tuple(sorted(point.items())) for point in grid}) == len(grid)
        assert [point["scheduler"] for point in grid[:4]] == ["cosine", "exponential"] * 2

    @pytest.mark.parametrize("seed", range(4))
    def test_however_many_are_taken_are_spread_over_it(self, seed: int) -> None:
        """A budget below the grid's size must not mean its first corner."""
        names = ("constant", "step", "exponential", "linear", "cosine", "onecycle", "wsd")
        searched = space(*names)
        grid = searched.grid(3, seed)
        assert {frozenset(p.items()) for p in grid} == {
            frozenset(p.items()) for p in searched.grid(3)
        }
        for taken in (7, 20, 50, 100):
            first = grid[:taken]
            assert {point["scheduler"] for point in first} == set(names)
            for name in ("lr", "decay", "warmup"):
                assert len({point[name] for point in first}) == 3, (taken, name)
            rates = Counter(point["lr"] for point in first)
            assert max(rates.values()) - min(rates.values()) <= len(names)
        for name in names:  # within a scheduler, every rate comes before one comes again
            rates_of = [point["lr"] for point in grid if point["scheduler"] == name]
            assert all(len(set(rates_of[i : i + 3])) == 3 for i in range(0, len(rates_of), 3))

    def test_a_scheduler_takes_what_it_has(self) -> None:
        grid = space("constant", "onecycle", "step").grid(3)
        count = {name: 0 for name in ("constant", "onecycle", "step")}
        for point in grid:
            count[str(point["scheduler"])] += 1
        assert count == {
            "constant": 3 * 3,  # lr, warmup
            "onecycle": 3 * 3 * 3,  # lr, decay, pct_start
            "step": 3 * 3 * 3 * 3,  # lr, decay, warmup, drops
        }

    def test_has_the_parameters_that_optuna_is_asked_for(self) -> None:
        """Enqueued, each point must come back as it is, with nothing left to sample."""
        everything = space(*SHAPES, momentum=Range(0.5, 0.5))
        for point in everything.grid(2):
            trial = FixedTrial(point)
            everything.suggest(trial)
            assert set(trial.distributions) == set(point)

    def test_leaves_out_what_is_fixed(self) -> None:
        one = Space(("linear",), {"lr": LR, "decay": Range(0.1, 0.1), "warmup": Range(0.0, 0.0)})
        assert sorted(one.grid(3), key=lambda point: point["lr"]) == [
            {"lr": lr} for lr in LR.points(3)
        ]

    def test_of_a_space_without_anything_to_search_is_one_trial(self) -> None:
        fixed = Range(0.1, 0.1)
        assert Space(("linear",), {"lr": fixed, "decay": fixed, "warmup": fixed}).grid(3) == [{}]


FIXED: dict[str, Value] = {"decay": 0.1, "warmup": 0.0}


class TestDefaultOwnDimensions:
    @pytest.mark.parametrize("scheduler", SHAPES)
    def test_both_ends_make_a_schedule(self, scheduler: str) -> None:
        dimensions = default_own_dimensions(scheduler)
        assert [name.partition(".")[0] for name in dimensions] == [scheduler] * len(dimensions)
        assert len(dimensions) == len(SHAPES[scheduler].params)
        for point in space(scheduler).grid(2):
            schedule = (
                space(scheduler).suggestion({"scheduler": scheduler, **FIXED, **point}).schedule
            )
            assert schedule == Schedule.from_dict(schedule.to_dict())

    def test_other_schedulers_have_none(self) -> None:
        assert default_own_dimensions("mine") == {}


def test_to_dict_tells_spaces_apart() -> None:
    assert space("step").to_dict() == {
        "scheduler": "step",
        "lr": "0.001:1:log",
        "decay": "0.0001:1:log",
        "warmup": "0:0.2",
        "step.drops": str(default_own_dimensions("step")["step.drops"]),
    }
    assert space("step").to_dict() != space("step", "cosine").to_dict()
    custom = [Space(("mine",), {"lr": LR}, {}, {"mine": f"m:{name}"}) for name in "ab"]
    assert custom[0].to_dict() != custom[1].to_dict()


def test_a_constant_rate_to_try_things_with() -> None:
    params = {"decades": "1e-6:1e-2:log", "layers": "2:8", "width": [128, 64], "act": ["b", "a"]}
    space = {"scheduler": ["step"], "lr": [0.3, 0.1], "momentum": "0:0.8", "params": params}
    config = StudyConfig.model_validate({"loop": "train.py:train", "space": space})
    tried = config.search_space.constant()
    assert tried.schedule == Schedule("constant", lr=0.1)
    assert tried.momentum == pytest.approx(0.4)
    assert tried.params == {"decades": pytest.approx(1e-4), "layers": 5, "width": 64, "act": "b"}
    assert config.search_space.constant(0.7).schedule.lr == 0.7
