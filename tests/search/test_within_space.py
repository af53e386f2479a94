"""Optuna's samplers beside a trial that lies outside of the space."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweep.schedules.schedule import Schedule
from sweep.search.origins import enqueue_baseline, given_suggestion, is_outside
from sweep.search.storage.optuna_private import stored
from sweep.search.strategies.samplers import build_sampler, family_plan
from sweep.study.baselines.reading import Baseline
from sweep.study.registries.samplers import SAMPLERS
from sweep.study.settings import StudyConfig
from sweep.study.space import Suggestion

OUTSIDE = Baseline("ours", Suggestion(Schedule("step", 3.0, 0.01, params={"drops": 2})))
INSIDE = Baseline("ours", Suggestion(Schedule("cosine", 0.1, 0.01)))
NAMES = [name for name, entry in SAMPLERS.items() if entry.kind]


def config(name: str) -> StudyConfig:
    space = {"scheduler": ["cosine"], "lr": "1e-3:1:log"}
    given = {"trials": 30, "sampler": {"name": name}, "space": space}
    return StudyConfig.model_validate(given)


def study_of(name: str) -> optuna.Study:
    settings = config(name)
    sampler = build_sampler(settings.sampling, 0, 0, family_plan(settings))
    return optuna.create_study(sampler=sampler)


def tell(study: optuna.Study, trial: optuna.Trial, value: float) -> None:
    trial.report(value, 1)
    study.tell(trial, value, TrialState.COMPLETE)


def drawn(name: str, value: float) -> list[dict[str, Any]]:
    """The trials that a sampler draws after one outside that came to a value."""
    study, settings = study_of(name), config(name)
    enqueue_baseline(study, OUTSIDE, settings.search_space)
    tell(study, study.ask(), value)
    found = []
    for _ in range(14):
        trial = study.ask()
        lr = settings.search_space.suggest(trial).schedule.lr
        tell(study, trial, abs(lr - 0.05))
        found.append(trial.params)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_sampler_learns_nothing_from_one_outside(name: str) -> None:
    good, bad = drawn(name, 1e-9), drawn(name, 1e9)
    assert good == bad
    assert all(set(parameters) == {"lr", "decay", "warmup"} for parameters in good)


def test_what_it_searches_jointly_stays() -> None:
    study = study_of("gp")
    enqueue_baseline(study, OUTSIDE, config("gp").search_space)
    tell(study, study.ask(), 1.0)
    for _ in range(2):
        trial = study.ask()
        config("gp").search_space.suggest(trial)
        tell(study, trial, 1.0)
    joint = study.sampler.infer_relative_search_space(study, study.get_trials()[-1])
    assert set(joint) == {"lr", "decay", "warmup"}


def test_one_inside_has_its_parameters_and_teaches() -> None:
    study, space = study_of("random"), config("random").search_space
    enqueue_baseline(study, INSIDE, space)
    enqueue_baseline(study, INSIDE, None)  # as in a fair study
    enqueue_baseline(study, OUTSIDE, space)
    frozen = [stored(study.ask()) for _ in range(3)]
    assert [is_outside(trial) for trial in frozen] == [False, True, True]
    assert [given_suggestion(trial) for trial in frozen] == [
        INSIDE.suggestion,
        INSIDE.suggestion,
        OUTSIDE.suggestion,
    ]
    fixed = frozen[0].system_attrs["fixed_params"]
    assert fixed == {"lr": 0.1, "decay": 0.01, "warmup": 0.0}
