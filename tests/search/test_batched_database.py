"""What a coordinator keeps in memory of the trials that it trains, and a database gets in time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from storages import closed_later, new_study
from support import PostgreSQL

from sweep.search.storage import lean_database
from sweep.search.storage.batched_database import BatchedDatabase
from sweep.search.storage.opening import flush, load_study
from sweep.search.storage.owners import claim, in_turn, let_go, state_now

OURS, THEIRS = "here:/studies/mine", "there:/studies/mine"


def batched(study: optuna.Study) -> BatchedDatabase:
    assert isinstance(study._storage, BatchedDatabase)
    return study._storage


def begun(study: optuna.Study, owner: str = OURS) -> optuna.Trial:
    """A trial that is in training here."""

    def ask() -> optuna.Trial:
        trial = study.ask()
        trial.suggest_float("lr", 0.0, 1.0)
        claim(trial, owner)
        return trial

    return in_turn(study, ask)


def written(url: str) -> list[FrozenTrial]:
    with closed_later(load_study("mine", url)) as study:
        return study.trials


def test_it_is_written_together_and_with_the_end_at_the_latest(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    study, statements = new_study(url), list[str]()
    trial = begun(study)
    event.listen(
        batched(study)._backend.engine, "before_cursor_execute", lambda *a: statements.append(a[2])
    )
    for epoch in range(1, 51):
        trial.report(float("inf") if epoch == 3 else 1 / epoch, epoch)
        trial.set_user_attr("note", epoch)
    assert statements == [] and written(url)[0].intermediate_values == {}
    flush(study)
    assert len(statements) < 5
    assert written(url)[0].intermediate_values == study.trials[0].intermediate_values
    trial.report(0.0, 51)
    study.tell(trial, 2.0)
    assert written(url) == study.trials
    assert study.trials[0].user_attrs == {"note": 50} and len(study.trials[0].params) == 1


@pytest.mark.slow
def test_a_turn_that_comes_to_nothing_leaves_what_was_before(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database("undone")
    with closed_later(new_study(url)) as study:
        first, second = begun(study), begun(study)
        first.report(1.0, 1)
        study.get_trials()

        def fail() -> None:
            study.tell(first, 3.0)
            begun(study)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            in_turn(study, fail)
        assert [trial.state for trial in study.trials] == [TrialState.RUNNING] * 2
        assert study.trials[0].intermediate_values == {1: 1.0}
        second.report(2.0, 1)
        in_turn(study, lambda: study.tell(first, 4.0))
        third = begun(study)
        assert third.number == 2 and [trial.value for trial in study.trials[:2]] == [4.0, None]
        flush(study)
        assert written(url) == study.trials


def test_a_turn_that_has_come_to_something_is_not_undone(tmp_path: Path) -> None:
    study = new_study(f"sqlite:///{tmp_path}/a.db")
    trial = begun(study)
    trial.report(1.0, 1)
    before = study.get_trials(deepcopy=False)
    batched(study).undo_turn()
    assert study.get_trials(deepcopy=False) == before
    with pytest.raises(ZeroDivisionError):
        in_turn(study, lambda: 1 // 0)
    batched(study).undo_turn()
    assert study.get_trials(deepcopy=False) == before
    flush(study)
    assert batched(study).get_trial(trial._trial_id).intermediate_values == {1: 1.0}


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_what_waits_is_not_written_to_a_trial_that_another_has(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    if kind == "postgresql":
        url = request.getfixturevalue("postgresql").new_database("taken")
    with closed_later(new_study(url)) as study, closed_later(new_study(url)) as theirs:
        trial, ended = begun(study), begun(study)
        for each in (trial, ended):
            each.report(1.0, 1)
        taken, done = (optuna.Trial(theirs, t._trial_id) for t in theirs.get_trials())
        in_turn(theirs, lambda: claim(taken, THEIRS))
        in_turn(theirs, lambda: theirs.tell(done, 5.0))
        flush(study)
        assert [t.intermediate_values for t in written(url)] == [{}, {}]
        assert state_now(study, trial, OURS) == (TrialState.RUNNING, False)
        for each in (trial, ended):
            with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
                each.report(2.0, 2)
        in_turn(study, lambda: claim(trial, OURS))
        trial.report(3.0, 3)
        taken.report(4.0, 4)
        flush(study)
        flush(theirs)
        assert [t.intermediate_values for t in written(url)] == [{3: 3.0}, {}]


def test_what_waits_is_forgotten_with_a_trial_that_is_let_go(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    study = new_study(url)
    trial = begun(study)
    trial.report(1.0, 1)
    let_go(study, trial)
    flush(study)
    assert written(url)[0].intermediate_values == {}


def test_no_statement_names_more_trials_than_sqlite_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean_database, "_AT_ONCE", 20)
    url = f"sqlite:///{tmp_path}/a.db"
    study = new_study(url)
    event.listen(
        batched(study)._backend.engine,
        "before_cursor_execute",
        lambda connection, *_: connection.connection.driver_connection.setlimit(
            sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 30
        ),
    )
    trials = [begun(study) for _ in range(50)]
    for trial in trials:
        trial.report(0.5, 1)
    with batched(study).batching_ends():
        for trial in trials:
            study.tell(trial, 1.0)
    flush(study)
    assert written(url) == study.trials
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
