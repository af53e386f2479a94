"""Opening a study's storage, and repairing what a killed run left in it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import optuna
import pandas as pd
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import create_engine, inspect
from support import PASSWORD, PostgreSQL, sweep

from sweep.base.errors import StorageError, StudyBusyError
from sweep.search.completion import drawn
from sweep.search.storage.journal import repair_journal
from sweep.search.storage.locks import check_folders, check_not_held, hold
from sweep.search.storage.opening import flush, load_study, open_storage, open_study, peek_study
from sweep.search.storage.owners import abandoned_trials, claim, in_turn, owner_of
from sweep.search.storage.urls import JOURNAL, storage_url, without_password

TRICKY = quote(PASSWORD, safe="")


def new_study(url: str, name: str = "mine") -> optuna.Study:
    return open_study(name, url, optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())


@contextlib.contextmanager
def closed_later(study: optuna.Study) -> Iterator[optuna.Study]:
    """Close a study's connections to its server at the end, as the end of a process does."""
    try:
        yield study
    finally:
        storage = study._storage
        assert isinstance(storage, optuna.storages._CachedStorage)
        storage.remove_session()
        storage._backend.engine.dispose()


def finished_trials(study: optuna.Study, count: int) -> None:
    for _ in range(count):
        trial = study.ask()
        study.tell(trial, trial.suggest_float("lr", 0, 1))


@contextlib.contextmanager
def other_process(code: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Another Python that has got as far as printing a line; killed at the end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


class TestStorageUrl:
    @pytest.mark.parametrize(
        ("storage", "expected"),
        [
            (None, f"runs/mine/{JOURNAL}"),
            ("postgresql://user:word@host/db", "postgresql://user:word@host/db"),
            ("trials.journal", "{here}/trials.journal"),
            ("/far/trials.log", "/far/trials.log"),
            ("trials.db", "sqlite:///{here}/trials.db"),
            ("trials.sqlite3", "sqlite:///{here}/trials.sqlite3"),
            ("sqlite:///s.db", "sqlite:///{here}/s.db"),
            ("sqlite:///a/s.db?timeout=9", "sqlite:///{here}/a/s.db?timeout=9"),
            ("sqlite:////far/s.db", "sqlite:////far/s.db"),
            ("sqlite:///:memory:", "sqlite:///:memory:"),
        ],
    )
    def test_paths_and_urls(self, storage: str | None, expected: str) -> None:
        url = storage_url(storage, Path("runs/mine"))
        assert url == expected.format(here=Path.cwd())


class TestWithoutPassword:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("postgresql://user:word@host:5432/db", "postgresql://user@host:5432/db"),
            (f"postgresql://user:{TRICKY}@host/db", "postgresql://user@host/db"),
            ("mysql+pymysql://user:a:b@host/db", "mysql+pymysql://user@host/db"),
            ("postgresql://user:a/b@host/db", "postgresql://user@host/db"),
            ("postgresql://user:a@b@host/db", "postgresql://user@host/db"),
            ("postgresql://user:a b@host/db", "postgresql://user@host/db"),
            ("postgresql://user:a#b?c@host/db", "postgresql://user@host/db"),
            ("postgresql://:word@host/db", "postgresql://@host/db"),
            ("postgresql://host/db?user=me&password=word", "postgresql://host/db?user=me"),
            ("postgresql://host/db?password=word&user=me", "postgresql://host/db?user=me"),
            ("postgresql://user:word/db", "postgresql://user/db"),
            ("postgresql://host/db?PASSWORD=word", "postgresql://host/db"),
            ("postgresql://host/db?sslpassword=word", "postgresql://host/db"),
            (
                "cannot reach postgresql://user:word@host/db: refused",
                "cannot reach postgresql://user@host/db: refused",
            ),
        ],
    )
    def test_takes_it_out(self, text: str, expected: str) -> None:
        assert without_password(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "postgresql://user@host:5432/db?sslmode=require",
            "postgresql://host:5432/db",
            "postgresql://user@[::1]:5432/db",
            "postgresql://[::1]:5432/db",
            "connected to 'postgresql://host:5432'",
            "sqlite:////home/me/a:b@c/trials.db",
            "studies/mine/study.journal",
            "is this text? yes & no, at 10:30",
        ],
    )
    def test_leaves_everything_else(self, text: str) -> None:
        assert without_password(text) == text


