"""The batched journal against Optuna's own file backend, on real files."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from sweep.search.storage.journal import BatchedJournal
from sweep.search.storage.optuna_private import ListedJournal

optuna.logging.set_verbosity(optuna.logging.WARNING)


def optunas(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.journal"


def test_reports_wait_for_a_flush_and_are_seen_here_at_once(path: Path) -> None:
    journal = BatchedJournal(path)
    study = optuna.create_study(study_name="s", storage=JournalStorage(journal))
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    size = path.stat().st_size
    for step in range(5):
        trial.report(float(step), step)
    trial.set_user_attr("a", 1)
    assert path.stat().st_size == size
    assert study.trials[0].intermediate_values == {step: float(step) for step in range(5)}
    journal.flush()
    (read,) = optuna.load_study(study_name="s", storage=optunas(path)).trials
    assert read == study.trials[0]


def test_the_end_of_a_trial_takes_along_what_waited(path: Path) -> None:
    study = optuna.create_study(study_name="s", storage=JournalStorage(BatchedJournal(path)))
    for number in range(3):
        trial = study.ask()
        trial.suggest_categorical("c", ["a", "b"])
        trial.report(0.5, 1)
        study.tell(trial, float(number))
    assert optuna.load_study(study_name="s", storage=optunas(path)).trials == study.trials


def test_what_others_write_meanwhile_is_read(path: Path) -> None:
    journal = BatchedJournal(path)
    study = optuna.create_study(study_name="s", storage=JournalStorage(journal))
    other = optuna.load_study(study_name="s", storage=optunas(path))
    trial = study.ask()
    trial.report(1.0, 1)
    other.set_user_attr("note", "from elsewhere")
    trial.report(2.0, 2)
    second = other.ask()
    journal.flush()
    assert study.user_attrs == {"note": "from elsewhere"}
    third = study.ask()
    assert (trial.number, second.number, third.number) == (0, 1, 2)
    other.tell(second, 7.0)
    study.tell(trial, 3.0)
    study.tell(third, 4.0)
    again = optuna.load_study(study_name="s", storage=optunas(path))
    assert [t.value for t in again.trials] == [t.value for t in study.trials] == [3.0, 7.0, 4.0]
    assert again.trials[0].intermediate_values == {1: 1.0, 2: 2.0}


def test_a_half_written_line_is_left_to_its_writer(path: Path) -> None:
    study = optuna.create_study(study_name="s", storage=JournalStorage(BatchedJournal(path)))
    with open(path, "ab") as file:
        file.write(b'{"op_code":2,"worker_id":"w","study_id":0,')
        file.flush()
        assert study.user_attrs == {}
        file.write(b'"user_attr":{"k":1}}\n')
    assert study.user_attrs == {"k": 1}


def test_the_half_line_of_a_writer_that_died_is_cut(path: Path) -> None:
    study = optuna.create_study(study_name="s", storage=JournalStorage(BatchedJournal(path)))
    with open(path, "ab") as file:
        file.write(b'{"op_code":2,"worker_id":"w","study_id":0,')
    trial = study.ask()
    study.tell(trial, 1.0)
    assert optuna.load_study(study_name="s", storage=optunas(path)).trials == study.trials


def test_an_epoch_of_reports_is_one_append(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = BatchedJournal(path)
    study = optuna.create_study(storage=JournalStorage(journal))
    trial = study.ask()
    acquired: list[int] = []
    lock = journal._lock
    acquire = lock.acquire

    def count() -> bool:
        acquired.append(1)
        return acquire()

    monkeypatch.setattr(lock, "acquire", count)
    for step in range(300):
        trial.report(1.0, step)
    journal.flush()
    assert len(acquired) == 1


def test_what_is_in_the_file_is_not_held_in_memory_before_it_is_handed_out(path: Path) -> None:
    study = optuna.create_study(study_name="s", storage=optunas(path))
    for number in range(3):
        study.set_user_attr("note", number)
    journal = BatchedJournal(path)
    logs = journal.read_logs(0)
    taken = [next(logs), next(logs)]
    assert not journal._unread and journal._offset < path.stat().st_size
    taken += [*logs, *journal.read_logs(4)]
    assert [log.get("user_attr") for log in taken] == [None, *({"note": n} for n in range(3))]


def test_what_all_trials_have_alike_is_in_memory_once(path: Path) -> None:
    written = optuna.create_study(study_name="s", storage=optunas(path))
    for _ in range(2):
        trial = written.ask()
        trial.suggest_float("rate", 1e-3, 1.0, log=True)
        trial.set_user_attr("seconds", 1.5)
        written.tell(trial, 1.0)
    study = optuna.load_study(study_name="s", storage=ListedJournal(BatchedJournal(path)))
    assert study.trials == written.trials
    one, other = study.get_trials(deepcopy=False)
    assert one.distributions["rate"] is other.distributions["rate"]
    for first, second in ((one.params, other.params), (one.user_attrs, other.user_attrs)):
        assert all(a is b for a, b in zip(first, second, strict=True))
