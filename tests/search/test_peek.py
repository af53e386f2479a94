"""Looking at a study without touching its storage."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection
from storages import contents, execute, finished_trials, new_study

from sweep.base.errors import StorageError
from sweep.search.storage.journal import repair_journal
from sweep.search.storage.locks import check_folders
from sweep.search.storage.opening import flush, peek_study
from sweep.search.storage.urls import JOURNAL, storage_url


class TestPeekStudy:
    """What `open_study` would find, and nothing written."""

    @pytest.mark.parametrize("storage", [None, "a.journal", "a.db", "new/a.journal", "out/a.db"])
    def test_nothing_is_there_yet(self, tmp_path: Path, storage: str | None) -> None:
        out = tmp_path / "out"
        url = storage_url(None if storage is None else str(tmp_path / storage), out)
        check_folders(out, url)
        assert peek_study("mine", url, out) is None
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_database_stays_empty(self, tmp_path: Path) -> None:
        (tmp_path / "a.db").touch()
        before = contents(tmp_path)
        assert peek_study("mine", f"sqlite:///{tmp_path}/a.db", tmp_path) is None
        assert contents(tmp_path) == before

    @pytest.mark.parametrize("storage", ["a.journal", "a.db"])
    def test_finds_the_trials(self, tmp_path: Path, storage: str) -> None:
        url = storage_url(str(tmp_path / storage), tmp_path)
        study = new_study(url)
        finished_trials(study, 3)
        flush(study)
        before = contents(tmp_path)
        seen = peek_study("mine", url, tmp_path)
        assert seen is not None and [trial.value for trial in seen.trials] == [
            trial.value for trial in study.trials
        ]
        assert peek_study("other", url, tmp_path) is None
        with pytest.raises(
            StorageError, match="was begun with the direction minimize, not maximize"
        ):
            peek_study("mine", url, tmp_path, maximize=True)
        assert contents(tmp_path) == before

    def test_either_direction_will_do_where_it_is_not_known(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/a.db"
        for direction in (StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE):
            optuna.create_study(storage=url, study_name=direction.name, direction=direction)
            assert peek_study(direction.name, url, tmp_path, maximize=None) is not None

    def test_a_table_of_this_name_that_is_not_optunas(self, tmp_path: Path) -> None:
        path = tmp_path / "clinic.db"
        execute(path, "CREATE TABLE studies (patient TEXT, started TEXT)")
        before = contents(tmp_path)
        with pytest.raises(StorageError) as raised:
            peek_study("mine", f"sqlite:///{path}", tmp_path)
        assert str(raised.value) == (
            f"sqlite:///{path}: its table 'studies' is not Optuna's; name another --storage"
        )
        assert contents(tmp_path) == before

    @pytest.mark.parametrize(
        "left_open",
        [
            "DROP TABLE version_info",
            "DROP TABLE alembic_version",
            "DELETE FROM version_info",
            "DELETE FROM alembic_version",
            "DROP TABLE trials",
        ],
    )
    def test_what_optuna_has_not_finished_is_left_as_it_is(
        self, tmp_path: Path, left_open: str
    ) -> None:
        path = tmp_path / "a.db"
        new_study(f"sqlite:///{path}")
        execute(path, left_open)
        before = contents(tmp_path)
        study = peek_study("mine", f"sqlite:///{path}", tmp_path)
        assert (study is None) is ("trials" not in left_open)
        assert contents(tmp_path) == before

    def test_a_column_that_is_not_there(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        new_study(f"sqlite:///{path}")
        execute(path, "ALTER TABLE study_directions RENAME COLUMN direction TO way")
        before = contents(tmp_path)
        with pytest.raises(StorageError) as raised:
            peek_study("mine", f"sqlite:///{path}", tmp_path)
        assert str(raised.value) == (
            f"sqlite:///{path}: the storage cannot be opened: "
            "(sqlite3.OperationalError) no such column: study_directions.direction"
        )
        assert contents(tmp_path) == before

    def test_a_torn_line_and_a_lock_are_left_to_the_run(self, tmp_path: Path) -> None:
        journal = tmp_path / JOURNAL
        study = new_study(str(journal))
        finished_trials(study, 2)
        flush(study)
        with open(journal, "ab") as file:
            file.write(b'{"op_code":4,"wor')
        Path(f"{journal}.lock").symlink_to(journal)
        before = contents(tmp_path)
        seen = peek_study("mine", str(journal), tmp_path)
        assert seen is not None and len(seen.trials) == 2
        with pytest.raises(RuntimeError, match="cannot be written to"):
            seen.set_user_attr("a", 1)
        assert contents(tmp_path) == before

    @pytest.mark.parametrize(
        "storage",
        [
            "table.csv",
            "folder",
            "no.db",
            "sqlite:////nowhere/at/all.db",
            "nosql://user:secret@host/db",
            "oracle+cx_oracle://user:secret@host/db",
            "postgresql://user:secret@127.0.0.1:1/db",
            "postgresql://user:sec@ret@127.0.0.1:1/db",
        ],
    )
    def test_says_what_a_run_would_say(self, tmp_path: Path, storage: str) -> None:
        for name in ("table.csv", "no.db"):
            (tmp_path / name).write_text("area,price\n" * 200)
        (tmp_path / "folder").mkdir()
        url = storage_url(storage if "://" in storage else str(tmp_path / storage), tmp_path)
        before = contents(tmp_path)
        with pytest.raises(StorageError) as peeked:
            peek_study("mine", url, tmp_path)
        assert contents(tmp_path) == before
        with pytest.raises(StorageError) as ran:
            repair_journal(Path(url)) if "://" not in url else new_study(url)
        assert str(peeked.value) == str(ran.value) and "secret" not in str(peeked.value)
