"""Pruners by name."""

from __future__ import annotations

import itertools
import math
import pickle
import random
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from sweep.base.errors import StudyFileError
from sweep.search.strategies.halving import HalvingPruner
from sweep.search.strategies.pruners import build_pruner, decision_epochs
from sweep.study.registries.pruners import PRUNERS
from sweep.study.sections import PrunerConfig
from sweep.study.settings import StudyConfig

HALVING = [name for name, pruner in PRUNERS.items() if pruner.kind.endswith(":HalvingPruner")]

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
    """halving, thorough, fast, and auto, which compares auditions first."""

    @pytest.mark.parametrize(
        ("name", "epochs", "expected"),
        [
            ("halving", 30, {4, 10, 20}),
            ("auto", 30, {3, 8}),
            ("auto", 8, {1, 2}),
            ("auto", 7, {1, 3, 5}),  # too short for an audition
            ("thorough", 30, {10, 20}),
            ("fast", 30, {2, 6, 18}),
            ("halving", 1, set()),
            ("halving", 2, {1}),
            ("halving", 3, {1, 2}),
            ("halving", 5, {1, 2, 4}),
            ("thorough", 2, {1}),
            ("thorough", 3, {1, 2}),
            ("fast", 5, {1, 3}),
            ("fast", 49, {4, 10, 30}),
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
        rank = [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 0.6, 0.7, 0.8]
        still = kept(config("halving"), 30, [flat(level, 30) for level in rank])
        after = {epoch: still[epoch - 1] for epoch in (3, 4, 9, 10, 19, 20, 30)}
        first = [0, 8, 9, 10, 11]  # 8 is 1st of 9, 9 is 2nd of 10, 10 is 3rd of 11, 11 4th of 12
        assert after[3] == list(range(12))
        assert after[4] == after[9] == first
        second = [0, 8]  # 9 is 2nd of 3 where 1 goes on; 10 is 3rd of 4, 11 4th of 5
        assert after[10] == after[19] == second
        assert after[20] == after[30] == second  # 8 is 1st of 2

    def test_fast_keeps_less_at_the_first_rung(self) -> None:
        rank = [1, 2, 3, 4, 0.5, 0.6, 0.7, 5, 6, 0.8]
        still = kept(config("fast"), 30, [flat(level, 30) for level in rank])
        # 4 is 1st of 5; 5 is 2nd of 6 and 6 3rd of 7, where 2 go on; 9 is 4th of 10, where 4 do.
        assert still[1] == [0, 4, 5, 9]
        assert kept(config("halving"), 30, [flat(v, 30) for v in rank])[3] == [0, 4, 5, 6, 9]

    @pytest.mark.parametrize(("name", "share"), [("halving", 0.5), ("fast", 0.4)])
    def test_the_share_of_many_that_goes_on(self, name: str, share: float) -> None:
        generator = random.Random(3)
        curves = [flat(generator.random(), 30) for _ in range(400)]
        still = kept(config(name), 30, curves)
        decides = decision_epochs(config(name), 30)
        assert decides is not None
        counts = [400, *(len(still[epoch - 1]) for epoch in sorted(decides))]
        for expected, (before, after) in zip(
            (share, 0.5, 0.5), itertools.pairwise(counts), strict=True
        ):
            assert (expected - 0.15) * before < after < (expected + 0.1) * before
        assert len(still[-1]) == counts[-1]  # whoever passes the last rung trains to the end
        assert min(range(400), key=lambda number: curves[number][0]) in still[-1]

    def test_only_the_value_at_the_rung_counts(self) -> None:
        early = [0.1] * 9 + [2.0] * 21  # far ahead until the rung, behind at it
        late = [9.0] * 9 + [1.0] * 21  # far behind until the rung, ahead at it
        assert kept(config("thorough"), 30, [flat(1.5, 30), late, early])[10] == [0, 1]

    def test_does_as_optunas_where_that_can_do_it(self) -> None:
        optunas = config("asha", min_resource=6, reduction_factor=2)
        ours = config("halving", rungs=[6, 12, 24])
        generator = random.Random(1)
        for _ in range(5):
            curves = [[generator.random() for _ in range(30)] for _ in range(60)]
            assert kept(ours, 30, curves) == kept(optunas, 30, curves)

    def test_larger_is_better_where_the_study_says_so(self) -> None:
        pruner = build_pruner(config("halving", rungs=[1]), 30)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        stops = []
        for value in (1.0, 2.0, 0.5):
            trial = study.ask()
            trial.report(value, 1)
            stops.append(trial.should_prune())
        assert stops == [False, False, True]

    def test_no_number_is_the_worst_where_more_is_better(self) -> None:
        study = optuna.create_study(
            direction="maximize", pruner=build_pruner(config("halving", rungs=[1]), 30)
        )
        stops = []
        for value in (math.nan, 1.0, 0.5, 2.0, -math.inf):
            trial = study.ask()
            trial.report(value, 1)
            stops.append(trial.should_prune())
            if value in (0.5, 2.0):  # one of them is read when it has ended, the others before
                study.tell(trial, state=TrialState.PRUNED)
        # 1.0 is 1st of 2, 0.5 2nd of 3 where 1 goes on, 2.0 1st of 4, -inf 4th of 5
        assert stops == [True, False, True, False, True]

    def test_a_failed_trial_counts_as_far_as_it_came(self) -> None:
        study = optuna.create_study(pruner=build_pruner(config("halving", rungs=[2, 4]), 30))

        def ends(levels: list[float]) -> bool:
            trial = study.ask()
            for epoch, level in enumerate(levels, 1):
                trial.report(level, epoch)
            stops = trial.should_prune()
            study.tell(trial, state=TrialState.FAIL)
            return stops

        assert not ends([1.0] * 2)
        assert ends([2.0] * 2)  # 2nd of 2, where 1 goes on
        assert not ends([3.0] * 4)  # 1st of 1: the others came to epoch 2
        assert not ends([1.5] * 2)  # 2nd of 4, where 2 go on

    @pytest.mark.parametrize(
        ("name", "direction"),
        [("halving", StudyDirection.MINIMIZE), ("fast", StudyDirection.MAXIMIZE)],
    )
    def test_a_resumed_study_is_judged_as_one_that_was_seen_from_its_start(
        self, name: str, direction: StudyDirection
    ) -> None:
        """By the rule, written out; ten trials at a time, some of which fail or get lost."""
        first = build_pruner(config(name), 30)
        assert isinstance(first, HalvingPruner)
        study = optuna.create_study(study_name="s", direction=direction, pruner=first)
        generator = random.Random(7)
        running: list[tuple[optuna.Trial, int]] = []
        judged = []
        for _ in range(2500):
            if len(running) < 10:
                running.append((study.ask(), 1))
            trial, epoch = running.pop(generator.randrange(len(running)))
            odd = [math.nan, math.inf, -math.inf, 0.5]
            level = generator.choice(odd) if generator.random() < 0.1 else generator.random()
            trial.report(level, epoch)
            frozen = study.get_trials(deepcopy=False)[trial.number]
            stops = first.prune(study, frozen)
            if epoch in first.rungs:
                again = optuna.load_study(study_name="s", storage=study._storage)
                resumed = build_pruner(config(name), 30)
                assert stops is resumed.prune(again, frozen)
                assert stops is self.is_stopped(study, frozen, epoch, first.shares[epoch])
                judged.append(stops)
            assert not stops or epoch in first.rungs
            if stops:
                study.tell(trial, state=TrialState.PRUNED)
            elif epoch == 30:
                study.tell(trial, level if math.isfinite(level) else 0.5)
            elif generator.random() < 0.02:
                study.tell(trial, state=TrialState.FAIL)
            elif generator.random() > 0.01:
                running.append((trial, epoch + 1))
        assert sum(judged) > 40 and len(judged) - sum(judged) > 40
        ended = {trial.state for trial in study.get_trials(deepcopy=False)}
        assert ended == set(TrialState) - {TrialState.WAITING}

    def is_stopped(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, epoch: int, keep: float
    ) -> bool:
        value = trial.intermediate_values[epoch]
        if math.isnan(value):
            return True
        others = [
            other.intermediate_values[epoch]
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and epoch in other.intermediate_values
        ]
        less = study.direction == StudyDirection.MINIMIZE
        better = [other for other in others if (other < value if less else other > value)]
        return len(better) >= max(1, math.floor((len(others) + 1) * keep + 1e-9))

    def test_can_be_pickled_and_so_can_its_study(self) -> None:
        study = optuna.create_study(pruner=build_pruner(config("halving", rungs=[1]), 30))

        def is_stopped(study: optuna.Study, value: float) -> bool:
            trial = study.ask()
            trial.report(value, 1)
            return trial.should_prune()

        assert not is_stopped(study, 1.0)
        again = pickle.loads(pickle.dumps(study))
        pruner = pickle.loads(pickle.dumps(study.pruner))
        assert isinstance(pruner, HalvingPruner) and pruner.shares == {1: 0.5}
        study.pruner = pruner
        for each in (study, again):
            assert is_stopped(each, 2.0)  # 2nd of 2, where 1 goes on
            assert not is_stopped(each, 0.5)

    def test_two_trials_with_the_same_value(self) -> None:
        assert kept(config("halving"), 30, [flat(1.0, 30)] * 6)[-1] == list(range(6))

    def test_a_value_that_is_no_number_is_stopped_at_the_rung(self) -> None:
        still = kept(config("halving"), 30, [flat(math.nan, 30), flat(1.0, 30), flat(math.inf, 30)])
        assert still[2] == [0, 1, 2]
        assert still[3] == still[-1] == [1]

    @pytest.mark.parametrize("epochs", [1, 2, 3, 5, 8, 30])
    @pytest.mark.parametrize("name", HALVING)
    def test_nothing_ends_at_its_last_epoch(self, name: str, epochs: int) -> None:
        decides = decision_epochs(config(name), epochs)
        assert decides is not None
        assert all(1 <= epoch < epochs for epoch in decides)
        assert (len(decides) > 0) is (epochs > 1)

    def test_one_at_a_time_as_much_as_side_by_side(self) -> None:
        generator = random.Random(5)
        levels = [generator.random() for _ in range(100)]
        alone = sum(last_epochs(config("halving"), 30, levels))
        still = kept(config("halving"), 30, [flat(level, 30) for level in levels])
        together = len(levels) + sum(map(len, still[:-1]))  # epochs begun
        assert abs(alone - together) <= 0.05 * alone

    def test_can_be_tuned(self) -> None:
        tuned = config("halving", rungs=[9, 27], keep=[0.25, 0.5])
        assert decision_epochs(tuned, 30) == frozenset({9, 27})
        assert decision_epochs(tuned, 27) == frozenset({9})
        still = kept(tuned, 30, [flat(level, 30) for level in [*RISING[3::-1], 3.5, 1.5, 0.5]])
        assert still[8] == [0, 1, 2, 3, 6]  # 4 is 5th of 5, 5 is 2nd of 6, where 1 goes on
        assert kept(config("halving", keep=0.9), 30, [flat(v, 30) for v in RISING])[-1] == [0]

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({"rungs": 3}, "rungs must be a list of epochs, but got rungs=3"),
            ({"rungs": [2.5]}, "rungs must be a list of epochs, but got rungs=[2.5]"),
            ({"rungs": [0, 3]}, "rungs must rise from at least 1, but got rungs=[0, 3]"),
            ({"rungs": [3, 3]}, "rungs must rise from at least 1, but got rungs=[3, 3]"),
            ({"keep": 1}, "keep must be above 0 and below 1, but got keep=1"),
            ({"keep": "half"}, "keep must be a number or a list of numbers, but got keep='half'"),
            (
                {"keep": [0.5, 0.5]},
                "keep must have a share for each rung, but got rungs=[4, 10, 20], keep=[0.5, 0.5]",
            ),
        ],
    )
    def test_what_is_wrong_with_its_arguments(
        self, arguments: dict[str, Any], expected: str
    ) -> None:
        with pytest.raises(StudyFileError) as raised:
            decision_epochs(config("halving", **arguments), 30)
        assert str(raised.value) == f"pruner: HalvingPruner refuses {arguments}: {expected}"

    def test_optunas_arguments_are_not_its_own(self) -> None:
        with pytest.raises(StudyFileError) as raised:
            build_pruner(config("halving", min_resource=5), 30)
        assert str(raised.value) == (
            "pruner.min_resource: HalvingPruner has no such argument (rungs, keep)"
        )


class TestDecisionEpochs:
    @pytest.mark.parametrize("name", sorted({*PRUNERS} - {*HALVING, "none"}))
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
            *map(config, HALVING),
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
                "pruner.wrapped: unknown pruner; did you mean 'median'? (auto, halving, "
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


@pytest.mark.parametrize("name", ["auto", "halving", "thorough", "fast"])
def test_rungs_of_ones_own_need_no_shares(name: str) -> None:
    given = PrunerConfig.model_validate({"name": name, "rungs": [3, 9]})
    assert decision_epochs(given, 30) == frozenset({3, 9})
