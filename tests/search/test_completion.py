"""Pruned trials that are trained to their end, so that there is something to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from support import PostgreSQL, no_page

from sweep.confirm.candidates import chosen
from sweep.report.dashboard.running_note import running_note
from sweep.report.summary import summarise
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.search.attributes import COMPLETES
from sweep.search.completion import enqueue
from sweep.search.context import RunContext
from sweep.search.status import Status, Tally
from sweep.search.strategies.family_sampler import FamilyPlan, FamilySampler
from sweep.search.strategies.halving import HalvingPruner
from sweep.search.trials import (
    Ending,
    StudyReader,
    Trial,
    completed,
    drawn,
    standing_for_themselves,
)
from sweep.study.file import load_study
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig

SETTINGS: dict[str, Any] = {
    "data.source": "diabetes",
    "model.name": "linear",
    "epochs": 3,
    "trials": 12,
    "workers": 1,
    "deterministic": True,  # what is pruned must not depend on how busy the machine is
    "space.scheduler": ["constant", "cosine", "step"],
    "space.lr": "1e-3:0.1:log",
    "sampler.name": "random",
    "pruner.rungs": [1],
    "pruner.keep": 0.01,  # the best one so far alone goes on
    "confirm": False,
}


def sweep(
    folder: Path, listener: Listener | None = None, **changes: Any
) -> tuple[optuna.Study, StudyConfig, Path]:
    settings = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    config = load_study(None, {key: value for key, value in settings.items() if value is not None})
    location = Location("small", None, folder / "small")
    with no_page():
        return run_sweep(location, config, listener or Listener()), config, location.folder


def read(study: optuna.Study) -> list[Trial]:
    return StudyReader(study, load_study(None, SETTINGS)).trials


def completing(study: optuna.Study) -> dict[int, Trial]:
    """The trials that complete another, by that one's number, each once."""
    found = [trial for trial in read(study) if trial.completes is not None]
    by_number = {trial.completes: trial for trial in found if trial.completes is not None}
    assert len(by_number) == len(found)
    return by_number


@pytest.mark.slow
@pytest.mark.parametrize("storage", [None, "sqlite:///{folder}/s.db"])
def test_a_search_ends_with_something_to_compare(tmp_path: Path, storage: str | None) -> None:
    url = storage and storage.format(folder=tmp_path)
    study, config, folder = sweep(tmp_path, storage=url)
    trials, taken_up = read(study), completing(study)
    assert len(drawn(trials)) == 12
    assert len(taken_up) > 1
    for number, trial in taken_up.items():
        before = trials[number]
        assert before.ending == Ending.PRUNED and trial.ending == Ending.COMPLETED
        assert trial.parameters == before.parameters
        assert trial.seed == before.seed
        assert sorted(trial.reports) == [1, 2, 3]
        first = before.record.column("value")
        again = trial.record.column("value")
        np.testing.assert_allclose(again[: len(first)], first, rtol=1e-5)
    done = completed(trials, config.measure)
    names = [trial.scheduler for trial in done]
    assert "constant" in names and len(set(names)) > 1 and len(done) > 3

    counts = summarise(study, config, folder).counts
    assert counts.trained_on == len(taken_up)
    assert counts.endings.completed == len(done) and counts.endings.ended == 12
    tally = Tally.of(trials, config.measure)
    endings = tally.endings
    assert (tally.started, endings.completed, endings.pruned) == (12, len(done), 12 - len(done))
    told = f"{len(taken_up)} pruned trials were trained to their end"
    assert told in running_note("small", trials, config, 12)
    table = pd.read_csv(folder / "results.csv", index_col="number")
    assert dict(table["completes"].dropna()) == {t.number: n for n, t in taken_up.items()}


@pytest.mark.slow
def test_each_is_taken_up_once(tmp_path: Path) -> None:
    before = sweep(tmp_path)[0].trials
    assert sweep(tmp_path)[0].trials == before
    study, *_ = sweep(tmp_path, trials=16)
    assert len(drawn(read(study))) == 16
    completing(study)
    assert [t.datetime_complete for t in study.trials[: len(before)]] == [
        t.datetime_complete for t in before
    ]