class TestOpenStorage:
    """What is wrong is said, but never the password."""

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            (
                f"postgresql://user:{TRICKY}@127.0.0.1:1/db",
                "postgresql://user@127.0.0.1:1/db: the storage cannot be opened: "
                "(psycopg.OperationalError) connection failed: connection to server at "
                '"127.0.0.1", port 1 failed: Connection refused',
            ),
            (
                "postgresql://user:sec@ret@127.0.0.1:1/db",
                "postgresql://user@127.0.0.1:1/db: write '@' in a user's name or password as %40",
            ),
            (
                "nosql://user:secret@host/db",
                "nosql://user@host/db: the storage cannot be opened: "
                "Can't load plugin: sqlalchemy.dialects:nosql",
            ),
            (
                "oracle+cx_oracle://user:secret@host/db",
                "oracle+cx_oracle://user@host/db: this storage needs the module 'cx_Oracle'",
            ),
            (
                "sqlite:////nowhere/at/all.db",
                "sqlite:////nowhere/at/all.db: the storage cannot be opened: "
                "(sqlite3.OperationalError) unable to open database file",
            ),
            ("/", "/: the storage cannot be opened: [Errno 21] Is a directory: '/'"),
        ],
    )
    def test_problems(self, url: str, expected: str) -> None:
        with pytest.raises(StorageError) as raised:
            open_storage(url)
        assert str(raised.value) == expected

    def test_a_password_that_the_driver_repeats(self) -> None:
        """Without a host, SQLAlchemy takes the password for a port and names it."""
        with pytest.raises(StorageError) as raised:
            open_storage("postgresql://user:hunter2/db")
        assert str(raised.value).endswith("invalid literal for int() with base 10: '***'")
        assert "hunter2" not in str(raised.value)

    def test_a_missing_driver_comes_with_the_remedy(self, tmp_path: Path) -> None:
        code = (
            "import sys; sys.modules['psycopg'] = None\n"
            "from sweep.base.errors import StorageError\n"
            "from sweep.search.storage.opening import open_storage\n"
            "try: open_storage('postgresql+psycopg://user:secret@host/db')\n"
            "except StorageError as problem: print(problem)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == (
            "postgresql+psycopg://user@host/db: this storage needs the module 'psycopg': "
            "pip install 'sweep-lr[postgresql]'\n"
        )


class TestHold:
    CODE = (
        "import sys, time; from pathlib import Path; from sweep.search.storage.locks import hold\n"
        "with hold(Path(sys.argv[1]), sys.argv[2]):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)"
    )

    def test_another_process_is_busy_with_the_folder(self, tmp_path: Path) -> None:
        url = str(tmp_path / "a.journal")
        with other_process(self.CODE, tmp_path / "run", url):
            with pytest.raises(StudyBusyError) as raised, hold(tmp_path / "run", f"{url}2"):
                pass
        assert str(raised.value) == (
            f"{tmp_path / 'run'}: this study is being run by another process; "
            "wait for it, stop it, or give --out another folder"
        )

    def test_another_process_is_busy_with_the_journal(self, tmp_path: Path) -> None:
        url = str(tmp_path / "a.journal")
        with other_process(self.CODE, tmp_path / "run", url):
            with pytest.raises(StudyBusyError) as raised, hold(tmp_path / "other", url):
                pass
            assert str(raised.value).startswith(f"{url}: this journal is in use by another run")
            assert "--storage sqlite:///FILE.db" in str(raised.value)
            with hold(tmp_path / "other", f"{url}2"):  # nothing is kept of the failed attempt
                pass

    @pytest.mark.parametrize(("out", "journal"), [("run", "new"), ("other", "a.journal")])
    def test_a_check_says_the_same_and_makes_nothing(
        self, tmp_path: Path, out: str, journal: str
    ) -> None:
        folder, url = tmp_path / out, str(tmp_path / journal)
        check_not_held(folder, url)
        assert os.listdir(tmp_path) == []
        with other_process(self.CODE, tmp_path / "run", tmp_path / "a.journal"):
            before = contents(tmp_path)
            with pytest.raises(StudyBusyError) as checked:
                check_not_held(folder, url)
            assert contents(tmp_path) == before
            with pytest.raises(StudyBusyError) as held, hold(folder, url):
                pass
            assert str(checked.value) == str(held.value)
        check_not_held(folder, url)

    def test_many_may_work_on_a_database(self, tmp_path: Path) -> None:
        url = "postgresql://host/db"
        with other_process(self.CODE, tmp_path / "run", url), hold(tmp_path / "other", url):
            pass

    def test_dies_with_its_process(self, tmp_path: Path) -> None:
        url = str(tmp_path / "a.journal")
        with other_process(self.CODE, tmp_path / "run", url) as process:
            process.send_signal(signal.SIGKILL)
            process.wait()
            with hold(tmp_path / "run", url):
                pass

    def test_can_be_taken_again(self, tmp_path: Path) -> None:
        for _ in range(2):
            with hold(tmp_path / "new" / "run", str(tmp_path / "far" / "a.journal")):
                assert (tmp_path / "far").is_dir()

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError) as raised, hold(tmp_path / "file", "sqlite:///x.db"):
            pass
        assert str(raised.value) == f"{tmp_path / 'file'}: cannot be made a folder: File exists"


