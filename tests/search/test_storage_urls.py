"""What names a storage, and what is said of one that cannot be opened: never its password."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from storages import TRICKY

from sweep.base.errors import StorageError
from sweep.search.storage.opening import open_storage
from sweep.search.storage.urls import JOURNAL, storage_url, without_password


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
            (
                "sqlite:////a.db?timeout=soon",
                "sqlite:////a.db?timeout=soon: the storage cannot be opened: "
                "could not convert string to float: 'soon'",
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

    @pytest.mark.slow
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
