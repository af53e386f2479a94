"""The scheduler first, then its parameters: fairness, what is learnt from whom, and by whom."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from sweep.search.storage.opening import open_storage
from sweep.search.strategies.family_sampler import (
    MOST_FIRST,
    FamilyPlan,
    FamilySampler,
    _rank,
    fair_minimum,
)
from sweep.search.strategies.lessons import Others, _lesson
from sweep.study.settings import StudyConfig
from sweep.study.space import Space

NAMES = ("constant", "step", "cyclic", "onecycle", "linear")


def space(*names: str, **values: Any) -> Space:
    given = {"scheduler": list(names or NAMES), "lr": "1e-3:1:log", **values}
    return StudyConfig.model_validate({"space": given}).search_space


def study_of(
    searched: Space, trials: int, fair: bool = False, seed: int = 0, storage: Any = None
) -> optuna.Study:
    sampler = FamilySampler(FamilyPlan(searched, trials, fair), seed=seed)
    return optuna.create_study(
        storage=storage, study_name="s", sampler=sampler, load_if_exists=True
    )


def loss(searched: Space, trial: optuna.Trial) -> float:
    """Best with linear, next best with step, and for all of them at lr = 0.1."""
    schedule = searched.suggest(trial).schedule
    bonus = {"linear": 0.0, "step": 0.2}.get(schedule.scheduler, 1.0)
    return bonus + abs(float(np.log10(schedule.lr / 0.1)))


def run(study: optuna.Study, searched: Space, trials: int, at_once: int = 1) -> None:
    """Ask for a batch, then tell it: every fifth trial is pruned, every seventh fails."""
    while trials:
        batch = [study.ask() for _ in range(min(at_once, trials))]
        trials -= len(batch)
        for trial, value in [(trial, loss(searched, trial)) for trial in batch]:
            if trial.number % 7 == 6:
                study.tell(trial, state=TrialState.FAIL)
            elif trial.number % 5 == 4:
                trial.report(value, 1)
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, value)


def counts(study: optuna.Study, first: int | None = None) -> Counter[str]:
    trials = study.get_trials(deepcopy=False)[:first]
    return Counter(trial.params["scheduler"] for trial in trials)


class TestFairMinimum:
    @pytest.mark.parametrize(
        ("trials", "schedulers", "expected"),
        [(100, 7, 3), (300, 7, 5), (10_000, 7, MOST_FIRST), (50, 7, 2), (20, 7, 2), (5, 7, 0)],
    )
    def test_a_quarter_of_the_trials_but_2_to_5_each(
        self, trials: int, schedulers: int, expected: int
    ) -> None:
        assert fair_minimum(trials, schedulers) == expected

    @pytest.mark.parametrize("at_once", [1, 8, 32])
    @pytest.mark.parametrize("trials", [30, 60, 120])
    def test_every_scheduler_gets_it_first_however_many_are_in_flight(
        self, trials: int, at_once: int
    ) -> None:
        searched = space()
        study = study_of(searched, trials)
        run(study, searched, trials, at_once)
        least = fair_minimum(trials, len(NAMES))
        first = counts(study, least * len(NAMES))
        assert first == dict.fromkeys(NAMES, least)

    def test_with_fewer_trials_than_schedulers_no_scheduler_is_tried_twice(self) -> None:
        searched = space()
        study = study_of(searched, 4)
        run(study, searched, 4)
        assert counts(study) == dict.fromkeys(NAMES[:4], 1)


def test_the_better_schedulers_get_more_and_none_is_given_up() -> None:
    searched = space()
    study = study_of(searched, 200)
    run(study, searched, 200, at_once=16)
    found = counts(study)
    assert found["linear"] > 60
    assert found.most_common(1)[0][0] == "linear"
    assert min(found[name] for name in NAMES) >= fair_minimum(200, len(NAMES))


def test_it_comes_closer_than_random_draws() -> None:
    """In a bowl over rate, decay and warm-up: a model that learnt nothing would be no better."""
    searched = space("linear", "cosine", "step")
    best: dict[str, list[float]] = {"family": [], "random": []}
    for name, found in best.items():
        for seed in range(5):
            study = study_of(searched, 80, seed=seed)
            if name == "random":
                study.sampler = optuna.samplers.RandomSampler(seed=seed)
            for _ in range(80):
                trial = study.ask()
                schedule = searched.suggest(trial).schedule
                bowl = np.log10([schedule.lr / 0.1, schedule.decay / 0.01]) / [3, 4]
                study.tell(trial, float((bowl**2).sum() + (schedule.warmup - 0.05) ** 2 * 25))
            found.append(study.best_value)
    assert np.mean(best["family"]) < np.mean(best["random"]) / 3


@pytest.mark.parametrize("at_once", [1, 32])
def test_a_fair_study_gives_all_the_same_number_and_tunes_each(at_once: int) -> None:
    searched = space()
    study = study_of(searched, 102, fair=True)
    run(study, searched, 102, at_once)
    found = counts(study)
    assert max(found.values()) - min(found.values()) == 1
    for name in NAMES:
        rates = [t.params["lr"] for t in study.trials if t.params["scheduler"] == name]
        late = np.abs(np.log10(np.array(rates[10:]) / 0.1))
        assert np.median(late) < 0.6  # of random rates: 1


def test_in_a_fair_study_a_scheduler_learns_nothing_from_the_others() -> None:
    """Its draws are the same whatever the others' losses were."""
    searched = space("step", "linear")
    drawn = []
    for worst in (0.0, 9.0):
        study = study_of(searched, 40, fair=True)
        for _ in range(40):
            trial = study.ask()
            schedule = searched.suggest(trial).schedule
            is_linear = schedule.scheduler == "linear"
            study.tell(trial, abs(schedule.lr - (0.1 if is_linear else worst)))
        drawn.append([t.params for t in study.trials if t.params["scheduler"] == "linear"])
    assert drawn[0] == drawn[1]


