"""Pruners by name."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweep.errors import StudyFileError
from sweep.pruners import build_pruner
from sweep.settings import PRUNERS, PrunerConfig, StudyConfig

EPOCHS = 9


def config(name: str, **arguments: Any) -> PrunerConfig:
    return PrunerConfig.model_validate({"name": name, **arguments})


def last_epochs(
    pruner: PrunerConfig, epochs: int, levels: list[float], slope: float = 0.0
) -> list[int]:
    """The epoch that each trial ends with, if its validation MSE starts at its level."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler, pruner=build_pruner(pruner, epochs))
    space = StudyConfig.model_validate({"space": {"scheduler": ["step", "wsd"]}}).search_space
    ended = []
    for level in levels:
        trial = study.ask()
        space.suggest(trial)
        state = TrialState.COMPLETE
        for epoch in range(1, epochs + 1):
            trial.report(level + slope * epoch, epoch)
            if epoch < epochs and trial.should_prune():
                state = TrialState.PRUNED
                break
        study.tell(trial, level if state == TrialState.COMPLETE else None, state)
        ended.append(epoch)
    return ended


RISING = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
"""Each trial is worse than all before it."""


@pytest.mark.parametrize("name", PRUNERS)
class TestEveryPruner:
    def arguments(self, name: str) -> dict[str, Any]:
        return {"upper": 5.5} if name == "threshold" else {}

    def test_prunes_the_worse_and_keeps_the_better(self, name: str) -> None:
        pruner = config(name, **self.arguments(name))
        worse = last_epochs(pruner, EPOCHS, RISING, slope=0.01)
        assert worse[0] == EPOCHS
        assert (min(worse) < EPOCHS) is (name != "none")
        better = last_epochs(pruner, EPOCHS, RISING[::-1], slope=-0.01)
        assert better[-1] == EPOCHS
        assert sum(better) >= sum(worse)

    @pytest.mark.parametrize("epochs", [1, 2])
    def test_short_trials(self, name: str, epochs: int) -> None:
        last_epochs(config(name, **self.arguments(name)), epochs, RISING)

    def test_refuses_an_unknown_argument(self, name: str) -> None:
        with pytest.raises(StudyFileError) as raised:
            build_pruner(config(name, **self.arguments(name), colour="red"), EPOCHS)
        assert str(raised.value).startswith("pruner.colour: ")


class TestAuto:
    @pytest.mark.parametrize("epochs", [1, 2, 3, 9, 10, 30])
    def test_keeps_everything_in_the_first_third(self, epochs: int) -> None:
        ended = last_epochs(config("auto"), epochs, RISING)
        assert ended[:5] == [epochs] * 5  # nothing to compare with yet
        assert min(ended) >= math.ceil(epochs / 3)
        assert (min(ended) < epochs) is (epochs > 1)

    def test_keeps_the_better_three_quarters(self) -> None:
        middle = [1.0, 2.0, 3.0, 4.0, 5.0, 3.9, 4.1]  # the quartile is 4, of the completed ones
        assert last_epochs(config("auto"), EPOCHS, middle) == [EPOCHS] * 6 + [EPOCHS // 3]

    def test_can_be_tuned(self) -> None:
        ended = last_epochs(config("auto", n_startup_trials=2), EPOCHS, RISING)
        assert ended[:3] == [EPOCHS, EPOCHS, ended[2]]
        assert ended[2] < EPOCHS


class TestPatient:
    def test_waits_before_it_asks_the_one_it_wraps(self) -> None:
        median = last_epochs(config("median"), EPOCHS, RISING, slope=0.01)
        patient = last_epochs(config("patient", patience=3), EPOCHS, RISING, slope=0.01)
        assert (min(median), min(patient)) == (1, 5)

    def test_wraps_any_other(self) -> None:
        wrapped = {"name": "percentile", "n_startup_trials": 1}
        assert self.second(wrapped=wrapped) < EPOCHS
        assert self.second(wrapped="auto") == EPOCHS  # it has no opinion before five trials

    def test_alone_it_stops_whatever_gets_worse(self) -> None:
        alone = config("patient", wrapped="none", patience=2)
        assert last_epochs(alone, EPOCHS, [1.0], slope=0.01) == [4]
        assert last_epochs(alone, EPOCHS, [1.0], slope=-0.01) == [EPOCHS]

    def second(self, **arguments: Any) -> int:
        """The last epoch of the worse of two trials."""
        return last_epochs(config("patient", **arguments), EPOCHS, RISING[:2], slope=0.01)[1]


class TestArguments:
    @pytest.mark.parametrize(
        ("name", "arguments", "expected"),
        [
            ("threshold", {}, "pruner: threshold needs 'lower', 'upper' or both, in target units²"),
            ("threshold", {"upper": "a"}, "pruner.upper: expected a number, got 'a'"),
            (
                "median",
                {"n_warmup": 3},
                "pruner.n_warmup: MedianPruner has no such argument; did you mean "
                "'n_warmup_steps'? (n_startup_trials, n_warmup_steps, interval_steps, "
                "n_min_trials)",
            ),
            ("none", {"n": 1}, "pruner.n: NopPruner has no such argument (it has none)"),
            (
                "percentile",
                {"percentile": 150},
                "pruner: PercentilePruner refuses {'percentile': 150}: Percentile must be between "
                "0 and 100 inclusive, but got percentile=150.",
            ),
            (
                "patient",
                {"patience": -1},
                "pruner: PatientPruner refuses {'patience': -1}: patience cannot be negative but "
                "got -1.",
            ),
            (
                "patient",
                {"wrapped": "mdian"},
                "pruner.wrapped: unknown pruner; did you mean 'median'? (auto, median, "
                "percentile, asha, hyperband, patient, threshold, none), got 'mdian'",
            ),
            (
                "patient",
                {"wrapped": {"name": "percentile", "percentle": 3}},
                "pruner.percentle: PercentilePruner has no such argument; did you mean "
                "'percentile'? (percentile, n_startup_trials, n_warmup_steps, interval_steps, "
                "n_min_trials)",
            ),
            (
                "patient",
                {"wrapped_pruner": "median"},
                "pruner.wrapped_pruner: PatientPruner has no such argument (patience, min_delta)",
            ),
        ],
    )
    def test_what_is_wrong_with_them(
        self, name: str, arguments: dict[str, Any], expected: str
    ) -> None:
        with pytest.raises(StudyFileError) as raised:
            build_pruner(config(name, **arguments), EPOCHS)
        assert str(raised.value) == expected

    @pytest.mark.parametrize("value", [3, 3.5])
    def test_a_whole_number_will_do_for_a_number(self, value: float) -> None:
        assert last_epochs(config("threshold", upper=value), EPOCHS, [2.0, 5.0]) == [EPOCHS, 1]
