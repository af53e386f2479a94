"""A command that begins while a database's server is away."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from sqlalchemy.exc import OperationalError
from support import PostgreSQL

from sweep.search.storage.opening import await_server
from sweep.search.storage.patience import is_away


def noted(url: str) -> list[str]:
    notes: list[str] = []
    await_server(url, notes.append)
    return notes


@pytest.fixture
def told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.search.storage.patience._TOLD_AFTER_SECS", 0.0)


@pytest.mark.slow
@pytest.mark.usefixtures("told_soon")
def test_a_server_that_comes_back_is_waited_for(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database("begins")
    postgresql.call("pg_ctl", "-m", "immediate", "stop")
    back = threading.Timer(1.0, postgresql.start)
    back.start()
    try:
        told, *_, again = noted(url)
    finally:
        back.join()
    assert told.startswith("waiting for the storage, for up to 1 min 00 s: ")
    assert "Connection refused" in told or "the database system is" in told
    assert again.startswith("the storage answers again, after ")


@pytest.mark.usefixtures("told_soon")
def test_one_that_stays_away_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.search.storage.patience._BEGIN_SECS", 0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        told, *_ = noted(f"postgresql://me:secret@127.0.0.1:{free.getsockname()[1]}/db")
    assert "Connection refused" in told and "secret" not in told


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["sweep:x@", "nobody:x@", "/nope", "?sslmode=require"])
def test_who_is_there_and_refuses_is_not_waited_for(postgresql: PostgreSQL, wrong: str) -> None:
    url = postgresql.url("postgres")
    user, _, place = url.partition("@")
    if wrong.endswith("@"):
        url = f"postgresql://{wrong}{place}"
    else:
        url = f"{user}@{place.replace('/postgres', wrong)}"
    began = time.monotonic()
    assert noted(url) == []
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', True),
        ('connection to server at "10.0.0.9", port 5432 failed: No route to host', True),
        ('connection to server at "10.0.0.9", port 5432 failed: Network is unreachable', True),
        ('connection to server at "10.0.0.9", port 5432 failed: Connection reset by peer', True),
        ("connection timeout expired", True),
        (
            'connection to server on socket "/run/.s.PGSQL.1" failed: No such file or directory',
            True,
        ),
        ("connection failed: server closed the connection unexpectedly", True),
        ("connection failed: FATAL:  the database system is starting up", True),
        ("[Errno -2] Name or service not known", False),
        ('could not translate host name "nowhere" to address: No address associated', False),
        ('connection failed: FATAL:  password authentication failed for user "me"', False),
        ('connection failed: FATAL:  database "nope" does not exist', False),
        ("connection failed: server does not support SSL, but SSL was required", False),
    ],
)
def test_who_is_away(said: str, expected: bool) -> None:
    assert is_away(OperationalError(None, None, Exception(said))) is expected
