"""What a trial costs beside few others and beside many: sampler, pruner, counts and storage."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState, create_trial

from sweep.search.coordinator import Coordinator
from sweep.search.storage.opening import open_study
from sweep.search.storage.optuna_private import DISCARDED, set_study_attribute
from sweep.search.storage.trial_list import TrialList
from sweep.search.storage.urls import JOURNAL
from sweep.search.strategies.family_sampler import FamilySampler
from sweep.search.strategies.pruners import build_pruner
from sweep.search.strategies.samplers import family_plan
from sweep.search.trials import StudyReader
from sweep.study.settings import StudyConfig
from sweep.training.contract import EpochResult
from sweep.training.workers.time_limit import TimeLimit

CONFIG = StudyConfig.model_validate(
    {"trials": 10**6, "epochs": 4, "sampler": "family", "pruner": "halving"}
)


class Watched(list[Any]):
    """A list that counts how many of its items are handed out."""

    handed_out = 0

    def __getitem__(self, place: Any) -> Any:
        count = len(range(*place.indices(len(self)))) if isinstance(place, slice) else 1
        Watched.handed_out += count
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[Any]:
        Watched.handed_out += len(self)
        return super().__iter__()

    def copy(self) -> list[Any]:
        return [*self]


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each list of trials that a storage keeps be a watched one."""

    def keep(trials: TrialList, shown: list[Any]) -> None:
        vars(trials)["shown"] = Watched(shown)

    kept = property(lambda trials: vars(trials)["shown"], keep)
    monkeypatch.setattr(TrialList, "_shown", kept, raising=False)


def coordinator_beside(trials: int, folder: Path) -> Coordinator:
    """One whose study has so many trials that have ended already."""
    folder.mkdir()
    sampler = FamilySampler(family_plan(CONFIG))
    pruner = build_pruner(CONFIG.pruning, CONFIG.epochs)
    study = open_study("mine", str(folder / JOURNAL), sampler, pruner)
    space = distributions(study, sampler)
    points = itertools.islice(itertools.cycle(sampler.first_trials()), trials)
    for number, point in enumerate(points):
        value = 1 + number % 7
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=value,
                params=point,
                distributions={name: space[name] for name in point},
                intermediate_values={epoch: float(value) for epoch in range(1, 5)},
            )
        )
    return Coordinator(
        StudyReader(study, CONFIG),
        owner="here",
        shared=False,
        trials=CONFIG.trials,
        variance=1.0,
        weights=None,
        on_finished=lambda trial, status: None,
        on_tick=lambda status: None,
        on_note=lambda note: None,
        deadline=math.inf,
        limit=TimeLimit(),
        stop=threading.Event(),
    )


def distributions(study: optuna.Study, sampler: FamilySampler) -> dict[str, BaseDistribution]:
    trial = create_trial(value=0.0, params={}, distributions={})
    return sampler.infer_relative_search_space(study, trial)


def handed_out_for(coordinator: Coordinator, value: float) -> int:
    """How many trials are read to draw one, to judge it in each epoch and to end it."""
    before = Watched.handed_out
    spec = coordinator.next()
    assert spec is not None
    for epoch in range(1, CONFIG.epochs + 1):
        result = EpochResult(spec.number, epoch, value, value, value, 0.1, 0.1, None, 0.01)
        if coordinator.hear(result).over:
            break
    coordinator.tick(at_once=True)
    return Watched.handed_out - before


@pytest.mark.parametrize("discarded", [[], [3]])
def test_it_reads_no_more_of_the_others_however_many_there_are(
    tmp_path: Path, discarded: list[int]
) -> None:
    counts = {}
    for trials in (50, 1600):
        coordinator = coordinator_beside(trials, tmp_path / str(trials))
        set_study_attribute(coordinator._study, DISCARDED, discarded)
        handed_out_for(coordinator, 0.5)  # the first one learns from all
        counts[trials] = [handed_out_for(coordinator, value) for value in (0.4, 9.0)]
    few, many = counts.values()  # more alike than 50 and 1600: some trials are found by bisection
    assert min(few) > 0
    assert all(large < 2 * small for small, large in zip(few, many, strict=True))