@pytest.mark.slow
def test_another_coordinator_takes_up_none_of_them_again(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    url = postgresql.new_database("completion")
    study, *_ = sweep(tmp_path / "a", storage=url)
    assert len(drawn(read(study))) == 12 and len(completing(study)) > 1
    other, *_ = sweep(tmp_path / "b", storage=url)
    assert other.trials == study.trials
    for ran in (study, other):
        ran._storage.remove_session()
        ran._storage._backend.engine.dispose()  # type: ignore[attr-defined]


class _Killed(Exception):
    """What ends a run at the worst moment."""


class _Dying(Listener):
    """Ends a run where a pruned trial is to be, or has been, trained on."""

    def __init__(self, at: str) -> None:
        self._at = at

    def on_note(self, text: str) -> None:
        if self._at == "before" and "trained on to the end" in text:
            raise _Killed

    def on_finished(self, trial: Trial, status: Status) -> None:
        if self._at == "within" and trial.completes is not None:
            raise _Killed


@pytest.mark.slow
@pytest.mark.parametrize("at", ["before", "within"])
def test_a_killed_run_is_gone_on_with(tmp_path: Path, at: str) -> None:
    with pytest.raises(_Killed):
        sweep(tmp_path, _Dying(at))
    study, *_ = sweep(tmp_path)
    assert len(drawn(read(study))) == 12
    assert all(trial.state.is_finished() for trial in study.trials)
    assert len(completing(study)) > 1


@pytest.mark.slow
def test_the_best_constant_rate_is_taken_up(tmp_path: Path) -> None:
    study, config, folder = sweep(tmp_path, pruner__rungs=[2], pruner__keep=0.3, trials=30)
    constants = [
        trial for trial in standing_for_themselves(read(study)) if trial.scheduler == "constant"
    ]
    assert any(trial.ending == Ending.COMPLETED for trial in constants)
    location, reader = Location("small", None, folder), StudyReader(study, config)
    running = RunContext(location, config, None, reader, lambda text: None)
    assert all(trial.ending == Ending.COMPLETED for trial in chosen(running, None))


@pytest.mark.slow
def test_where_nothing_is_pruned_nothing_is_taken_up(tmp_path: Path) -> None:
    study, *_ = sweep(tmp_path, pruner__name="none", pruner__rungs=None, pruner__keep=None)
    assert len(study.trials) == 12 and not completing(study)


def add(study: optuna.Study, state: TrialState, values: dict[int, float], **more: Any) -> None:
    value = values[max(values)] if state == TrialState.COMPLETE else None
    trial = optuna.create_trial(state=state, value=value, intermediate_values=values, **more)
    study.add_trial(trial)


def test_a_pruner_counts_the_two_as_one() -> None:
    study = optuna.create_study(pruner=HalvingPruner([1, 2], 0.5))
    add(study, TrialState.PRUNED, {1: 3.0})
    add(study, TrialState.COMPLETE, {1: 1.0, 2: 1.0})
    add(study, TrialState.COMPLETE, {1: 3.0, 2: 2.0}, user_attrs={COMPLETES: 0})
    trial = study.ask()
    trial.report(2.0, 1)
    assert trial.should_prune()  # the second of three; of four it would go on
    other = study.ask()
    other.report(0.5, 1)
    assert not other.should_prune()
    other.report(1.5, 2)
    assert other.should_prune()  # here the completed one has a value of its own: 1.0, 1.5, 2.0


def test_a_fair_sampler_counts_the_two_as_one() -> None:
    config = load_study(None, SETTINGS | {"space.scheduler": ["cosine", "constant"]})
    sampler = FamilySampler(FamilyPlan(config.search_space, 12, True), seed=0)
    study = optuna.create_study(sampler=sampler)
    for name in ("cosine", "constant"):
        study.enqueue_trial({"scheduler": name})
        trial = study.ask()
        config.search_space.suggest(trial)
        trial.report(1.0, 1)
        study.tell(trial, state=TrialState.PRUNED)
    enqueue(study, StudyReader(study, config).trials[:1])
    again = study.ask()
    config.search_space.suggest(again)
    assert again.params == study.trials[0].params
    study.tell(again, 1.0)
    trial = study.ask()
    config.search_space.suggest(trial)
    assert trial.params["scheduler"] == "cosine"  # both had one: the first one's turn
