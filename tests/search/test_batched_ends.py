"""Trials that begin and end together in a database: what that costs, and what outlives a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from coordinators import KILLED, coordinator_of, untrained
from fake_pool import Pool
from optuna.trial import TrialState
from sqlalchemy import event
from storages import closed_later, new_study
from support import ROOT, PostgreSQL

from sweep.base.errors import StorageError, TrainingError
from sweep.search.coordinator import Coordinator
from sweep.search.in_flight import new_trials
from sweep.search.storage import patient_storage
from sweep.search.storage.opening import flush, load_study
from sweep.search.storage.owners import claim, in_turn
from sweep.training.contract import EpochResult, TrialSpec

THEIRS = "there:/studies/mine"


def end(coordinator: Coordinator, number: int, *epochs: int) -> None:
    """Train a trial's two epochs, or some of them."""
    for epoch in epochs or (1, 2):
        value = number + epoch / 10
        coordinator.hear(EpochResult(number, epoch, value, value, value, 0.1, 0.1, None, 0.01))


def asked(coordinator: Coordinator, count: int) -> list[int]:
    """The numbers of so many trials that workers have room for at once."""
    specs = [coordinator.next(count - done) for done in range(count)]
    assert all(isinstance(spec, TrialSpec) for spec in specs)
    return [spec.number for spec in specs if spec]


@contextmanager
def statements(study: optuna.Study) -> Iterator[list[str]]:
    """What the database is asked meanwhile: each is waited for."""
    engine, sent = study._storage._backend.engine, list[str]()  # type: ignore[attr-defined]

    def note(*about: object) -> None:
        sent.append(str(about[2]))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.slow
def test_a_server_is_asked_as_often_for_one_trial_as_for_many(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_trials, "_TURN_SECS", float("inf"))
    with closed_later(new_study(postgresql.new_database("bunches"))) as study:
        coordinator = coordinator_of(study, untrained(200))
        first = asked(coordinator, 1)  # which also asks for each parameter's name
        end(coordinator, first[0])
        flush(study)
        costs = []
        for count in (1, 2, 32):
            with statements(study) as to_begin:
                numbers = asked(coordinator, count)
            with statements(study) as to_end:
                for number in numbers:
                    end(coordinator, number)
                assert not to_end
                flush(study)
            costs.append((sorted(to_begin), sorted(to_end)))
        assert costs[0] == costs[1] == costs[2]
        assert len(costs[0][0]) <= 9 and len(costs[0][1]) <= 8


@pytest.mark.slow
def test_no_two_are_given_the_same_number(postgresql: PostgreSQL) -> None:
    """Two coordinators that begin more than they say, and a script that knows of neither."""
    url, given = postgresql.new_database("numbers"), list[int]()
    with closed_later(new_study(url)) as one, closed_later(new_study(url)) as two:
        plain = optuna.load_study(study_name="mine", storage=one._storage._backend.url)  # type: ignore[attr-defined]

        def begun(study: optuna.Study) -> list[int]:
            numbers = [study.ask().number for _ in range(2)]
            study.enqueue_trial({"lr": 0.1})  # which is the next one
            return numbers + [study.ask().number for _ in range(3)]

        def begin(study: optuna.Study) -> None:
            for begins in (7, 1, 3, 2, 7, 1):
                given.extend(in_turn(study, lambda: begun(study), begins=begins))

        def begin_alone() -> None:
            given.extend(plain.ask().number for _ in range(30))

        threads = [threading.Thread(target=begin, args=(study,)) for study in (one, two)]
        threads.append(threading.Thread(target=begin_alone))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(given) == [*range(90)]
        assert [trial.number for trial in plain.get_trials()] == [*range(90)]
        assert in_turn(one, one.get_trials) == plain.get_trials()
        with closed_later(plain):
            pass


