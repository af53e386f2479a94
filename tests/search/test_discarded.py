"""Trials that count for nothing: who sees them no more, and who still does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import made_studies as made
import optuna
import pytest
from made_studies import CONFIG, PRUNED, params
from optuna.trial import FrozenTrial, TrialState
from storages import closed_later
from support import PostgreSQL

from sweep.report.importance import importance
from sweep.search.budget import Spent
from sweep.search.status import Tally
from sweep.search.storage.opening import load_study, open_study, peek_study
from sweep.search.storage.optuna_private import (
    DISCARDED,
    excluded_trials,
    leave_out,
    set_study_attribute,
    study_attributes,
    trial_ids,
)
from sweep.search.strategies.family_sampler import FamilyPlan, FamilySampler
from sweep.search.strategies.halving import HalvingPruner
from sweep.search.trials import StudyReader, drawn

BOGUS = 1


class Watching(optuna.samplers.RandomSampler):
    """Remembers the trials that it could have learnt from."""

    seen: tuple[int, ...] = ()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        self.seen = tuple(t.number for t in ended)


def opened(url: str) -> optuna.Study:
    """A study with four trials, of which one came to 0 at once."""
    study = open_study("mine", url, Watching(seed=0), optuna.pruners.NopPruner())
    made.add(study, params("constant", 0.1), [30, 20, 18, 16])
    made.add(study, params("cosine", 0.2), [0, 0, 0, 0])
    made.add(study, params("step", 0.1), [30, 25, 21, 14])
    made.add(study, params("step", 0.3), [60], PRUNED, "pruned at epoch 1 by auto")
    return study


@pytest.fixture(params=["journal", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {
        "journal": str(tmp_path / "study.journal"),
        "sqlite": f"sqlite:///{tmp_path}/study.db",
    }[request.param]


def numbers(trials: list[Any]) -> list[int]:
    return [trial.number for trial in trials]


def test_nobody_is_shown_it(url: str) -> None:
    study = opened(url)
    assert study.best_trial.number == BOGUS
    set_study_attribute(study, DISCARDED, [BOGUS])
    again = load_study("mine", url)
    peeked = peek_study("mine", url, Path())
    assert peeked is not None
    for each in (again, peeked):
        assert numbers(each.trials) == [0, 2, 3]
        assert numbers(each.get_trials(states=(TrialState.COMPLETE,))) == [0, 2]
        assert each.best_trial.number == 2 and each.best_value == 14
        assert numbers(excluded_trials(each)) == [BOGUS]
        reader = StudyReader(each, CONFIG)
        assert numbers(reader.trials) == [0, 2, 3]
        assert numbers(reader.every_trial) == [0, 1, 2, 3]
        assert [trial.is_excluded for trial in reader.every_trial] == [False, True, False, False]
    assert sorted(trial_ids(again)) == [0, 1, 2, 3]


def test_it_counts_again(url: str) -> None:
    study = opened(url)
    set_study_attribute(study, DISCARDED, [BOGUS, 3])
    set_study_attribute(study, DISCARDED, [3])
    again = load_study("mine", url)
    assert numbers(again.trials) == [0, BOGUS, 2]
    assert again.best_trial.number == BOGUS


def test_a_study_that_is_open_learns_of_it(url: str) -> None:
    study = opened(url)
    assert len(study.trials) == 4
    set_study_attribute(load_study("mine", url), DISCARDED, [BOGUS])
    study_attributes(study)  # as every sign of life reads them
    assert numbers(study.trials) == [0, 2, 3]


def test_neither_sampler_nor_pruner_learns_from_it(url: str) -> None:
    def is_pruned(study: optuna.Study, value: float) -> bool:
        trial = study.ask()
        CONFIG.search_space.suggest(trial)
        trial.report(value, 1)
        pruned = trial.should_prune()
        study.tell(trial, value)
        return pruned

    sampler = Watching(seed=0)
    pruner = optuna.pruners.PercentilePruner(0.0, n_startup_trials=1)  # the best alone goes on
    study = open_study("mine", url, sampler, pruner)
    assert [is_pruned(study, value) for value in (30, 0, 20)] == [False, False, True]
    assert sampler.seen == (0, BOGUS)
    set_study_attribute(study, DISCARDED, [BOGUS])
    study = open_study("mine", url, sampler, pruner)
    assert not is_pruned(study, 10)
    assert sampler.seen == (0, 2)


def test_our_own_sampler_and_pruner_look_by_number(url: str) -> None:
    """Trials that come after a hidden one stand at other places than their numbers."""

    def outcome(discarded: list[int]) -> list[Any]:
        name = f"of-{len(discarded)}"
        plan = FamilyPlan(CONFIG.search_space, 20, fair=False)
        pruner = HalvingPruner(rungs=[1], keep=0.3)
        study = open_study(name, url, FamilySampler(plan, seed=1), pruner)
        for value in [*([0, 0] if discarded else []), 50, 40, 30, 45, 20, 35]:
            rates = params("cosine" if value else "step", 0.001 if value else 0.9)
            study.enqueue_trial(rates)
            trial = study.ask()
            CONFIG.search_space.suggest(trial)
            trial.report(value, 1)
            study.tell(trial, value)
        set_study_attribute(study, DISCARDED, discarded)
        study = open_study(name, url, FamilySampler(plan, seed=1), pruner)
        judged = []
        for value in (19, 44):
            study.enqueue_trial(params("constant", 0.1))
            trial = study.ask()
            CONFIG.search_space.suggest(trial)
            trial.report(value, 1)
            judged.append(trial.should_prune())
            study.tell(trial, value)
        others = study.sampler._look(study, trial.number + 1)  # type: ignore[union-attr]
        return [judged, others.completed, others.started.tolist()]

    assert outcome([0, 1]) == outcome([]) == [[False, True], 8, [2, 6, 0, 0]]


def test_the_next_trial_has_a_number_of_its_own(url: str) -> None:
    study = opened(url)
    set_study_attribute(study, DISCARDED, [3])
    study = open_study("mine", url, Watching(), optuna.pruners.NopPruner())
    assert study.ask().number == 4
    assert numbers(study.trials) == [0, 1, 2, 4]


def test_what_it_cost_is_spent_and_its_place_is_free(url: str) -> None:
    study = opened(url)
    before = Spent.by(StudyReader(study, CONFIG))
    set_study_attribute(study, DISCARDED, [BOGUS])
    reader = StudyReader(load_study("mine", url), CONFIG)
    assert Spent.by(reader) == before and before.total == 13
    assert len(drawn(reader.trials)) == 3
    tally = Tally.of(reader.trials, CONFIG.measure)
    assert tally.best is not None and tally.best.number == 2
    assert "cosine" not in tally.families


def test_leaving_out_is_for_this_process_alone(url: str) -> None:
    opened(url)
    study = load_study("mine", url)
    leave_out(study, [0, BOGUS])
    assert numbers(study.trials) == [2, 3]
    assert numbers(load_study("mine", url).trials) == [0, 1, 2, 3]


def test_importance_is_that_of_the_others(tmp_path: Path) -> None:
    url = str(tmp_path / "study.journal")
    study = open_study("mine", url, Watching(seed=0), optuna.pruners.NopPruner())
    for number in range(41):
        rate = 0.001 * 1.18**number
        made.add(study, params("constant", rate, 0.001 + number % 7 / 10), [rate * 100] * 4)
    without = importance(StudyReader(study, CONFIG))
    assert without.shares
    for number in range(20):
        made.add(study, params("constant", 0.9, 0.5 + number / 100), [0] * 4)
    assert importance(StudyReader(study, CONFIG)) != without
    set_study_attribute(study, DISCARDED, [*range(41, 61)])
    assert importance(StudyReader(study, CONFIG)) == without


def test_a_damaged_mark_hides_nothing(url: str) -> None:
    study = opened(url)
    for value in ("17", {"1": True}, ["1", None, 1.5], 1):
        set_study_attribute(study, DISCARDED, value)
        assert len(load_study("mine", url).trials) == 4


@pytest.mark.slow
def test_on_a_server(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database("discarded")
    with closed_later(opened(url)) as study:
        set_study_attribute(study, DISCARDED, [BOGUS])
        with closed_later(load_study("mine", url)) as again:
            assert numbers(again.trials) == [0, 2, 3] and again.best_trial.number == 2
            set_study_attribute(study, DISCARDED, [])
            study_attributes(again)
            assert again.best_trial.number == BOGUS
