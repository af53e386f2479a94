"""Pruners by name."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweep.errors import StudyFileError
from sweep.pruners import FIRST_RUNGS, build_pruner, decision_epochs
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


def kept(pruner: PrunerConfig, epochs: int, curves: list[list[float]]) -> list[list[int]]:
    """Which trials still train after each epoch, if all train side by side, in order."""
    study = optuna.create_study(pruner=build_pruner(pruner, epochs))
    running = {trial.number: trial for trial in (study.ask() for _ in curves)}
    still = []
    for epoch in range(1, epochs + 1):
        for number, trial in list(running.items()):
            trial.report(curves[number][epoch - 1], epoch)
            if epoch < epochs and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                del running[number]
        still.append(list(running))
    return still


def flat(level: float, epochs: int) -> list[float]:
    return [level] * epochs


class TestHalving:
    """auto, thorough and fast."""

    @pytest.mark.parametrize(
        ("name", "epochs", "expected"),
        [
            ("auto", 30, {6, 12, 24}),
            ("thorough", 30, {10, 20}),
            ("fast", 30, {5, 10, 20}),
            ("auto", 1, set()),
            ("auto", 2, {1}),
            ("auto", 3, {1, 2}),
            ("auto", 5, {1, 2, 4}),
            ("auto", 8, {2, 4}),  # not 8, where the trial ends anyway
            ("thorough", 2, {1}),
            ("fast", 49, {7, 14, 28}),
        ],
    )
    def test_rungs(self, name: str, epochs: int, expected: set[int]) -> None:
        assert decision_epochs(config(name), epochs) == frozenset(expected)
        # Each trial is worse than all before it, so that most rungs have somebody to stop.
        curves = [flat(level, epochs) for level in RISING]
        still = kept(config(name), epochs, curves)
        counts = [len(curves), *map(len, still)]
        shrunk = {e for e in range(1, epochs + 1) if counts[e] < counts[e - 1]}
        assert shrunk == {min(expected)} if expected else not shrunk
        assert still[-1] == ([0] if expected else list(range(len(curves))))

    def test_the_better_half_goes_on_at_each_rung(self) -> None:
        # The best comes first: of n values seen, one among the best n // 2 goes on.
        rank = [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 0.6, 0.7, 0.8]
        still = kept(config("auto"), 30, [flat(level, 30) for level in rank])
        after = {epoch: still[epoch - 1] for epoch in (5, 6, 11, 12, 23, 24, 29, 30)}
        first = [0, 8, 9, 10, 11]  # 8 is 1st of 9, 9 is 2nd of 10, 10 is 3rd of 11, 11 4th of 12
        assert after[5] == list(range(12))
        assert after[6] == after[11] == first
        second = [0, 8]  # 9 is 2nd of 3 where 1 goes on; 10 is 3rd of 4, 11 4th of 5
        assert after[12] == after[23] == second
        assert after[24] == after[30] == second  # 8 is 1st of 2

    def test_about_half_of_many_goes_on(self) -> None:
        generator = random.Random(3)
        curves = [flat(generator.random(), 30) for _ in range(400)]
        still = kept(config("auto"), 30, curves)
        counts = [len(still[epoch - 1]) for epoch in (5, 6, 12, 24, 30)]
        assert counts[0] == 400
        for before, after in itertools.pairwise(counts[:4]):
            assert 0.35 * before < after < 0.6 * before
        assert counts[3] == counts[4]  # whoever passes the last rung trains to the end
        best = min(range(400), key=lambda number: curves[number][0])
        assert best in still[-1]

    def test_only_the_value_at_the_rung_counts(self) -> None:
        early = [0.1] * 5 + [2.0] * 25  # far ahead until the rung, behind at it
        late = [9.0] * 5 + [1.0] * 25  # far behind until the rung, ahead at it
        assert kept(config("auto"), 30, [flat(1.5, 30), late, early])[6] == [0, 1]

    def test_two_trials_with_the_same_value(self) -> None:
        assert kept(config("auto"), 30, [flat(1.0, 30)] * 6)[-1] == list(range(6))

    def test_a_value_that_is_no_number_is_stopped_at_the_rung(self) -> None:
        still = kept(config("auto"), 30, [flat(math.nan, 30), flat(1.0, 30), flat(math.inf, 30)])
        assert still[4] == [0, 1, 2]
        assert still[5] == still[-1] == [1]

    @pytest.mark.parametrize("epochs", [1, 2, 3, 5, 8, 30])
    @pytest.mark.parametrize("name", FIRST_RUNGS)
    def test_nothing_ends_at_its_last_epoch(self, name: str, epochs: int) -> None:
        decides = decision_epochs(config(name), epochs)
        assert decides is not None
        assert all(1 <= epoch < epochs for epoch in decides)
        assert (len(decides) > 0) is (epochs > 1)

    def test_one_at_a_time_as_much_as_side_by_side(self) -> None:
        generator = random.Random(5)
        levels = [generator.random() for _ in range(100)]
        alone = sum(last_epochs(config("auto"), 30, levels))
        still = kept(config("auto"), 30, [flat(level, 30) for level in levels])
        together = len(levels) + sum(map(len, still[:-1]))  # epochs begun
        assert abs(alone - together) <= 0.05 * alone

    def test_can_be_tuned(self) -> None:
        tuned = config("auto", min_resource=3, reduction_factor=3, min_early_stopping_rate=1)
        assert decision_epochs(tuned, 30) == frozenset({9, 27})
        assert decision_epochs(config("thorough", min_resource=1), 5) == frozenset({1, 2, 4})
        assert decision_epochs(config("fast", min_resource="auto"), 30) is None
        curves = [flat(level, 30) for level in RISING]
        assert [len(still) for still in kept(tuned, 30, curves)[7:9]] == [8, 1]

    def test_refuses_what_optuna_refuses(self) -> None:
        with pytest.raises(StudyFileError, match="reduction_factor"):
            decision_epochs(config("auto", reduction_factor=1), 30)
        with pytest.raises(StudyFileError, match=r"^pruner\.n_startup_trials: "):
            build_pruner(config("auto", n_startup_trials=5), 30)


class TestDecisionEpochs:
    @pytest.mark.parametrize("name", set(PRUNERS) - {*FIRST_RUNGS, "none"})
    def test_any_epoch(self, name: str) -> None:
        arguments = {"upper": 5.5} if name == "threshold" else {}
        assert decision_epochs(config(name, **arguments), 30) is None

    def test_never(self) -> None:
        assert decision_epochs(config("none"), 30) == frozenset()

    def test_asha_with_numbers(self) -> None:
        assert decision_epochs(config("asha", min_resource=2), 30) == frozenset({2, 8})
        assert decision_epochs(config("asha", min_resource=2, reduction_factor=2), 8) == frozenset(
            {2, 4}
        )
        assert decision_epochs(config("asha", min_resource=30), 30) == frozenset()

    @pytest.mark.parametrize(
        "pruner",
        [
            *map(config, FIRST_RUNGS),
            config("none"),
            config("asha", min_resource=2),
            config("asha", min_resource=1, reduction_factor=3, min_early_stopping_rate=1),
            config("asha", min_resource=3, bootstrap_count=4),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("epochs", [1, 2, 3, 5, 8, 13, 30])
    def test_optuna_stops_nothing_at_other_epochs(self, pruner: PrunerConfig, epochs: int) -> None:
        decides = decision_epochs(pruner, epochs)
        assert decides is not None
        generator = random.Random(epochs)
        odd = [math.nan, math.inf, -math.inf, 0.0, 1e300, -1e300]
        every, few = (optuna.create_study(pruner=build_pruner(pruner, epochs)) for _ in range(2))
        stopped = set()
        for _ in range(40):
            trials = every.ask(), few.ask()
            ended = TrialState.COMPLETE
            for epoch in range(1, epochs):
                value = generator.choice([generator.random(), generator.choice(odd)])
                for trial in trials:
                    trial.report(value, epoch)
                prunes = trials[0].should_prune()
                # Asked only where it decides, it answers as if it had been asked always.
                assert prunes == (epoch in decides and trials[1].should_prune())
                if prunes:
                    stopped.add(epoch)
                    ended = TrialState.PRUNED
                    break
            result = 0.0 if ended == TrialState.COMPLETE else None
            every.tell(trials[0], result, ended)
            few.tell(trials[1], result, ended)
        assert stopped <= decides
        assert bool(stopped) is bool(decides)


class TestPatient:
    def test_waits_before_it_asks_the_one_it_wraps(self) -> None:
        median = last_epochs(config("median"), EPOCHS, RISING, slope=0.01)
        patient = last_epochs(config("patient", patience=3), EPOCHS, RISING, slope=0.01)
        assert (min(median), min(patient)) == (1, 5)

    def test_wraps_any_other(self) -> None:
        wrapped = {"name": "percentile", "n_startup_trials": 1}
        assert self.second(wrapped=wrapped) < EPOCHS
        assert self.second(wrapped="median") == EPOCHS  # it has no opinion before five trials

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
                "pruner.wrapped: unknown pruner; did you mean 'median'? (auto, "
                "thorough, fast, median, percentile, asha, hyperband, patient, threshold, none), "
                "got 'mdian'",
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