class TestRepairJournal:
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Path:
        """A journal with three finished trials."""
        path = tmp_path / JOURNAL
        finished_trials(new_study(str(path)), 3)
        return path

    def trials(self, journal: Path) -> int:
        return len(load_study("mine", str(journal)).get_trials(states=(TrialState.COMPLETE,)))

    def test_leaves_a_whole_journal_alone(self, journal: Path) -> None:
        before = journal.read_bytes()
        assert repair_journal(journal) == []
        assert journal.read_bytes() == before

    def test_no_journal_and_an_empty_one(self, tmp_path: Path) -> None:
        path = tmp_path / JOURNAL
        assert repair_journal(path) == []
        path.touch()
        assert repair_journal(path) == []
        finished_trials(new_study(str(path)), 1)
        assert self.trials(path) == 1

    @pytest.mark.parametrize("length", [1, 5, 12, 40])
    def test_cuts_a_torn_last_line(self, journal: Path, length: int) -> None:
        before = journal.read_bytes()
        journal.write_bytes(before + before.splitlines()[-1][:length])
        repairs = [f"cut {length} bytes that a killed process left half-written in study.journal"]
        assert repair_journal(journal) == repairs
        assert journal.read_bytes() == before
        finished_trials(new_study(str(journal)), 1)
        assert self.trials(journal) == 4

    def test_a_line_without_its_end_is_torn(self, journal: Path) -> None:
        before = journal.read_bytes()
        journal.write_bytes(before[:-1])
        assert len(repair_journal(journal)) == 1
        assert journal.read_bytes() == b"".join(before.splitlines(keepends=True)[:-1])

    def test_keeps_what_another_writer_appended_to_a_torn_line(self, journal: Path) -> None:
        before = journal.read_bytes()
        with open(journal, "ab") as file:
            file.write(before.splitlines()[-1][:30])
        note = b'{"op_code":2,"worker_id":"w","study_id":0,"user_attr":{"note":"{\\"op_code\\""}}\n'
        with open(journal, "ab") as file:
            file.write(note * 2)
        with pytest.raises(StorageError, match="half-written line; running the study mends it"):
            self.trials(journal)
        assert repair_journal(journal) == [
            "cut 30 bytes that a killed process left half-written in study.journal"
        ]
        assert journal.read_bytes() == before + note * 2
        assert load_study("mine", str(journal)).user_attrs == {"note": '{"op_code"'}
        assert self.trials(journal) == 3

    def test_cuts_the_very_first_line(self, tmp_path: Path) -> None:
        path = tmp_path / JOURNAL
        path.write_bytes(b'{"op_co')
        assert len(repair_journal(path)) == 1
        assert path.read_bytes() == b""

    @pytest.mark.parametrize(
        "content",
        [b"a,b\n1,2\n", b"one line", b"[1]\n", b'{"a": 1}\n', b"PAR1\x00\xff\n\x00", b"\n"],
    )
    def test_refuses_what_is_no_journal(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "notes.txt"
        path.write_bytes(content)
        with pytest.raises(StorageError) as raised:
            repair_journal(path)
        assert str(raised.value) == (
            f"{path}: not an Optuna journal; name another --storage or --out"
        )
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["notes.txt"]

    LOCK = (
        "import sys, time; from pathlib import Path\n"
        "from sweep.search.storage.journal import journal_lock\n"
        "lock = journal_lock(Path(sys.argv[1])); lock.acquire()\n"
        "print('locked', flush=True)\n"
        "time.sleep(float(sys.argv[2])); lock.release()\n"
        "print('released', flush=True)"
    )

    def test_removes_the_lock_of_a_dead_process(self, journal: Path) -> None:
        with other_process(self.LOCK, journal, "60") as process:
            process.send_signal(signal.SIGKILL)
            process.wait()
        lock = Path(f"{journal}.lock")
        assert os.path.lexists(lock)
        started = time.monotonic()
        assert repair_journal(journal) == [
            "removed the lock that a killed process left on study.journal"
        ]
        finished_trials(new_study(str(journal)), 1)
        assert time.monotonic() - started < 20  # Optuna would wait for 30 s
        assert not os.path.lexists(lock)
        assert self.trials(journal) == 4

    def test_waits_for_the_lock_of_a_live_process(self, journal: Path) -> None:
        with other_process(self.LOCK, journal, "0.5") as process:
            assert repair_journal(journal) == []
            assert process.stdout is not None
            assert process.stdout.readline() == "released\n"

    def test_does_not_disturb_a_live_writer(self, journal: Path) -> None:
        """The dashboard may write notes meanwhile: none of them is lost or torn."""
        study, stop, written = load_study("mine", str(journal)), threading.Event(), 0

        def write() -> None:
            nonlocal written
            while not stop.is_set():
                study.set_user_attr("note", written)
                written += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(5):
                assert repair_journal(journal) == []
        finally:
            stop.set()
            writer.join()
        lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
        notes = [line["user_attr"]["note"] for line in lines if "user_attr" in line]
        assert notes == list(range(written))


class TestOpenStudy:
    @pytest.mark.parametrize("storage", ["a.journal", "a.db"])
    def test_creates_it_once_and_loads_it_later(self, tmp_path: Path, storage: str) -> None:
        url = storage_url(str(tmp_path / storage), tmp_path)
        finished_trials(new_study(url), 2)
        assert len(new_study(url).trials) == 2
        assert len(new_study(url, "other").trials) == 0
        assert len(load_study("mine", url).trials) == 2

    def test_refuses_a_study_of_another_program(self, tmp_path: Path) -> None:
        url = storage_url(str(tmp_path / "a.db"), tmp_path)
        optuna.create_study(storage=url, study_name="mine", direction="maximize")
        with pytest.raises(StorageError) as raised:
            new_study(url)
        assert str(raised.value) == (
            f"{url}: study 'mine' was begun with the direction maximize, not minimize; give "
            "another --out or --storage, or throw its trials away with --fresh"
        )

    def test_many_processes_create_it_at_once(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'a.db'}"
        code = (
            "import sys, time, optuna; from sweep.search.storage.opening import open_study\n"
            "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
            "study = open_study('mine', sys.argv[1], optuna.samplers.RandomSampler(),"
            " optuna.pruners.NopPruner())\n"
            "study.tell(study.ask(), 1.0)"
        )
        start = str(time.time() + 2.5)
        command = [sys.executable, "-W", "error", "-c", code, url, start]
        processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in "abc"]
        for process in processes:
            assert process.communicate()[1] == ""
        assert len(load_study("mine", url).trials) == 3


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file in a folder: what is in it, and when it was written last."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def execute(path: Path, statement: str) -> None:
    """Run a statement on a SQLite file, made if it is not there."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


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


class TestCheckFolders:
    """What `hold` would say."""

    @pytest.mark.parametrize("out", ["file", "file/below", "file/" + "long" * 100])
    def test_a_folder_that_cannot_be_made(self, tmp_path: Path, out: str) -> None:
        (tmp_path / "file").touch()
        self.says_what_hold_says(tmp_path / out, "sqlite:///a.db")

    def test_a_name_that_no_folder_can_have(self, tmp_path: Path) -> None:
        self.says_what_hold_says(tmp_path / ("long" * 100), "sqlite:///a.db")

    def says_what_hold_says(self, folder: Path, url: str) -> None:
        with pytest.raises(StorageError) as checked:
            check_folders(folder, url)
        with pytest.raises(StorageError) as held, hold(folder, url):
            pass
        assert str(checked.value) == str(held.value)
        assert str(held.value).startswith(f"{folder}: cannot be made a folder: ")

    def test_permissions(self, tmp_path: Path) -> None:
        for mode in (0o500, 0o000):
            tmp_path.chmod(mode)
            try:
                if os.access(tmp_path, os.W_OK):
                    pytest.skip("root may do everything")
                self.says_what_hold_says(tmp_path / "out", "sqlite:///a.db")
                if mode:
                    self.refuses(tmp_path, str(tmp_path / "a.journal"))
            finally:
                tmp_path.chmod(0o700)

    @pytest.mark.parametrize("journal", ["out/study.journal", "a.journal"])
    def test_a_folder_that_cannot_be_written_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: str
    ) -> None:
        out, url = tmp_path / "out", str(tmp_path / journal)
        out.mkdir()
        check_folders(out, url)
        closed = (tmp_path / journal).parent

        def access(path: Path, mode: int) -> bool:  # as for anyone but root
            return not (path == closed and mode & os.W_OK)

        monkeypatch.setattr(os, "access", access)
        with pytest.raises(StorageError) as checked:
            check_folders(out, url)
        assert str(checked.value) == f"{closed}: cannot be written to: Permission denied"

    def test_a_lock_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / ".lock").mkdir()
        self.refuses(tmp_path, "sqlite:///a.db")

    def refuses(self, folder: Path, url: str) -> None:
        with pytest.raises(StorageError) as held, hold(folder, url):
            pass
        assert str(held.value).startswith(f"{folder}: cannot be written to: ")


class TestLoadStudy:
    def test_no_journal(self, tmp_path: Path) -> None:
        path = tmp_path / JOURNAL
        with pytest.raises(StorageError) as raised:
            load_study("mine", str(path))
        assert str(raised.value) == f"{path}: no such journal; run the study first: sweep run mine"
        assert not path.exists()

    def test_no_such_study(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'a.db'}"
        new_study(url)
        with pytest.raises(StorageError) as raised:
            load_study("other", url)
        assert str(raised.value) == f"{url}: no study named 'other' in it"


class TestAbandonedTrials:
    OWNER = "here:/studies/mine"

    def study(self) -> optuna.Study:
        """Trials: 0 ours, 1 another's, 2 and 3 nobody's, 4 ours, ended."""
        study = optuna.create_study()
        ours, others, _, _, ended = [study.ask() for _ in range(5)]
        claim(ours, self.OWNER)
        claim(others, "there:/studies/mine")
        claim(ended, self.OWNER)
        study.tell(ended, 1.0)
        return study

    def test_on_our_own_journal_all_that_run(self) -> None:
        found = abandoned_trials(self.study(), self.OWNER, shared=False)
        assert [trial.number for trial in found] == [0, 1, 2, 3]

    def test_on_a_shared_storage_ours_and_nobodys(self) -> None:
        found = abandoned_trials(self.study(), self.OWNER, shared=True)
        assert [trial.number for trial in found] == [0, 2, 3]

    def test_keep_their_parameters(self) -> None:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        trial = study.ask()
        rate = trial.suggest_float("lr", 0, 1)
        study.sampler = optuna.samplers.RandomSampler(seed=1)
        (again,) = abandoned_trials(study, self.OWNER, shared=False)
        assert again.suggest_float("lr", 0, 1) == rate

    def test_owners_differ_by_machine_and_folder(self, tmp_path: Path) -> None:
        assert owner_of(tmp_path / "a") == owner_of(tmp_path / "b" / ".." / "a")
        assert owner_of(tmp_path / "a") != owner_of(tmp_path / "b")


ASK = (
    "import sys, optuna; from sweep.search.storage.owners import in_turn; "
    "from sweep.search.storage.opening import open_study\n"
    "study = open_study('mine', sys.argv[1], optuna.samplers.RandomSampler(),"
    " optuna.pruners.NopPruner())\n"
    "def ask():\n"
    "    wanted = len(study.get_trials(deepcopy=False)) < 40\n"
    "    if wanted: study.ask()\n"
    "    return wanted\n"
    "print('ready', flush=True); sys.stdin.read(1)\n"
    "while in_turn(study, ask): pass"
)


def asked_by_three(url: str) -> int:
    """How many trials three processes ask for in all, each of them up to 40."""
    command = [sys.executable, "-c", ASK, url]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    with closed_later(load_study("mine", url)) as study:
        return len(study.trials)


class TestInTurn:
    def test_sqlite(self, tmp_path: Path) -> None:
        assert asked_by_three(f"sqlite:///{tmp_path / 'a.db'}") == 40

    def test_a_journal_and_memory_need_none(self, tmp_path: Path) -> None:
        for study in (new_study(str(tmp_path / JOURNAL)), optuna.create_study()):
            assert in_turn(study, study.ask).number == 0

    def test_postgresql(self, postgresql: PostgreSQL) -> None:
        assert asked_by_three(postgresql.new_database("turns")) == 40


TOGETHER = """
import os
import time
from pathlib import Path

