"""Samplers by name."""

from __future__ import annotations

import logging
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweep.errors import StudyFileError
from sweep.samplers import GRID_POINTS, build_sampler, grid_points
from sweep.settings import SAMPLERS, SamplerConfig, StudyConfig
from sweep.space import Space

Params = dict[str, Any]

TRIALS = 12
EPOCHS = 3


def search_space() -> Space:
    """With parameters that only some trials have, whole numbers and words among them."""
    names = ["constant", "step", "cyclic", "onecycle"]
    space = {"scheduler": names, "lr": "1e-3:1:log", "weight_decay": "1e-6:1e-2:log"}
    return StudyConfig.model_validate({"space": space}).search_space


def config(name: str, **arguments: Any) -> SamplerConfig:
    return SamplerConfig.model_validate({"name": name, **arguments})


def run(study: optuna.Study, trials: int) -> list[Params]:
    """Ask, report and tell as a sweep does; the parameters of each trial."""
    space = search_space()
    drawn = []
    for _ in range(trials):
        trial = study.ask()
        suggestion = space.suggest(trial)
        for epoch in range(1, EPOCHS + 1):
            trial.report(abs(suggestion.schedule.lr - 0.05) + 1 / epoch, epoch)
        pruned = trial.number % 4 == 3
        study.tell(
            trial,
            None if pruned else suggestion.schedule.lr,
            TrialState.PRUNED if pruned else TrialState.COMPLETE,
        )
        drawn.append(trial.params)
    return drawn


@pytest.mark.parametrize("name", SAMPLERS)
class TestEverySampler:
    def test_runs_over_a_space_with_conditional_parameters(
        self, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """None of them speaks up in the middle of a sweep; pytest turns warnings into errors."""
        study = optuna.create_study(sampler=build_sampler(config(name), 0, 0))
        params = run(study, TRIALS)
        assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == []
        assert len({str(p) for p in params}) == TRIALS
        assert len({p["scheduler"] for p in params}) > 1

    def test_the_same_seed_draws_the_same(self, name: str) -> None:
        drawn = [
            run(optuna.create_study(sampler=build_sampler(config(name), seed, 0)), 4)
            for seed in (3, 3, 4)
        ]
        assert drawn[0] == drawn[1]
        assert drawn[0] != drawn[2]

    @pytest.mark.parametrize("arguments", [{}, {"seed": 7}])
    def test_a_continued_study_does_not_draw_its_first_trials_again(
        self, name: str, arguments: Params
    ) -> None:
        arguments = {} if name == "grid" else arguments
        storage = optuna.storages.InMemoryStorage()
        sampler = build_sampler(config(name, **arguments), 0, 0)
        study = optuna.create_study(storage=storage, sampler=sampler)
        before = run(study, 5)
        study.sampler = build_sampler(config(name, **arguments), 0, 5)
        after = run(study, 5)
        assert not {p["lr"] for p in before} & {p["lr"] for p in after}

    def test_refuses_an_unknown_argument(self, name: str) -> None:
        with pytest.raises(StudyFileError) as raised:
            build_sampler(config(name, colour="red"), 0, 0)
        assert str(raised.value).startswith("sampler.colour: ")


def test_qmc_goes_on_with_its_sequence() -> None:
    """Its points complement each other: two halves must be the whole."""

    def study() -> optuna.Study:
        return optuna.create_study(sampler=build_sampler(config("qmc"), 0, 0))

    whole, halves = study(), study()
    expected = run(whole, 8)
    first = run(halves, 4)
    halves.sampler = build_sampler(config("qmc"), 0, 4)
    assert [p["lr"] for p in first + run(halves, 4)] == [p["lr"] for p in expected]


def test_tpe_models_the_shared_parameters_jointly_and_spreads_parallel_trials() -> None:
    sampler = build_sampler(config("tpe"), 0, 0)
    given = build_sampler(config("tpe", group=False, multivariate=False), 0, 0)
    assert isinstance(sampler, optuna.samplers.TPESampler)
    assert (sampler._multivariate, sampler._group, sampler._constant_liar) == (True, True, True)
    assert isinstance(given, optuna.samplers.TPESampler)
    assert (given._multivariate, given._group, given._constant_liar) == (False, False, True)


class TestArguments:
    @pytest.mark.parametrize(
        ("name", "arguments", "expected"),
        [
            (
                "qmc",
                {"scrambel": True},
                "sampler.scrambel: QMCSampler has no such argument; did you mean 'scramble'? "
                "(qmc_type, scramble, seed, warn_asynchronous_seeding, warn_independent_sampling)",
            ),
            (
                "random",
                {"n_startup_trials": 3},
                "sampler.n_startup_trials: RandomSampler has no such argument (seed)",
            ),
            (
                "tpe",
                {"n_startup_trials": "many"},
                "sampler.n_startup_trials: expected a whole number, got 'many'",
            ),
            ("tpe", {"seed": "x"}, "sampler.seed: expected a whole number, got 'x'"),
            ("tpe", {"multivariate": 1}, "sampler.multivariate: expected true or false, got 1"),
            (
                "qmc",
                {"qmc_type": "sobl"},
                "sampler: QMCSampler refuses {'seed': 0, 'qmc_type': 'sobl'}: The "
                "`qmc_type='sobl'` is invalid. Choose either `halton` or `sobol`.",
            ),
        ],
    )
    def test_what_is_wrong_with_them(self, name: str, arguments: Params, expected: str) -> None:
        with pytest.raises(StudyFileError) as raised:
            build_sampler(config(name, **arguments), 0, 0)
        assert str(raised.value) == expected

    def test_what_no_file_can_spell_is_unknown(self) -> None:
        with pytest.raises(StudyFileError, match=r"^sampler\.gamma: TPESampler has no such"):
            build_sampler(config("tpe", gamma=3), 0, 0)


class TestGridPoints:
    def test_default_and_given(self) -> None:
        assert grid_points(config("grid")) == GRID_POINTS
        assert grid_points(config("grid", points=5)) == 5

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({"points": 0}, "sampler.points: expected a whole number of at least 1, got 0"),
            ({"points": 2.0}, "sampler.points: expected a whole number of at least 1, got 2.0"),
            ({"points": True}, "sampler.points: expected a whole number of at least 1, got True"),
            ({"points": "3"}, "sampler.points: expected a whole number of at least 1, got '3'"),
            ({"points": 2, "seed": 1}, "sampler.seed: the grid has one argument: points"),
        ],
    )
    def test_refuses_everything_else(self, arguments: Params, expected: str) -> None:
        with pytest.raises(StudyFileError) as raised:
            grid_points(config("grid", **arguments))
        assert str(raised.value) == expected