@pytest.mark.slow
def test_what_was_shown_as_ended_outlives_a_kill(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = postgresql.new_database("killed")
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\n{KILLED}"
    killed = subprocess.run(
        [sys.executable, "-c", code, url], cwd=tmp_path, capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    shown = dict(line.split() for line in killed.stdout.splitlines()[1:])
    assert len(shown) >= 20
    with closed_later(load_study("mine", url)) as study:
        found = study.trials
    assert [trial.number for trial in found] == [*range(len(found))]
    assert {trial.state for trial in found} == {TrialState.COMPLETE, TrialState.RUNNING}
    ended = {trial.number: trial.value for trial in found if trial.state == TrialState.COMPLETE}
    assert ended == {int(number): float(value) for number, value in shown.items()}
    with closed_later(new_study(url)) as study:
        resumed = list[int]()
        total = len(found) + 10
        config = untrained(total)
        resuming = coordinator_of(study, config, on_finished=lambda t: resumed.append(t.number))
        resuming.run(Pool(8, 1, []))  # type: ignore[arg-type]
        assert sorted(resumed) == [n for n in range(total) if n not in ended]
    with closed_later(load_study("mine", url)) as study:
        assert [trial.number for trial in study.trials] == [*range(total)]
        plain = optuna.load_study(study_name="mine", storage=url)
        with closed_later(plain):
            assert plain.trials == study.trials
        assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
        assert {n: study.trials[n].value for n in ended} == ended


class Dying(Pool):
    """Workers that cannot be started."""

    def start(self) -> None:
        raise TrainingError("the workers die")


@pytest.mark.slow
def test_an_error_is_told_where_another_holds_the_turn_and_that_is_waited_for_once(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient_storage, "HELD_SECS", 3.0)
    monkeypatch.setattr(patient_storage, "_TURN_SECS", 1)
    url, has_turn, is_over = postgresql.new_database("held"), threading.Event(), threading.Event()
    with closed_later(new_study(url)) as study, closed_later(new_study(url)) as theirs:
        coordinator = coordinator_of(study, untrained(3))
        for number in asked(coordinator, 2):
            end(coordinator, number)

        def keep() -> None:
            has_turn.set()
            is_over.wait(50)

        turn = threading.Thread(target=lambda: in_turn(theirs, keep))
        turn.start()
        try:
            assert has_turn.wait(50)
            with pytest.raises(TrainingError, match="the workers die") as told:
                coordinator.run(Dying(1, 1, []))  # type: ignore[arg-type]
            assert "has held the lock of this study" in told.value.__notes__[0]
            with statements(study) as sent, pytest.raises(StorageError, match="held the lock"):
                flush(study)
            assert sum("pg_advisory_xact_lock" in each for each in sent) == 1
        finally:
            is_over.set()
            turn.join()
        flush(study)
        ended = [t.number for t in in_turn(theirs, theirs.get_trials) if t.state.is_finished()]
        assert ended == [0, 1]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_those_that_waited_end_as_those_that_are_drawn(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url, notes, shown = f"sqlite:///{tmp_path}/a.db", list[str](), list[int]()
    if kind == "postgresql":
        url = request.getfixturevalue("postgresql").new_database("waited")
    with closed_later(new_study(url)) as study:
        for rate in (0.01, 0.02, 0.03):
            study.enqueue_trial({"lr": rate})
        coordinator = coordinator_of(
            study, untrained(6), on_note=notes.append, on_finished=lambda t: shown.append(t.number)
        )
        coordinator.run(Pool(2, 2, []))  # type: ignore[arg-type]
        assert notes == [] and sorted(shown) == [*range(6)]
        plain = optuna.load_study(study_name="mine", storage=url)
        with closed_later(plain):
            assert plain.trials == study.trials
            rates = [trial.params["lr"] for trial in plain.trials[:3]]
            assert rates == [0.01, 0.02, 0.03]
            assert all(trial.state == TrialState.COMPLETE for trial in plain.trials)


def test_one_that_another_has_taken_meanwhile_has_not_ended(tmp_path: Path) -> None:
    url, notes, shown = f"sqlite:///{tmp_path}/a.db", list[str](), list[int]()
    study, theirs = new_study(url), new_study(url)
    coordinator = coordinator_of(
        study, untrained(4), on_note=notes.append, on_finished=lambda t: shown.append(t.number)
    )
    for number in asked(coordinator, 2):
        end(coordinator, number, 1)
    taken = optuna.Trial(theirs, theirs.get_trials()[0]._trial_id)
    in_turn(theirs, lambda: claim(taken, THEIRS))
    for number in (0, 1):
        end(coordinator, number, 2)
    assert shown == [] and coordinator.status().endings.completed == 2
    coordinator.tick(at_once=True)
    assert shown == [1] and coordinator.status().endings.completed == 1
    assert [note.split(" by another")[0] for note in notes] == ["trial 0 was taken over"]
    assert [trial.state for trial in load_study("mine", url).trials] == [
        TrialState.RUNNING,
        TrialState.COMPLETE,
    ]
    assert load_study("mine", url).trials[0].values is None
    in_turn(theirs, lambda: theirs.tell(taken, 7.0))
    in_turn(study, study.get_trials)  # which reads what is new
    coordinator.tick(at_once=True)
    assert coordinator.status().endings.completed == 2
    best = coordinator.status().best
    assert best is not None and best.value == 1.1
    assert shown == [1]
