"""What the pruner makes of auditions."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from sweep.search.attributes import write_audition
from sweep.search.in_flight.in_training import InTraining
from sweep.search.strategies.halving import HalvingPruner
from sweep.search.strategies.pruners import build_pruner
from sweep.study.metric import MSE
from sweep.study.sections import PrunerConfig
from sweep.study.settings import StudyConfig
from sweep.training.record import Audition


def test_auditions_are_compared_with_auditions_alone() -> None:
    study = optuna.create_study(pruner=build_pruner(PrunerConfig(name="auto"), 30))

    def ends(value: float, audition: bool) -> bool:
        trial = study.ask()
        if audition:
            write_audition(trial, Audition(3, (), value), MSE)
        trial.report(value, 3)
        stops = trial.should_prune()
        if trial.number % 2:
            study.tell(trial, state=TrialState.PRUNED)
        return stops

    assert [ends(value, audition=False) for value in (1.0, 0.9, 0.8, 0.7)] == [False] * 4
    assert not ends(5.0, audition=True)  # 1st of 1
    assert ends(6.0, audition=True)  # 2nd of 2, where 1 goes on
    assert not ends(4.0, audition=True)
    assert ends(3.0, audition=False)


def test_within_another_pruner_there_are_no_auditions() -> None:
    wrapping = PrunerConfig.model_validate({"name": "patient", "wrapped": "auto"})
    pruner = build_pruner(wrapping, 30)
    inner = pruner._wrapped_pruner  # type: ignore[attr-defined]
    assert isinstance(inner, HalvingPruner) and inner.rungs == {4, 10, 20}


def test_a_failure_in_an_audition_says_so() -> None:
    trial = optuna.create_study().ask()
    running = InTraining.of(trial, StudyConfig(), audition=2)
    told = running.failure("epoch 1: ValueError: too short")
    assert told == "epoch 1: ValueError: too short, in its audition, which is told 2 epochs"
    running.skip_audition()
    assert running.failure("epoch 1: ValueError") == "epoch 1: ValueError"