import torch

def train(schedule, epochs, seed):
    Path(f"worker-{os.getpid()}").touch()
    while len(list(Path().glob("worker-*"))) < 2:  # until both have begun a trial
        time.sleep(0.05)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    scheduler = schedule.attach(optimizer, steps_per_epoch=1)
    for epoch in range(epochs):
        optimizer.step()
        scheduler.step()
        yield {"val_mse": schedule.lr + seed % 97 / 1e4 + 1 / (epoch + 1)}
"""


class TestPostgreSQL:
    def test_creates_it_once_and_loads_it_later(self, postgresql: PostgreSQL) -> None:
        url = postgresql.new_database("plain")
        with closed_later(new_study(url)) as study:
            finished_trials(study, 2)
        with closed_later(new_study(url)) as study, closed_later(load_study("mine", url)) as read:
            assert len(study.trials) == len(read.trials) == 2

    def test_problems_never_show_the_password(self, postgresql: PostgreSQL) -> None:
        wrong = postgresql.url("postgres").replace(TRICKY, "wr0ng")
        for url in (postgresql.url("nowhere"), wrong):
            with pytest.raises(StorageError) as raised:
                new_study(url)
            start = f"{without_password(url)}: the storage cannot be opened: (psycopg.Operational"
            assert str(raised.value).startswith(start)
            assert PASSWORD not in str(raised.value) and "wr0ng" not in str(raised.value)

    def test_a_peek_creates_no_table(self, postgresql: PostgreSQL, tmp_path: Path) -> None:
        url = postgresql.new_database("peeked")
        assert peek_study("mine", url, tmp_path) is None
        engine = create_engine(url)
        assert inspect(engine).get_table_names() == []
        engine.dispose()
        wrong = url.replace(TRICKY, "wr0ng")
        with pytest.raises(StorageError) as peeked:
            peek_study("mine", wrong, tmp_path)
        with pytest.raises(StorageError) as ran:
            new_study(wrong)
        assert str(peeked.value) == str(ran.value) and "wr0ng" not in str(peeked.value)
        with closed_later(new_study(url)) as study:
            finished_trials(study, 2)
        seen = peek_study("mine", url, tmp_path)
        assert seen is not None
        with closed_later(seen):
            assert len(seen.trials) == 2

    def test_a_peek_that_is_not_allowed(self, postgresql: PostgreSQL, tmp_path: Path) -> None:
        url = postgresql.new_database("denied")
        with closed_later(new_study(url)):
            pass
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE ROLE guest LOGIN PASSWORD 'guest'")
            connection.exec_driver_sql("GRANT SELECT ON version_info, alembic_version TO guest")
        engine.dispose()
        guest = url.replace(f"sweep:{TRICKY}", "guest:guest")
        with pytest.raises(StorageError) as raised:
            peek_study("mine", guest, tmp_path)
        assert str(raised.value) == (
            f"{without_password(guest)}: the storage cannot be opened: "
            "(psycopg.errors.InsufficientPrivilege) permission denied for table studies"
        )

    def test_two_coordinators_share_a_study(self, postgresql: PostgreSQL, tmp_path: Path) -> None:
        """Two machines, one total; and the password is nowhere to be found."""
        url = postgresql.new_database("shared")
        total = 8
        (tmp_path / "train.py").write_text(TOGETHER)
        command = ["run", "--loop", "train.py:train", "--trials", str(total), "--epochs", "2"]
        command += ["--workers", "1", "--storage", url]
        done: dict[str, subprocess.CompletedProcess[str]] = {}

        def run(out: str) -> None:
            done[out] = sweep(*command, "--out", out, cwd=tmp_path)

        threads = [threading.Thread(target=run, args=(out,)) for out in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for out, process in done.items():
            assert process.returncode == 0, process.stderr
            written = [file.read_bytes() for file in (tmp_path / out).rglob("*") if file.is_file()]
            assert len(written) >= 5
            for text in (process.stdout.encode(), process.stderr.encode(), *written):
                assert PASSWORD.encode() not in text and TRICKY.encode() not in text
            shown = without_password(url)
            assert f'storage = "{shown}"' in (tmp_path / out / "study.toml").read_text()
        with closed_later(load_study("train", url)) as study:
            trials = study.trials
        assert len(drawn(trials)) == total
        assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
        owners = {trial.system_attrs["sweep:owner"] for trial in trials}
        assert owners == {owner_of(tmp_path / "a"), owner_of(tmp_path / "b")}
        assert len(pd.read_csv(tmp_path / "a" / "results.csv")) >= 1