def test_schedulers_learn_the_rate_from_each_other() -> None:
    """Where the best rate is the same for all, a scheduler's third trial is near it already."""
    searched = space("constant", "linear", "cosine", "exponential", "rex", "inverse_sqrt")
    distances = []
    for seed in range(20):
        study = study_of(searched, 72, seed=seed)
        for _ in range(18):
            trial = study.ask()
            lr = searched.suggest(trial).schedule.lr
            study.tell(trial, abs(float(np.log10(lr / 0.02))))
        third = [t.params["lr"] for t in study.trials[12:]]
        distances.append(np.abs(np.log10(np.array(third) / 0.02)).mean())
    assert np.mean(distances) < 0.5  # of random rates: 0.8


def test_nothing_is_learnt_from_what_a_schedule_ignores() -> None:
    """A constant rate's decay and a one-cycle's warm-up are drawn, but change no other draw."""
    searched = space("constant", "onecycle", "step")

    def drawn(decay: float) -> dict[str, Any]:
        study = study_of(searched, 300)
        rng = np.random.default_rng(0)
        for number in range(30):
            values: dict[str, Any] = {"scheduler": searched.schedulers[number % 3]}
            values |= {"lr": float(rng.uniform(0.01, 0.1)), "warmup": float(rng.uniform(0, 0.2))}
            values["decay"] = decay if number % 3 == 0 else float(rng.uniform(0.01, 1))
            values |= {"step.drops": 2} if number % 3 == 2 else {}
            values |= {"onecycle.pct_start": 0.3} if number % 3 == 1 else {}
            study.enqueue_trial(values)
            trial = study.ask()
            searched.suggest(trial)
            study.tell(trial, values["lr"])
        trial = study.ask()
        searched.suggest(trial)
        return trial.params

    assert drawn(1e-3) == drawn(0.9)
    assert {"scheduler", "lr", "decay", "warmup"} <= set(drawn(0.9))


