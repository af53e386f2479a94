"""Samplers by name."""

from __future__ import annotations

import logging
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweep.base.errors import StudyFileError
from sweep.search.strategies.family_sampler import FamilyPlan
from sweep.search.strategies.samplers import GRID_POINTS, family_plan, first_trials, grid_points
from sweep.search.strategies.samplers import build_sampler as build
from sweep.search.strategies.within_space import WithinSpace
from sweep.study.registries.samplers import SAMPLERS
from sweep.study.sections import SamplerConfig
from sweep.study.settings import StudyConfig
from sweep.study.space import Space

Params = dict[str, Any]

TRIALS = 12
EPOCHS = 3


def search_space() -> Space:
    """With parameters that only some trials have, whole numbers and words among them."""
    names = ["constant", "step", "cyclic", "onecycle"]
    space = {"scheduler": names, "lr": "1e-3:1:log", "weight_decay": "1e-6:1e-2:log"}
    return StudyConfig.model_validate({"space": space}).search_space


def config(name: str, **arguments: Any) -> SamplerConfig:
    given = {"trials": TRIALS, "sampler": {"name": name, **arguments}}
    return StudyConfig.model_validate(given).sampling


def build_sampler(
    given: SamplerConfig, seed: int, trials_before: int, fair: bool = False
) -> optuna.samplers.BaseSampler:
    return build(given, seed, trials_before, FamilyPlan(search_space(), TRIALS, fair))


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

    def test_every_scheduler_gets_its_share_in_advance_or_by_the_sampler(self, name: str) -> None:
        """What is enqueued holds every parameter that the space asks for."""
        names = ["constant", "step", "cyclic", "onecycle"]
        given = {"space": {"scheduler": names}, "sampler": {"name": name}, "trials": 40}
        study_config = StudyConfig.model_validate(given)
        sampler = build(study_config.sampling, 0, 0, family_plan(study_config))
        study = optuna.create_study(sampler=sampler)
        enqueued = first_trials(study_config)
        for parameters in enqueued:
            study.enqueue_trial(parameters)
        for _ in range(8):
            trial = study.ask()
            study_config.search_space.suggest(trial)
            if trial.number < len(enqueued):
                assert trial.params == enqueued[trial.number]
            study.tell(trial, 1.0)
        drawn = [trial.params["scheduler"] for trial in study.trials[:8]]
        assert drawn == names * 2

    def test_refuses_an_unknown_argument(self, name: str) -> None:
        with pytest.raises(StudyFileError) as raised:
            build_sampler(config(name, colour="red"), 0, 0)
        assert str(raised.value).startswith("sampler.colour: ")


def test_auto_follows_the_number_of_trials() -> None:
    assert StudyConfig(trials=100).sampling.name == "tpe"
    assert StudyConfig(trials=200).sampling.name == "family"
    assert StudyConfig(trials=100, fair=True).sampling.name == "family"
    named = StudyConfig(trials=500, sampler=SamplerConfig(name="random"))
    assert named.sampling.name == "random"


@pytest.mark.parametrize("name", ["family", "random"])
def test_a_fair_study_gives_every_scheduler_the_same_number(name: str) -> None:
    sampler = build_sampler(config(name), 0, 0, fair=True)
    drawn = run(optuna.create_study(sampler=sampler), TRIALS + 2)
    counts = [sum(p["scheduler"] == s for p in drawn) for s in search_space().schedulers]
    assert sorted(counts) == [3, 3, 4, 4]
    assert len({p["lr"] for p in drawn}) == len(drawn)


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
    asked = (config("tpe"), config("tpe", group=False, multivariate=False))
    built = [build_sampler(each, 0, 0) for each in asked]
    sampler, given = (each.sampler for each in built if isinstance(each, WithinSpace))
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


OWN = StudyConfig.model_validate(
    {
        "loop": "train.py:train",
        "trials": 40,
        "space": {
            "scheduler": ["constant", "step"],
            "lr": [0.01, 0.1, 1],
            "params": {
                "weight_decay": "1e-6:1e-1:log",
                "layers": "2:8",
                "width": [64, 128],
                "activation": ["relu", "gelu"],
                "amp": [True, False],
                "fixed": 0.5,
            },
        },
    }
)
"""A study with parameters of the user's own."""


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "auto"])
def test_parameters_of_ones_own(name: str) -> None:
    """Each sampler draws them inside their ranges, of their types, and all options come up."""
    given = OWN.model_copy(update={"sampler": SamplerConfig.model_validate({"name": name})})
    space, trials = OWN.search_space, 12 if name == "gp" else 40
    sampler = build(given.sampling, 0, 0, family_plan(given))
    study = optuna.create_study(sampler=sampler)
    for point in first_trials(given)[:trials]:
        study.enqueue_trial(point)
    drawn = []
    for _ in range(trials):
        trial = study.ask()
        suggestion = space.suggest(trial)
        params = suggestion.params
        study.tell(trial, abs(params["weight_decay"] - 1e-3) + params["width"] / 1000)  # type: ignore[operator]
        assert "fixed" not in trial.params and params["fixed"] == 0.5
        drawn.append((suggestion.schedule.lr, params))
    assert {lr for lr, _ in drawn} == {0.01, 0.1, 1.0}
    kinds = {key: {type(params[key]) for _, params in drawn} for key in OWN.space.params}
    assert kinds == {
        **{"weight_decay": {float}, "layers": {int}, "width": {int}},
        **{"activation": {str}, "amp": {bool}, "fixed": {float}},
    }
    for key, options in {"width": 2, "activation": 2, "amp": 2}.items():
        assert len({params[key] for _, params in drawn}) == options
    assert all(2 <= params["layers"] <= 8 for _, params in drawn)  # type: ignore[operator]
    assert all(1e-6 <= params["weight_decay"] <= 0.1 for _, params in drawn)  # type: ignore[operator]


def test_a_widths_lesson_is_shared() -> None:
    """The family sampler learns from one scheduler what is good for another."""
    sampler = build(SamplerConfig(name="family"), 0, 0, FamilyPlan(OWN.search_space, 300))
    study = optuna.create_study(sampler=sampler)
    space, late = OWN.search_space, []
    for number in range(150):
        trial = study.ask()
        params = space.suggest(trial).params
        study.tell(trial, (params["width"] == 64) + (params["activation"] == "relu"))
        if number >= 100:
            late.append(params["width"] == 128 and params["activation"] == "gelu")
    assert sum(late) > len(late) / 2  # by chance, a quarter
