"""Trials that others have taken over while a coordinator was silent."""

from __future__ import annotations

import threading
from pathlib import Path

import optuna
import pytest
from storages import new_study

from sweep.search.coordinator import Coordinator
from sweep.search.in_flight.auditions import Auditions
from sweep.search.in_flight.ownership import Ownership
from sweep.search.in_flight.trials import InFlight
from sweep.search.storage.opening import load_study
from sweep.search.storage.owners import claim, in_turn
from sweep.search.strategies.pruners import build_pruner
from sweep.search.trials import StudyReader
from sweep.study.settings import StudyConfig
from sweep.training.contract import EpochResult
from sweep.training.workers.time_limit import TimeLimit

OURS, THEIRS = "here:/studies/mine", "there:/studies/mine"
CONFIG = StudyConfig(epochs=8, trials=2)
RUNNING = optuna.trial.TrialState.RUNNING


def study_of(config: StudyConfig) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(sampler=sampler, pruner=build_pruner(config.pruning, config.epochs))


@pytest.mark.parametrize("place", ["in training", "waits", "waits for a decision"])
def test_what_another_has_taken_is_lost_wherever_it_was(place: str) -> None:
    config = StudyConfig(epochs=16)
    study, notes = study_of(config), list[str]()
    in_flight = InFlight(config, Auditions(1, 8, []))
    ownership = Ownership(study, OURS, True, in_flight, notes.append)
    for _ in range(2):
        trial = study.ask()
        ownership.claim(trial)
        in_flight.wait(in_flight.drawn(trial))
        if place != "waits":
            running = in_flight.begin()
            assert running is not None
            if place == "waits for a decision":
                in_flight.wait_for_decision(running)
    claim(trial, THEIRS)
    ownership.show_life()
    assert in_flight.numbers == {0}
    assert notes == ["trial 1 was taken over by another run while this one was silent"]


def test_one_that_is_stopped_trains_nothing_that_waits() -> None:
    study, stop = study_of(CONFIG), threading.Event()
    in_flight = InFlight(CONFIG, Auditions(0, 8, []))
    ownership = Ownership(study, OURS, True, in_flight, lambda note: None)
    in_flight.wait(in_flight.drawn(study.ask()))
    assert ownership.await_others(stop, float("inf"), lambda: None)
    stop.set()
    assert not ownership.await_others(stop, float("inf"), lambda: None)


def coordinator_of(study: optuna.Study, notes: list[str]) -> Coordinator:
    """One of two trials, both in their audition of an epoch."""
    coordinator = Coordinator(
        StudyReader(study, CONFIG),
        owner=OURS,
        shared=True,
        trials=2,
        variance=0.0,
        weights=None,
        on_finished=lambda trial, status: None,
        on_tick=lambda status: None,
        on_note=notes.append,
        deadline=float("inf"),
        limit=TimeLimit(),
        stop=threading.Event(),
    )
    specs = [coordinator.next() for _ in range(2)]
    assert [spec and spec.epochs for spec in specs] == [1, 1]
    return coordinator


def heard(coordinator: Coordinator, number: int, value: float) -> bool:
    """Whether a trial is over with its audition."""
    result = EpochResult(number, 1, value, value, value, 0.1, 0.1, None, 0.01)
    return coordinator.hear(result).over


def test_a_decision_on_one_that_another_has_ended_ends_nothing() -> None:
    study, notes = study_of(CONFIG), list[str]()
    coordinator = coordinator_of(study, notes)
    assert heard(coordinator, 0, 1.0)
    study.tell(0, state=optuna.trial.TrialState.FAIL)  # another, while this one was silent
    assert heard(coordinator, 1, 2.0)
    assert any(note.startswith("trial 0 was taken over") for note in notes)
    assert study.trials[1].state == optuna.trial.TrialState.PRUNED
    assert coordinator.next() is None


def test_the_batch_of_one_that_another_has_taken_stays_unwritten(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    study, theirs, notes = new_study(url), new_study(url), list[str]()
    study.pruner = build_pruner(CONFIG.pruning, CONFIG.epochs)
    coordinator = coordinator_of(study, notes)
    assert heard(coordinator, 0, 1.0)
    taken = optuna.Trial(theirs, theirs.get_trials()[0]._trial_id)
    in_turn(theirs, lambda: claim(taken, THEIRS))
    coordinator.tick(at_once=True)
    assert heard(coordinator, 1, 2.0)
    assert [note.split(" by another")[0] for note in notes] == ["trial 0 was taken over"]
    coordinator.tick(at_once=True)
    first, second = load_study("mine", url).trials
    assert (first.state, first.intermediate_values, first.user_attrs) == (RUNNING, {}, {})
    assert first.system_attrs["sweep:owner"] == THEIRS
    assert second.intermediate_values == {1: 2.0}