@pytest.mark.slow
def test_a_continued_study_is_drawn_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    searched = space()
    whole = study_of(searched, 60)
    run(whole, searched, 60)
    journal = str(tmp_path / "s.journal")
    run(study_of(searched, 60, storage=open_storage(journal)), searched, 25)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_continue, args=(journal, 35))
    process.start()
    process.join()
    assert process.exitcode == 0
    study = study_of(searched, 60, storage=open_storage(journal))
    assert [t.params for t in study.trials] == [t.params for t in whole.trials]


def _continue(journal: str, trials: int) -> None:
    searched = space()
    run(study_of(searched, 60, storage=open_storage(journal)), searched, trials)


@pytest.mark.slow
def test_two_samplers_on_one_storage_share_the_turns(tmp_path: Path) -> None:
    searched = space()
    url = f"sqlite:///{tmp_path}/s.db"
    studies = [study_of(searched, 30, True, storage=open_storage(url)) for _ in range(2)]
    for _ in range(15):
        trials = []
        for study in studies:
            trials.append(study.ask())
            searched.suggest(trials[-1])
        for study, trial in zip(studies, trials, strict=True):
            study.tell(trial, 1.0)
    assert counts(studies[0]) == dict.fromkeys(NAMES, 6)
    rates = [trial.params["lr"] for trial in studies[0].trials]
    assert len(set(rates)) == len(rates)


def test_enqueued_trials_count_and_keep_what_they_say() -> None:
    searched = space()
    study = study_of(searched, 30, fair=True)
    study.enqueue_trial({"scheduler": "linear"})
    study.enqueue_trial({"scheduler": "linear", "lr": 0.5})
    run(study, searched, 10)
    assert [t.params["scheduler"] for t in study.trials[:2]] == ["linear", "linear"]
    assert study.trials[1].params["lr"] == 0.5
    assert counts(study) == dict.fromkeys(NAMES, 2)


def test_trials_in_flight_keep_apart() -> None:
    """Twenty rates asked for at once are not twenty times the best one."""
    searched = space("linear", decay=0.1, warmup=0.0)
    study = study_of(searched, 60)
    run(study, searched, 20)
    batch = [searched.suggest(study.ask()).schedule.lr for _ in range(20)]
    assert np.log10(batch).std() > 0.15


@pytest.mark.parametrize(
    "values",
    [
        {"scheduler": "linear"},
        {"scheduler": "linear", "lr": 0.1, "decay": 0.1, "warmup": 0.0},
        {"scheduler": ["linear", "cosine"], "lr": 0.1, "decay": 0.1, "warmup": 0.0},
        {"scheduler": ["constant", "step"], "lr": 0.1, "step.drops": "1:5"},
        {"scheduler": ["cyclic", "plateau"], "momentum": "0:0.9", "weight_decay": "1e-6:0.1:log"},
        {"scheduler": ["cyclic"], "cyclic.mode": "triangular"},
    ],
)
def test_any_space(values: dict[str, Any]) -> None:
    searched = StudyConfig.model_validate({"space": values}).search_space
    study = study_of(searched, 40)
    run(study, searched, 40, at_once=4)
    asked = {name for trial in study.trials for name in trial.params}
    assert asked == {name for name, d in searched.dimensions().items() if not d.fixed}


def test_a_custom_schedule_with_parameters_of_its_own() -> None:
    custom = {"mine": {"factory": "shapes:bent", "params": {"bend": "1:9"}}}
    given = {"space": {"scheduler": ["mine", "linear"]}, "custom": custom}
    searched = StudyConfig.model_validate(given).search_space
    study = study_of(searched, 80)
    for _ in range(80):
        trial = study.ask()
        suggestion = searched.suggest(trial)
        bend = float(suggestion.schedule.params.get("bend", 30.0))
        study.tell(trial, abs(bend - 3))
    bends = [t.params["mine.bend"] for t in study.trials if "mine.bend" in t.params]
    assert len(bends) > 40
    assert np.median(np.abs(np.array(bends[20:]) - 3)) < 1


