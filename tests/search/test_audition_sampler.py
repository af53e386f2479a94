"""What is auditioned next: rates first, then what auditions and whole trainings have shown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from sweep.search.attributes import write_audition
from sweep.search.strategies.audition_sampler import RATES_FIRST, AuditionSampler
from sweep.search.strategies.family_sampler import FamilyPlan
from sweep.search.strategies.halving import HalvingPruner
from sweep.study.metric import MSE
from sweep.study.settings import StudyConfig
from sweep.study.space import Space
from sweep.training.record import Audition

NAMES = ("constant", "step", "linear", "cosine", "onecycle")
AUDITION, COMPARISON, EPOCHS = 2, 8, 32


def space(*names: str, **values: Any) -> Space:
    given = {"scheduler": list(names or NAMES), "lr": "1e-4:1:log", "warmup": "0:0.2", **values}
    return StudyConfig.model_validate({"space": given}).search_space


def sampler_of(searched: Space, trials: int = 100, seed: int = 0) -> AuditionSampler:
    plan = FamilyPlan(searched, trials, comparisons=(AUDITION, COMPARISON))
    return AuditionSampler(plan, seed=seed)


def study_of(searched: Space, trials: int = 100, seed: int = 0, **given: Any) -> optuna.Study:
    pruner = HalvingPruner([AUDITION, COMPARISON], [0.25, 0.5])
    return optuna.create_study(sampler=sampler_of(searched, trials, seed), pruner=pruner, **given)


def loss(searched: Space, trial: optuna.Trial, horizon: int) -> float:
    """Best at a rate of 0.03 with cosine; a short horizon wants a higher rate, and is worse."""
    schedule = searched.suggest(trial).schedule
    bonus = {"cosine": 0.0, "linear": 0.1}.get(schedule.scheduler, 0.3)
    best = math.log10(0.03) + 0.3 * (horizon == AUDITION)
    return bonus + abs(math.log10(schedule.lr) - best) + 4 / horizon


def train(study: optuna.Study, searched: Space, trial: optuna.Trial, sign: float = 1.0) -> bool:
    """Audition, and train on if it is passed; whether the trial has completed."""
    write_audition(trial, Audition(AUDITION, (), None), MSE)
    for step in (AUDITION, COMPARISON):
        trial.report(sign * loss(searched, trial, step), step)
        if trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return False
    study.tell(trial, sign * loss(searched, trial, EPOCHS))
    return True


def test_the_first_rates_cover_their_range_with_one_schedule_and_what_is_usual() -> None:
    searched = space(decay="1e-4:1:log")
    study = study_of(searched)
    drawn = [searched.suggest(study.ask()) for _ in range(RATES_FIRST)]
    rates = sorted(math.log10(each.schedule.lr) for each in drawn)
    bounds = np.linspace(-4, 0, RATES_FIRST + 1)
    assert all(
        low <= rate <= high for low, rate, high in zip(bounds, rates, bounds[1:], strict=False)
    )
    assert {each.schedule.scheduler for each in drawn} == {"cosine"}
    assert {round(each.schedule.decay, 6) for each in drawn} == {0.01}
    assert {round(each.schedule.warmup, 6) for each in drawn} == {0.05}


@pytest.mark.parametrize("names", [("constant",), ("step", "constant")])
def test_any_scheduler_will_do_for_the_first_rates(names: tuple[str, ...]) -> None:
    searched = space(*names)
    study = study_of(searched)
    drawn = [searched.suggest(study.ask()).schedule for _ in range(RATES_FIRST)]
    assert {schedule.scheduler for schedule in drawn} == {names[0]}
    assert len({schedule.lr for schedule in drawn}) == RATES_FIRST


def test_what_is_usual_stays_within_the_ranges() -> None:
    searched = space(decay="0.1:1:log", warmup="0.1:0.2")
    schedule = searched.suggest(study_of(searched).ask()).schedule
    assert schedule.decay == pytest.approx(0.1)
    assert schedule.warmup == pytest.approx(0.1)


def test_a_fixed_rate_needs_not_be_looked_for() -> None:
    searched = space(lr="0.1")
    study = study_of(searched)
    for _ in range(3 * len(NAMES)):
        train(study, searched, study.ask())
    assert {trial.params["scheduler"] for trial in study.trials[: len(NAMES)]} == {*NAMES}


def test_trials_that_were_given_take_no_turn_of_the_first_rates() -> None:
    searched = space(*NAMES, decay="1e-4:1:log")
    study = study_of(searched)
    study.enqueue_trial({"scheduler": "step", "lr": 0.5, "decay": 0.1, "warmup": 0.0})
    drawn = [searched.suggest(study.ask()).schedule for _ in range(RATES_FIRST + 1)]
    assert [schedule.scheduler for schedule in drawn] == ["step"] + ["cosine"] * RATES_FIRST


def test_what_is_not_given_goes_with_the_scheduler_that_is() -> None:
    searched = space(decay="1e-4:1:log", **{"step": {"drops": "1:5"}})
    study = study_of(searched)
    study.enqueue_trial({"scheduler": "step"})
    trial = study.ask()
    assert {"decay", "step.drops"} <= trial.relative_params.keys()


def test_an_epoch_of_a_whole_training_is_no_audition() -> None:
    """As of trials from before the study had auditions."""
    study = study_of(space())
    without, audition = study.ask(), study.ask()
    for trial in (without, audition):
        trial.report(1.0, AUDITION)
        trial.report(0.5, COMPARISON)
    write_audition(audition, Audition(AUDITION, (), 1.0), MSE)
    sampler = sampler_of(space())
    standings = [sampler._standing(trial, 1.0) for trial in study.trials]
    np.testing.assert_equal(standings, [(math.nan, 0.5, math.nan), (1.0, 0.5, math.nan)])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_it_finds_the_rate_and_the_schedule_with_few_whole_trainings(sign: float) -> None:
    searched = space()
    direction = "minimize" if sign > 0 else "maximize"
    found = []
    for seed in range(16):
        study = study_of(searched, seed=seed, direction=direction)
        completed = sum(train(study, searched, study.ask(), sign) for _ in range(60))
        assert completed < 25
        found.append(sign * study.best_value - 4 / EPOCHS)
    assert np.median(found) < 0.11  # 0.14 at random


def test_each_scheduler_gets_a_trial_before_they_are_compared() -> None:
    searched = space()
    study = study_of(searched, trials=20)
    for _ in range(RATES_FIRST + len(NAMES)):
        train(study, searched, study.ask())
    later = [trial.params["scheduler"] for trial in study.trials[RATES_FIRST:]]
    assert {*later} >= {*NAMES} - {"cosine"}


def test_a_study_is_drawn_by_another_process_as_by_one() -> None:
    searched = space()
    whole, parts = study_of(searched), study_of(searched)
    for number in range(40):
        if number % 7 == 0:
            parts.sampler = sampler_of(searched)
        for study in (whole, parts):
            train(study, searched, study.ask())
    assert [t.params for t in whole.trials] == [t.params for t in parts.trials]


def test_each_comparison_orders_those_that_took_part_in_it() -> None:
    nan, inf = math.nan, math.inf
    standings = np.array(
        [
            [1.0, 5.0, 9.0],  # the best audition, and the worst whole training
            [2.0, nan, nan],
            [3.0, 4.0, nan],  # was better than the first at the second comparison
            [4.0, 3.0, 2.0],
            [inf, inf, inf],  # diverged
        ]
    )
    order = sampler_of(space())._order(standings)
    assert order.tolist() == [3, 1, 2, 0, 4]