def test_whole_numbers_and_words_are_learnt_too() -> None:
    searched = space("step", "cyclic", decay=0.1, warmup=0.0)
    study = study_of(searched, 120, fair=True)
    for _ in range(120):
        trial = study.ask()
        params = searched.suggest(trial).schedule.params
        good = params.get("drops") == 4 or params.get("mode") == "triangular2"
        study.tell(trial, 0.0 if good else 1.0)
    late = [t.params for t in study.trials[40:]]
    drops = [p["step.drops"] for p in late if "step.drops" in p]
    modes = [p["cyclic.mode"] for p in late if "cyclic.mode" in p]
    assert drops.count(4) > 0.5 * len(drops)
    assert modes.count("triangular2") > 0.75 * len(modes)
    assert set(drops) <= {1, 2, 3, 4, 5}


class Forgetful(FamilySampler):
    """Reads every trial anew at every draw, one by one."""

    def _look(self, study: optuna.Study, number: int) -> Others:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        trials = optuna.load_study(study_name="s", storage=study._storage).trials
        trials = [trial for trial in trials if trial.number != number]
        read = [self._lesson_of(trial, _rank(trial, sign)) for trial in trials]
        lessons = np.array(read, dtype=_lesson(len(self._axes)))
        lessons = lessons[lessons["family"] >= 0]
        started = np.bincount(lessons["family"], minlength=len(self._names))
        return Others(lessons, started)


@pytest.mark.parametrize(
    ("brackets", "at_once", "direction"),
    [
        (1, 1, StudyDirection.MINIMIZE),
        (1, 8, StudyDirection.MAXIMIZE),
        (3, 1, StudyDirection.MAXIMIZE),
        (3, 8, StudyDirection.MINIMIZE),
    ],
)
def test_what_it_remembers_changes_no_draw(
    brackets: int, at_once: int, direction: StudyDirection
) -> None:
    """Under Hyperband, the trials of all brackets count: none is trained twice."""
    searched = space()
    drawn = []
    for kind in (FamilySampler, Forgetful):
        epochs = 3 ** (brackets - 1)
        pruner = optuna.pruners.HyperbandPruner(max_resource=epochs)
        sampler = kind(FamilyPlan(searched, 90), seed=3)
        study = optuna.create_study(
            study_name="s", sampler=sampler, pruner=pruner, direction=direction
        )
        for _ in range(0, 90, at_once):
            _train_together(study, searched, epochs, at_once)
        trials = study.get_trials(deepcopy=False)
        assert len({pruner._get_bracket_id(study, trial) for trial in trials}) == brackets
        assert (TrialState.PRUNED in {trial.state for trial in trials}) is (brackets > 1)
        drawn.append([trial.params for trial in trials])
    assert drawn[0] == drawn[1]
    assert len({params["lr"] for params in drawn[0]}) == len(drawn[0])


def _train_together(study: optuna.Study, searched: Space, epochs: int, count: int) -> None:
    """Some trials side by side; each seventh fails."""
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    running = [
        (trial, sign * loss(searched, trial)) for trial in [study.ask() for _ in "." * count]
    ]
    for epoch in range(1, epochs + 1):
        for trial, value in list(running):
            trial.report(value + sign / epoch, epoch)
            ended = None
            if epoch == epochs:
                ended = TrialState.FAIL if trial.number % 7 == 6 else TrialState.COMPLETE
            elif trial.should_prune():
                ended = TrialState.PRUNED
            if ended:
                study.tell(trial, value if ended == TrialState.COMPLETE else None, ended)
                running.remove((trial, value))


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="seed must be at least 0, but got seed=-1"):
        FamilySampler(FamilyPlan(space(), 10), seed=-1)
